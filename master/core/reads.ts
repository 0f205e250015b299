/** ExistKey and GetReplicaList. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { Keys, ReplicaSink } from "./api.ts";
import { Counter } from "./counters.ts";
import { describeReadable } from "./describe.ts";
import { noteHotRead } from "./dynamic_replication.ts";
import { grantLease } from "./leases.ts";
import { absence } from "./lives.ts";
import { LookupCall } from "./lookups.ts";
import { ObjectLink } from "./objects.ts";
import { considerPromotion } from "./promotion.ts";
import { firstReadable, isAnyReachable } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** Room for what is found of many keys on the way. */
export class LocatedKeys {
  slots = new Int32Array(1024);
  replicas = new Int32Array(1024);

  /** Makes room for `count` keys. */
  reach(count: number): void {
    if (this.slots.length >= count) return;
    this.slots = new Int32Array(count * 2);
    this.replicas = new Int32Array(count * 2);
  }
}

/**
 * Enters the slots of keys that are about to be read, 0 = none. What the reads will look at is read ahead,
 * that of all keys at once; the extents only where the replicas will be described.
 */
export function locate(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  keys: Keys,
  describes: boolean,
  located: LocatedKeys,
): void {
  const { objects, extents } = state;
  const { count, starts, ends } = keys;
  located.reach(count);
  const { slots, replicas } = located;
  state.lookups.begin(tenant);
  if (state.labels.isOn) state.labels.readMany(bytes, keys);
  objects.seekMany(tenant, bytes, keys, slots, replicas);
  let touched = 0;
  for (let i = 0; i < count; i++) replicas[i] = state.replicas.extent(replicas[i]);
  for (let i = 0; describes && i < count; i++) touched ^= extents.touch(replicas[i]);
  objects.touched ^= touched;
  for (let i = 0; i < count; i++) {
    slots[i] = objects.confirm(slots[i], tenant, bytes, starts[i], ends[i]);
  }
  for (let i = 0; i < count; i++) {
    if (slots[i] === 0) state.misses.note(objects.hashAt(i), ends[i] - starts[i]);
  }
}

/** The slot of a key that is about to be read, 0 = none. */
export function locateOne(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const { labels, objects } = state;
  state.lookups.begin(tenant);
  if (labels.isOn) labels.current = labels.read(bytes, start, end);
  const seen = objects.seek(tenant, bytes, start, end);
  if (seen !== 0) objects.touched ^= touchAround(state, seen);
  const slot = objects.confirm(seen, tenant, bytes, start, end);
  if (slot === 0) state.misses.note(objects.lastHash, end - start);
  return slot;
}

/** Reads what a lookup of an object reads next, all of it at once. */
function touchAround({ objects, replicas }: CoreState, slot: number): number {
  return replicas.extent(objects.link(slot, ObjectLink.REPLICA)) ^ objects.touchLinks(slot);
}

/** Whether an object can be read; renews its lease if so. 1 or 0, also for slot 0. */
export function existAt(state: CoreState, slot: number, nowMs: number): number {
  const { lookups, objects, replicas } = state;
  if (slot === 0) {
    lookups.miss(LookupCall.EXIST);
    return 0;
  }
  const first = firstReadable(state, slot);
  if (first === 0) {
    noteUnreadable(state, slot, LookupCall.EXIST);
    return 0;
  }
  grantLease(state, slot, nowMs);
  lookups.hit(
    LookupCall.EXIST,
    replicas.kind(first),
    objects.dataType(slot),
    objects.size(slot),
  );
  return 1;
}

/** Describes the readable replicas of an object and renews its lease. */
export function getReplicaListAt(
  state: CoreState,
  slot: number,
  nowMs: number,
  sink: ReplicaSink,
): ErrorCode {
  const { objects, counters } = state;
  counters.add(Counter.GETS, 1);
  if (slot === 0) {
    state.lookups.miss(LookupCall.GET);
    return ErrorCode.OBJECT_NOT_FOUND;
  }
  const first = firstReadable(state, slot);
  if (first === 0) {
    const there = noteUnreadable(state, slot, LookupCall.GET);
    return there ? ErrorCode.REPLICA_IS_NOT_READY : ErrorCode.OBJECT_NOT_FOUND;
  }
  grantLease(state, slot, nowMs);
  const inMemory = state.replicas.isMemory(first);
  counters.add(Counter.VALID_GETS, 1);
  counters.add(inMemory ? Counter.MEMORY_HITS : Counter.DISK_HITS, 1);
  const size = objects.size(slot);
  counters.add(inMemory ? Counter.MEMORY_HIT_BYTES : Counter.DISK_HIT_BYTES, size);
  const kind = state.replicas.kind(first);
  state.lookups.hit(LookupCall.GET, kind, objects.dataType(slot), size);
  describeReadable(state, slot, sink);
  if (inMemory && state.config.replicationMode !== "off") noteHotRead(state, slot, nowMs);
  const promotes = state.config.promotionOnHit && !state.readOnly;
  if (!inMemory && promotes) considerPromotion(state, slot, nowMs);
  return ErrorCode.OK;
}

/** Counts an object that cannot be read. Whether the owner of some replica is there. */
function noteUnreadable(state: CoreState, slot: number, call: LookupCall): boolean {
  const there = isAnyReachable(state, slot);
  if (there) state.lookups.notReady(call);
  else {
    state.lookups.miss(call);
    state.misses.explained(absence(state, slot));
  }
  return there;
}
