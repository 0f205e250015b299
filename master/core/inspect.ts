/** Read-only views for operators: nothing here takes a lease, counts or changes anything. */
import {
  type ReplicaDescriptor,
  type ReplicaLocation,
  ReplicaType,
  type SegmentStatus,
  type Uuid,
} from "../../proto/types.ts";
import { remoteOffset } from "./describe.ts";
import { lastUsedMs } from "./leases.ts";
import { RecencyList } from "./lru.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { firstReadable, isAnyHoused, isHoused, isReadable } from "./queries.ts";
import { sharedPath } from "./shared_path.ts";
import type { CoreState } from "./state.ts";

/** Slots that one page looks at, so that a page over a nearly empty table stays short. */
const MAX_SCANNED = 1 << 14;

/** Some keys, one after the other in `bytes`; key `i` ends at `ends[i]`. */
export interface KeyPage {
  bytes: Uint8Array<ArrayBuffer>;
  ends: Uint32Array<ArrayBuffer>;
  /** Where to go on, or `null` after the last page. */
  next: number | null;
}

/** A mounted segment with its use, sizes in bytes. */
export interface SegmentDetail {
  name: string;
  id: Uuid;
  clientId: Uuid;
  base: bigint;
  size: number;
  teEndpoint: string;
  protocol: string;
  hostId: string;
  status: SegmentStatus;
  /** In use by objects. */
  allocatedBytes: number;
  /** Given back, but readers or writers may still touch it. */
  heldBytes: number;
  capacityBytes: number;
  largestFreeBytes: number;
}

/** What is known of one object. Times are Unix milliseconds, 0 = none. */
export interface KeyDetail {
  /** `PROCESSING` while the first version is written, else `COMPLETE`. */
  state: "PROCESSING" | "COMPLETE";
  size: number;
  dataType: number;
  /** Client that wrote it, or writes the first version. */
  client: Uuid;
  sinceMs: number;
  /** 0 also for what cannot be evicted, because that is in no order. */
  lastUsedMs: number;
  leaseUntilMs: number;
  hardPinned: boolean;
  softPinUntilMs: number;
  checksum: bigint | null;
  group: Uint8Array | null;
  /** A newer version is being written. */
  replacing: boolean;
  /** A copy, move or promotion is going on. */
  transferring: boolean;
  /** It waits to be written to a disk, or is being written. */
  offloading: boolean;
  replicas: ReplicaDescriptor[];
}

/**
 * Keys of a tenant (-1 = of all) from slot `cursor` on, 0 for the first: at most `maxKeys`, and no
 * more after `maxBytes`.
 */
export function listKeys(
  state: CoreState,
  cursor: number,
  maxKeys: number,
  maxBytes: number,
  tenant: number,
): KeyPage {
  const { objects } = state;
  const slots: number[] = [];
  let length = 0;
  let slot = Math.max(1, cursor);
  const stop = Math.min(objects.limit, slot + MAX_SCANNED);
  for (; slot < stop && slots.length < maxKeys && length < maxBytes; slot++) {
    if (!objects.has(slot) || objects.isReserved(slot) || !isAnyHoused(state, slot)) continue;
    if (tenant >= 0 && objects.tenant(slot) !== tenant) continue;
    slots.push(slot);
    length += objects.keyLength(slot);
  }
  return packKeys(state, slots, slot < objects.limit ? slot : null);
}

/**
 * The keys of a tenant that would be evicted first, in that order; leased ones stand where their reads
 * put them.
 */
export function leastRecentlyUsed(state: CoreState, maxKeys: number, tenant: number): KeyPage {
  const { recency } = state;
  const slots: number[] = [];
  const pairs = [
    [RecencyList.FRESH, RecencyList.READ],
    [RecencyList.PINNED_FRESH, RecencyList.PINNED_READ],
  ] as const;
  for (const [freshList, readList] of pairs) {
    let fresh = tenant < recency.tenantLimit ? recency.head(tenant, freshList) : 0;
    let read = tenant < recency.tenantLimit ? recency.head(tenant, readList) : 0;
    while (slots.length < maxKeys && (fresh !== 0 || read !== 0)) {
      const takeFresh = read === 0 ||
        fresh !== 0 && lastUsedMs(state, fresh) <= lastUsedMs(state, read);
      slots.push(takeFresh ? fresh : read);
      if (takeFresh) fresh = recency.next(fresh);
      else read = recency.next(read);
    }
  }
  return packKeys(state, slots, null);
}

/** What is known of a key, or `null`. */
export function keyDetail(state: CoreState, tenant: number, key: Uint8Array): KeyDetail | null {
  const { objects, config } = state;
  const slot = objects.find(tenant, key, 0, key.length);
  if (slot === 0 || !isAnyHoused(state, slot)) return null;
  const committed = objects.is(slot, ObjectFlag.COMMITTED);
  const epoch = (timeMs: number) => timeMs === 0 ? 0 : timeMs + config.epochOffsetMs;
  const writing = objects.link(slot, ObjectLink.WRITE) !== 0;
  return {
    state: committed ? "COMPLETE" : "PROCESSING",
    size: objects.size(slot),
    dataType: objects.dataType(slot),
    client: state.clients.get(objects.client(slot)).uuid,
    sinceMs: objects.since(slot) * 1000,
    lastUsedMs: objects.list(slot) === RecencyList.NONE ? 0 : epoch(lastUsedMs(state, slot)),
    leaseUntilMs: epoch(objects.leaseUntil(slot)),
    hardPinned: objects.is(slot, ObjectFlag.HARD_PIN),
    softPinUntilMs: epoch(objects.softPinUntil(slot)),
    checksum: objects.checksum(slot),
    group: state.groups.of(slot)?.id ?? null,
    replacing: committed && writing,
    transferring: objects.is(slot, ObjectFlag.TRANSFER),
    offloading: objects.is(slot, ObjectFlag.OFFLOAD),
    replicas: describeAll(state, slot, false),
  };
}

/** The readable replicas of a key; empty when none can be read yet, `null` when there is no key. */
export function peekKey(
  state: CoreState,
  tenant: number,
  key: Uint8Array,
): ReplicaDescriptor[] | null {
  const slot = state.objects.find(tenant, key, 0, key.length);
  return slot === 0 || !isAnyHoused(state, slot) ? null : describeAll(state, slot, true);
}

/** All mounted segments. */
export function segmentDetails(state: CoreState): SegmentDetail[] {
  return Array.from(state.segments.mounted(), (entry) => {
    const { id, name, base, size, teEndpoint, protocol, hostId } = entry.view.segment;
    const unit = entry.unitBytes;
    return {
      name,
      id,
      clientId: state.clients.get(entry.owner).uuid,
      base,
      size,
      teEndpoint,
      protocol,
      hostId,
      status: entry.status,
      allocatedBytes: entry.allocator.usedUnits * unit,
      heldBytes: entry.allocator.heldUnits * unit,
      capacityBytes: size,
      largestFreeBytes: entry.allocator.largestFree() * unit,
    };
  });
}

/** One replica as plain data. */
export function replicaDescriptor(
  state: CoreState,
  slot: number,
  replica: number,
): ReplicaDescriptor {
  const { replicas } = state;
  const id = replicas.id(replica);
  return { id, location: locationOf(state, slot, replica), status: replicas.status(replica) };
}

/** The object's replicas as plain data: those that can be read, or all in mounted places. */
export function describeAll(
  state: CoreState,
  slot: number,
  readable: boolean,
): ReplicaDescriptor[] {
  const { replicas } = state;
  const all: ReplicaDescriptor[] = [];
  for (
    let replica = readable
      ? firstReadable(state, slot)
      : state.objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    const shown = readable ? isReadable(state, replica) : isHoused(state, replica);
    if (shown) all.push(replicaDescriptor(state, slot, replica));
  }
  return all;
}

function locationOf(state: CoreState, slot: number, replica: number): ReplicaLocation {
  const { objects, replicas, disks } = state;
  const size = replicas.size(replica);
  const place = replicas.place(replica);
  if (replicas.kind(replica) === ReplicaType.MEMORY) {
    const entry = state.segments.at(replicas.segment(replica));
    const { base, protocol, teEndpoint } = entry.view.segment;
    const bufferAddress = base + BigInt(remoteOffset(state, place));
    return {
      kind: "memory",
      buffer: { size, bufferAddress, protocol, transportEndpoint: teEndpoint },
    };
  }
  if (replicas.kind(replica) === ReplicaType.LOCAL_DISK) {
    const clientId = state.clients.get(disks.disk(place).client).uuid;
    const transportEndpoint = disks.endpoint(place);
    return { kind: "local_disk", clientId, objectSize: size, transportEndpoint };
  }
  const filePath = sharedPath(state.config.fsdir, objects.key(slot), objects.hash(slot));
  return { kind: "disk", filePath, objectSize: size };
}

function packKeys(state: CoreState, slots: readonly number[], next: number | null): KeyPage {
  const { objects } = state;
  const ends = new Uint32Array(slots.length);
  let length = 0;
  slots.forEach((slot, i) => ends[i] = length += objects.keyLength(slot));
  const bytes = new Uint8Array(length);
  slots.forEach((slot, i) => {
    const at = objects.keyOffset(slot);
    const size = objects.keyLength(slot);
    bytes.set(objects.keyPage(slot).subarray(at, at + size), ends[i] - size);
  });
  return { bytes, ends, next };
}
