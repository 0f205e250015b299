/** ExistKey and GetReplicaList. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { MatchSink, ReplicaSink } from "./api.ts";
import { Counter } from "./counters.ts";
import { describeReadable } from "./describe.ts";
import { grantLease } from "./leases.ts";
import { considerPromotion } from "./promotion.ts";
import { firstReadable, isAnyReachable, slotText } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** Whether a key can be read; renews its lease if so. 1 or 0. */
export function existKey(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  nowMs: number,
): number {
  const slot = state.objects.find(tenant, bytes, start, end);
  if (slot === 0 || firstReadable(state, slot) === 0) return 0;
  grantLease(state, slot, nowMs);
  return 1;
}

/** Describes the readable replicas of a key and renews its lease. */
export function getReplicaList(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  nowMs: number,
  sink: ReplicaSink,
): ErrorCode {
  const { objects, counters } = state;
  counters.add(Counter.GETS, 1);
  const slot = objects.find(tenant, bytes, start, end);
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

/** Describes the readable replicas of every key of a tenant that matches; renews their leases. */
export function describeMatching(
  state: CoreState,
  tenant: number,
  pattern: RegExp,
  nowMs: number,
  sink: MatchSink,
): number {
  const { objects } = state;
  let matches = 0;
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot) || objects.tenant(slot) !== tenant) continue;
    if (firstReadable(state, slot) === 0 || !pattern.test(slotText(state, slot))) continue;
    grantLease(state, slot, nowMs);
    const at = objects.keyOffset(slot);
    sink.key(objects.keyPage(slot), at, at + objects.keyLength(slot));
    describeReadable(state, slot, sink);
    matches++;
  }
  return matches;
}
