/** Applying the facts of a snapshot, see `snapshot.ts`, and what that shares with `replay.ts`. */
import { type ReplicaStatus, ReplicaType } from "../../proto/types.ts";
import { type ExtentState, segmentOfHome, windowOfHome } from "./allocator.ts";
import type { FactReader } from "./fact_reader.ts";
import { relist } from "./leases.ts";
import { holdExtent } from "./mount_mutations.ts";
import { addReplica, retainClient, setChecksum, setSoftPin } from "./mutations.ts";
import { refreshKinds } from "./object_kinds.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { memoryBytes } from "./queries.ts";
import { KeptObject, KeptReplica, KeptWrite } from "./snapshot.ts";
import type { CoreState } from "./state.ts";

/** The extent of a fact, 0 when its segment is not mounted or other facts have given it away. */
export function reserve(
  state: CoreState,
  home: number,
  offset: number,
  units: number,
): number {
  const entry = state.segments.find(segmentOfHome(home));
  if (entry === null || !state.segments.isAlive(entry.index)) return 0;
  const extent = entry.allocator.reserve(offset, units);
  if (extent !== 0) entry.allocator.setWindow(extent, windowOfHome(home));
  return extent;
}

/** Why {@linkcode reserve} found nothing. */
export function taken(home: number, offset: number, units: number): string {
  return `units ${offset} to ${offset + units} of segment ${segmentOfHome(home)} are not free`;
}

/** The index of a client that facts before this one have named. */
export function knownClient(state: CoreState, reader: FactReader): number {
  const client = reader.u32();
  if (!state.clients.has(client)) throw reader.malformed(`client ${client} is not known`);
  return client;
}

/** An object with its replicas; those whose memory is not free are left out. */
export function restoreObject(
  state: CoreState,
  tenant: number,
  key: Uint8Array,
  present: number,
  reader: FactReader,
): void {
  const { objects } = state;
  const flags = reader.u8();
  const client = knownClient(state, reader);
  const size = reader.f64();
  const since = reader.u32();
  const dataType = reader.u8();
  const low = flags & KeptObject.CHECKSUM ? reader.u32() : 0;
  const high = flags & KeptObject.CHECKSUM ? reader.u32() : 0;
  const softPinUntilMs = flags & KeptObject.SOFT_PIN ? reader.time() : 0;
  const group = flags & KeptObject.GROUP ? reader.blob() : null;
  if (present !== 0) throw reader.malformed("an object is there twice");
  retainClient(state, client);
  const slot = state.request.reserves
    ? objects.insertReserved(tenant, key)
    : objects.insertHashed(state.request.hash, tenant, key, 0, key.length);
  objects.setClient(slot, client);
  objects.setSize(slot, size);
  objects.setSince(slot, since);
  objects.setDataType(slot, dataType);
  if (flags & KeptObject.COMMITTED) objects.set(slot, ObjectFlag.COMMITTED);
  if (flags & KeptObject.HARD_PIN) objects.set(slot, ObjectFlag.HARD_PIN);
  if (flags & KeptObject.CHECKSUM) {
    setChecksum(state, slot, { low, high });
  }
  if (flags & KeptObject.SOFT_PIN) setSoftPin(state, slot, softPinUntilMs);
  if (group !== null) state.groups.join(slot, tenant, group);
  let lost: string | null = null;
  for (let left = reader.u8(); left > 0; left--) {
    lost = restoreReplica(state, slot, reader) ?? lost;
  }
  refreshKinds(state, slot);
  relist(state, slot, 0);
  if (lost !== null) throw reader.malformed(lost);
}

/** A replica of an object; what is wrong with it, or `null`. */
function restoreReplica(state: CoreState, slot: number, reader: FactReader): string | null {
  const { replicas } = state;
  const kind = reader.u8() as ReplicaType;
  const status = reader.u8() as ReplicaStatus;
  const flags = reader.u8();
  const size = reader.f64();
  const id = reader.f64();
  let place = 0;
  if (kind === ReplicaType.MEMORY) {
    const home = reader.u32();
    const offset = reader.u32();
    const units = reader.u32();
    place = reserve(state, home, offset, units);
    if (place === 0) return taken(home, offset, units);
  } else {
    const client = reader.u32();
    const endpoint = reader.text();
    if (kind === ReplicaType.LOCAL_DISK) {
      const disk = state.disks.of(client);
      if (disk === null) return `client ${client} has no disk`;
      state.segments.noteText(endpoint.length * 3);
      place = state.disks.add(disk, endpoint);
    }
  }
  const replica = addReplica(state, slot, id, kind, status, size, place);
  replicas.setStaged(replica, (flags & KeptReplica.STAGED) !== 0);
  replicas.setTarget(replica, (flags & KeptReplica.TARGET) !== 0);
  return null;
}

/** The unfinished write of an object. */
export function restoreWrite(state: CoreState, slot: number, reader: FactReader): void {
  const { objects, writes } = state;
  const client = knownClient(state, reader);
  const startMs = reader.time();
  const size = reader.f64();
  const softAction = reader.u8();
  const softTtlMs = reader.u32();
  const dataType = reader.u8();
  const writeId = reader.f64();
  const flags = reader.u8();
  if (slot === 0) throw reader.malformed("a write is for an object that is not known");
  retainClient(state, client);
  const write = writes.begin(slot, { client, writeId }, startMs, size);
  writes.setOptions(write, softAction, softTtlMs, (flags & KeptWrite.HARD_PIN) !== 0, dataType);
  if (flags & KeptWrite.COMMITTED) writes.setCommitted(write);
  objects.setLink(slot, ObjectLink.WRITE, write);
  if (state.request.reserves) {
    objects.reserved.begin(slot, client, memoryBytes(state, slot));
  }
  state.recency.remove(slot);
}

/** An extent that was given back but may still be used. */
export function restoreHeld(state: CoreState, reader: FactReader): void {
  const home = reader.u32();
  const offset = reader.u32();
  const units = reader.u32();
  const kind = reader.u8() as ExtentState;
  const untilMs = reader.time();
  if (isHeldAlready(state, segmentOfHome(home), offset, units)) return;
  const extent = reserve(state, home, offset, units);
  if (extent === 0) throw reader.malformed(taken(home, offset, units));
  holdExtent(state, extent, kind, untilMs);
}

function isHeldAlready(state: CoreState, segment: number, offset: number, units: number): boolean {
  const extent = state.segments.find(segment)?.allocator.heldAt(offset) ?? 0;
  return extent !== 0 && state.extents.units(extent) === units;
}
