/** ExistKey and GetReplicaList. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { Keys, ReplicaSink } from "./api.ts";
import { Counter } from "./counters.ts";
import { describeReadable } from "./describe.ts";
import { grantLease } from "./leases.ts";
import { ObjectLink } from "./objects.ts";
import { considerPromotion } from "./promotion.ts";
import { firstReadable, isAnyReachable } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** Enters the slots of keys that are about to be read, 0 = none, in `slots`. */
export function locate(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  keys: Keys,
  slots: Int32Array,
): void {
  const { objects, replicas } = state;
  objects.findMany(tenant, bytes, keys, slots);
  let touched = 0;
  for (let i = 0; i < keys.count; i++) {
    const slot = slots[i];
    if (slot === 0) continue;
    const replica = objects.link(slot, ObjectLink.REPLICA);
    const previous = objects.link(slot, ObjectLink.PREVIOUS);
    const next = objects.link(slot, ObjectLink.NEXT);
    if (replica !== 0) touched ^= replicas.touch(replica);
    if (previous !== 0) touched ^= objects.touch(previous);
    if (next !== 0) touched ^= objects.touch(next);
  }
  objects.touched ^= touched;
}

/** Whether an object can be read; renews its lease if so. 1 or 0, also for slot 0. */
export function existAt(state: CoreState, slot: number, nowMs: number): number {
  if (slot === 0 || firstReadable(state, slot) === 0) return 0;
  grantLease(state, slot, nowMs);
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
  if (slot === 0) return ErrorCode.OBJECT_NOT_FOUND;
  const first = firstReadable(state, slot);
  if (first === 0) {
    const there = isAnyReachable(state, slot);
    return there ? ErrorCode.REPLICA_IS_NOT_READY : ErrorCode.OBJECT_NOT_FOUND;
  }
  grantLease(state, slot, nowMs);
  const inMemory = state.replicas.isMemory(first);
  counters.add(Counter.VALID_GETS, 1);
  counters.add(inMemory ? Counter.MEMORY_HITS : Counter.DISK_HITS, 1);
  counters.add(inMemory ? Counter.MEMORY_HIT_BYTES : Counter.DISK_HIT_BYTES, objects.size(slot));
  describeReadable(state, slot, sink);
  const promotes = state.config.promotionOnHit && !state.readOnly;
  if (!inMemory && promotes) considerPromotion(state, slot, nowMs);
  return ErrorCode.OK;
}
