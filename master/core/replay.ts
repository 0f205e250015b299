/** Applying facts that another core, or an earlier life of this one, has told. */
import { ProtocolError } from "../../proto/error.ts";
import { ReplicaStatus, ReplicaType, type SegmentStatus } from "../../proto/types.ts";
import type { Checksum } from "./api.ts";
import { FactKind, WriteOption } from "./facts.ts";
import { FactReader } from "./fact_reader.ts";
import { inheritHolds } from "./holds.ts";
import { relist } from "./leases.ts";
import { RecencyList } from "./lru.ts";
import {
  addTenant,
  fenceUnits,
  forgetDisk,
  forgetSegment,
  freeExtent,
  killDisk,
  killSegment,
  mountDisk,
  mountSegment,
  noteUnmounted,
  promiseMemory,
  setSegmentStatus,
} from "./mount_mutations.ts";
import {
  abandonWrite,
  addObject,
  addReplica,
  clearChecksum,
  completeReplica,
  endSoftPin,
  endTransfer,
  endWrite,
  eraseObject,
  moveDiskReplica,
  removeReplica,
  replicaById,
  setChecksum,
  settleOwedEnd,
  startWrite,
} from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { applyJob } from "./jobs.ts";
import { awaitOwners } from "./mounts.ts";
import { addTask, changeTask, dropTask } from "./orders.ts";
import type { OwedEnd } from "./owed_ends.ts";
import { abandonPlacement } from "./placement.ts";
import {
  knownClient,
  reserve,
  restoreHeld,
  restoreObject,
  restoreWrite,
  taken,
} from "./restore.ts";
import { applyNamed } from "./reservation_mutations.ts";
import type { CoreState } from "./state.ts";
import { setEntry } from "./table_mutations.ts";
import type { Task } from "./tasks.ts";
import { applyTransfer, applyTransferNumber } from "./transfer_mutations.ts";

/**
 * Applies the facts in `bytes[start, end)`, whole ones, in the order in which they were told. The
 * same fact twice in a row is the same as once. Throws a `ProtocolError` on bytes that are no facts
 * or do not fit what came before.
 */
export function replay(state: CoreState, bytes: Uint8Array, start: number, end: number): void {
  const reader = new FactReader(bytes, start, end, state.config.epochOffsetMs);
  while (reader.more) applyOne(state, reader);
}

/**
 * Applies facts that each have their length (u32) in front, and goes on behind one that cannot be
 * applied: whatever else is known must not be lost with it.
 */
export class FramedReplay {
  readonly #state: CoreState;
  #bytes: Uint8Array | null = null;
  #reader: FactReader;

  constructor(state: CoreState) {
    this.#state = state;
    this.#reader = new FactReader(new Uint8Array(0), 0, 0, 0);
  }

  /**
   * Applies the facts in `bytes[start, end)`. `onRefused` is told why a fact was passed over; a length
   * that leads out of the bytes ends the call in the same way.
   */
  apply(bytes: Uint8Array, start: number, end: number, onRefused: (why: string) => void): void {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#reader = new FactReader(bytes, start, end, this.#state.config.epochOffsetMs);
    }
    const reader = this.#reader;
    let next = start;
    for (let at = start; at < end; at = next) {
      next = end;
      try {
        reader.moveTo(at, end);
        const length = reader.u32();
        if (at + 4 + length > end) throw reader.malformed(`${length} bytes do not fit`);
        next = at + 4 + length;
        reader.moveTo(at + 4, next);
        applyOne(this.#state, reader);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        onRefused(error.message);
      }
    }
  }
}

/** See `MasterCore.finishReplay`. */
export function finishReplay(state: CoreState, nowMs: number): void {
  const { objects, segments, recency, quarantine, config } = state;
  for (let i = 0; i < segments.limit; i++) segments.find(i)?.allocator.followOffsets(false);
  state.clients.forgetUnused();
  awaitOwners(state);
  // Without a replica there was nothing to hold.
  if (state.nextReplicaId > 1) inheritHolds(state, nowMs);
  const untilMs = nowMs + config.defaultKvLeaseTtlMs;
  quarantine.holdAll(untilMs);
  for (let slot = 1; slot < objects.limit; slot++) {
    if (objects.has(slot) && objects.is(slot, ObjectFlag.COMMITTED)) {
      objects.setLeaseUntil(slot, untilMs);
    }
  }
  for (let tenant = 0; tenant < recency.tenantLimit; tenant++) {
    markRead(state, tenant, RecencyList.FRESH, RecencyList.READ, untilMs);
    markRead(state, tenant, RecencyList.PINNED_FRESH, RecencyList.PINNED_READ, untilMs);
  }
}

/**
 * Makes a list that of objects that have been read. Whose object was used before whose is not known
 * any more: times are given out so that what is evicted next comes from the tenants in proportion to
 * what they have.
 */
function markRead(
  state: CoreState,
  tenant: number,
  from: RecencyList,
  to: RecencyList,
  untilMs: number,
): void {
  const { objects, recency, tenants } = state;
  let count = 0;
  for (let slot = recency.head(tenant, from); slot !== 0; slot = recency.next(slot)) count++;
  for (let i = 0; i < count; i++) {
    const slot = recency.head(tenant, from);
    if (tenants.count > 1) objects.setLeaseUntil(slot, untilMs + i / count);
    recency.append(to, slot);
  }
}

function applyOne(state: CoreState, reader: FactReader): void {
  const kind = reader.u8();
  switch (kind) {
    case FactKind.TENANT_ADDED: {
      const index = reader.u32();
      const name = reader.blob();
      if (state.tenants.count === index) addTenant(state, name, 0, name.length);
      return;
    }
    case FactKind.CLIENT_ADDED: {
      const index = reader.u32();
      state.clients.place(index, reader.blob(), 0);
      return;
    }
    case FactKind.SEGMENT_MOUNTED:
      return applyMount(state, reader);
    case FactKind.SEGMENT_STATUS: {
      const entry = state.segments.find(reader.u32());
      const status = reader.u32() as SegmentStatus;
      const untilMs = reader.time();
      if (entry !== null) setSegmentStatus(state, entry, status, untilMs);
      return;
    }
    case FactKind.SEGMENT_KILLED: {
      const entry = state.segments.find(reader.u32());
      if (entry !== null && state.segments.isAlive(entry.index)) killSegment(state, entry);
      return;
    }
    case FactKind.SEGMENT_FORGOTTEN: {
      const entry = state.segments.find(reader.u32());
      if (entry !== null && !state.segments.isAlive(entry.index)) forgetSegment(state, entry);
      return;
    }
    case FactKind.DISK_MOUNTED: {
      const client = knownClient(state, reader);
      if (state.disks.of(client) === null) mountDisk(state, client, true);
      return;
    }
    case FactKind.DISK_KILLED: {
      const disk = state.disks.of(reader.u32());
      if (disk !== null) killDisk(state, disk);
      return;
    }
    case FactKind.DISK_FORGOTTEN: {
      const client = reader.u32();
      const disk = state.disks.dead.find((dead) => dead.client === client);
      if (disk !== undefined) forgetDisk(state, disk);
      return;
    }
    case FactKind.EXTENT_FREED:
      return applyFreed(state, reader.u32(), reader.u32());
    case FactKind.EXTENT_HELD:
      return restoreHeld(state, reader);
    case FactKind.EXTENT_FENCED:
      return applyFenced(state, reader);
    case FactKind.END_OWED: {
      const named = readOwed(reader);
      return state.owedEnds.add({ ...named, untilMs: reader.time() });
    }
    case FactKind.END_SETTLED: {
      const { client, tenant, key } = readOwed(reader);
      const owed = state.owedEnds.find(client, tenant, key, 0, key.length);
      if (owed !== undefined) settleOwedEnd(state, owed);
      return;
    }
    case FactKind.MEMORY_PROMISED: {
      const endpoint = reader.text();
      const start = reader.u64();
      const end = reader.u64();
      const untilMs = reader.time();
      return promiseMemory(state, endpoint, start, end, untilMs, reader.time());
    }
    case FactKind.SEGMENT_UNMOUNTED:
      return noteUnmounted(state, reader.text(), reader.text());
    case FactKind.TABLE_ENTRY_SET:
    case FactKind.TABLE_ENTRY_DROPPED: {
      const table = reader.u8();
      const key = reader.blob();
      const value = kind === FactKind.TABLE_ENTRY_SET ? reader.blob() : null;
      if (!setEntry(state, table, key, value)) {
        throw reader.malformed("it is no quota and no rules of a tenant");
      }
      return;
    }
    case FactKind.NEXT_REPLICA:
      state.nextReplicaId = Math.max(state.nextReplicaId, reader.f64());
      return;
    case FactKind.TASK_ADDED:
    case FactKind.TASK_CHANGED:
    case FactKind.TASK_DROPPED:
      return applyTask(state, kind, reader);
    case FactKind.JOB_CHANGED:
    case FactKind.JOB_DROPPED:
      return applyJob(state, kind, reader.text());
    default:
      return applyToObject(state, kind, reader);
  }
}

function applyMount(state: CoreState, reader: FactReader): void {
  const index = reader.u32();
  const owner = knownClient(state, reader);
  const segment = {
    id: reader.text(),
    name: reader.text(),
    base: reader.u64(),
    size: reader.f64(),
    teEndpoint: reader.text(),
    protocol: reader.text(),
    hostId: reader.text(),
  };
  if (state.segments.find(index) !== null) return;
  mountSegment(state, index, segment, owner).allocator.followOffsets(true);
}

function applyFreed(state: CoreState, segment: number, offset: number): void {
  const extent = state.segments.find(segment)?.allocator.heldAt(offset) ?? 0;
  if (extent !== 0) freeExtent(state, extent);
}

function applyFenced(state: CoreState, reader: FactReader): void {
  const segment = reader.u32();
  const start = reader.u32();
  const end = start + reader.u32();
  const window = reader.u8();
  const untilMs = reader.time();
  const entry = state.segments.find(segment);
  if (entry !== null && state.segments.isAlive(segment)) {
    fenceUnits(state, entry, { start, end, window, untilMs });
  }
}

function readChecksum(reader: FactReader): Checksum {
  return { low: reader.u32(), high: reader.u32() };
}

function readOwed(reader: FactReader): Omit<OwedEnd, "untilMs"> {
  return { client: reader.text(), tenant: reader.u16(), key: reader.blob() };
}

function applyTask(state: CoreState, kind: number, reader: FactReader): void {
  const { epochOffsetMs } = state.config;
  const document = JSON.parse(reader.text()) as Task;
  const task = state.tasks.find(document.id);
  const updatedMs = document.updatedMs - epochOffsetMs;
  if (kind === FactKind.TASK_ADDED) {
    const createdMs = document.createdMs - epochOffsetMs;
    if (task === null) addTask(state, { ...document, createdMs, updatedMs });
  } else if (task !== null && kind === FactKind.TASK_CHANGED) {
    changeTask(state, task, document.status, document.message, updatedMs);
  } else if (task !== null) {
    dropTask(state, task);
  }
}

function applyToObject(state: CoreState, kind: number, reader: FactReader): void {
  const { objects } = state;
  const tenant = reader.u16();
  const key = reader.key();
  state.request.reserves = reader.isReserved;
  const slot = reader.isReserved
    ? objects.reserved.find(key)
    : objects.find(tenant, key, 0, key.length);
  state.request.hash = objects.lastHash;
  const write = slot === 0 ? 0 : objects.link(slot, ObjectLink.WRITE);
  switch (kind) {
    case FactKind.OBJECT_KEPT:
      return restoreObject(state, tenant, key, slot, reader);
    case FactKind.WRITE_KEPT:
      return restoreWrite(state, slot, reader);
    case FactKind.OBJECT_ADDED: {
      const client = knownClient(state, reader);
      const size = reader.f64();
      const since = reader.u32();
      if (slot === 0) addObject(state, tenant, key, 0, key.length, client, size, since);
      return;
    }
    case FactKind.OBJECT_ERASED: {
      const holdUntilMs = reader.time();
      if (slot !== 0) eraseObject(state, slot, holdUntilMs);
      return;
    }
    case FactKind.WRITE_STARTED:
      return applyWrite(state, tenant, key, slot, reader);
    case FactKind.WRITE_NAMED:
      return applyNamed(state, slot, reader);
    case FactKind.WRITE_ENDED:
    case FactKind.WRITE_ENDED_CHECKED: {
      const replicaType = reader.u8();
      const softPinUntilMs = reader.time();
      const since = reader.u32();
      const checksum = kind === FactKind.WRITE_ENDED ? null : readChecksum(reader);
      if (write === 0) return;
      endWrite(state, slot, replicaType, softPinUntilMs, since, checksum);
      return relist(state, slot, 0);
    }
    case FactKind.WRITE_ABANDONED: {
      const endOwed = reader.u8() !== 0;
      if (write === 0) return;
      abandonWrite(state, slot, endOwed);
      return relist(state, slot, 0);
    }
    case FactKind.REPLICA_ADDED:
      return applyReplica(state, slot, reader);
    case FactKind.REPLICA_COMPLETED: {
      const replica = replicaById(state, slot, reader.f64());
      if (replica !== 0) completeReplica(state, slot, replica);
      return;
    }
    case FactKind.REPLICA_REMOVED: {
      const replica = replicaById(state, slot, reader.f64());
      const holdUntilMs = reader.time();
      const discarded = reader.u8() !== 0;
      if (replica === 0) return;
      removeReplica(state, slot, replica, holdUntilMs, discarded);
      if (!objects.is(slot, ObjectFlag.IN_MEMORY)) state.recency.remove(slot);
      return;
    }
    case FactKind.REPLICA_ENDPOINT: {
      const replica = replicaById(state, slot, reader.f64());
      const endpoint = reader.text();
      const size = reader.f64();
      if (replica !== 0) moveDiskReplica(state, slot, replica, endpoint, size);
      return;
    }
    case FactKind.CHECKSUM_SET: {
      const present = reader.u8() !== 0;
      const checksum = readChecksum(reader);
      if (slot === 0) return;
      if (present) setChecksum(state, slot, checksum);
      else clearChecksum(state, slot);
      return;
    }
    case FactKind.SOFT_PIN_SET:
      reader.time();
      if (slot === 0) return;
      endSoftPin(state, slot);
      return relist(state, slot, 0);
    case FactKind.TRANSFER_STARTED:
      return applyTransfer(state, slot, reader);
    case FactKind.TRANSFER_NUMBERED:
      return applyTransferNumber(state, slot, reader);
    case FactKind.TRANSFER_ENDED: {
      const transfer = state.transfers.transfers.get(slot);
      if (transfer === undefined) return;
      endTransfer(state, transfer);
      return relist(state, slot, 0);
    }
    default:
      throw reader.malformed(`kind ${kind} is unknown`);
  }
}

function applyWrite(
  state: CoreState,
  tenant: number,
  key: Uint8Array,
  slot: number,
  reader: FactReader,
): void {
  const { request } = state;
  request.writer.client = knownClient(state, reader);
  request.startMs = reader.time();
  request.size = reader.f64();
  request.softAction = reader.u8();
  request.softTtlMs = reader.u32();
  request.dataType = reader.u8();
  request.writer.writeId = reader.f64();
  const options = reader.u8();
  request.hardPin = (options & WriteOption.HARD_PIN) !== 0;
  request.onSharedDisk = (options & WriteOption.SHARED_DISK) !== 0;
  request.group = (options & WriteOption.GROUP) === 0 ? null : reader.blob();
  request.count = 0;
  const created = (options & WriteOption.NEW_OBJECT) !== 0;
  const known = created
    ? slot !== 0
    : slot === 0 || state.objects.link(slot, ObjectLink.WRITE) !== 0;
  const count = reader.u8();
  let firstId = 0;
  let conflict: string | null = null;
  for (let i = 0; i < count; i++) {
    const id = reader.f64();
    const home = reader.u32();
    const offset = reader.u32();
    const units = reader.u32();
    if (i === 0) firstId = id;
    if (known || conflict !== null) continue;
    const extent = reserve(state, home, offset, units);
    if (extent === 0) conflict = taken(home, offset, units);
    else request.extents[request.count++] = extent;
  }
  if (request.onSharedDisk) {
    const id = reader.f64();
    if (count === 0) firstId = id;
  }
  if (conflict !== null) {
    abandonPlacement(state);
    throw reader.malformed(conflict);
  }
  if (!known) startWrite(state, slot, tenant, key, 0, key.length, firstId);
}

function applyReplica(state: CoreState, slot: number, reader: FactReader): void {
  const kind = reader.u8() as ReplicaType;
  const status = reader.u8() as ReplicaStatus;
  const size = reader.f64();
  const id = reader.f64();
  let place = 0;
  if (kind === ReplicaType.MEMORY) {
    const home = reader.u32();
    const offset = reader.u32();
    const units = reader.u32();
    if (slot === 0 || replicaById(state, slot, id) !== 0) return;
    place = reserve(state, home, offset, units);
    if (place === 0) throw reader.malformed(taken(home, offset, units));
  } else {
    const client = reader.u32();
    const endpoint = reader.text();
    const disk = state.disks.of(client);
    if (slot === 0 || disk === null || replicaById(state, slot, id) !== 0) return;
    state.segments.noteText(new TextEncoder().encode(endpoint).length);
    place = state.disks.add(disk, endpoint);
  }
  addReplica(state, slot, id, kind, status, size, place);
}
