/** The calls that take objects away. */
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import { heldUntil } from "./holds.ts";
import { LifeEvent } from "./life_log.ts";
import { eraseObject, removeReplica } from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { findObject, heldByReaders, isAnyReachable, isReadable, isSettled } from "./queries.ts";
import type { CoreState } from "./state.ts";
import { yieldTransfer } from "./transfer_end.ts";
import { TransferKind } from "./transfers.ts";

/**
 * Removes a key. `force` overrides its lease, but nothing that is being written or moved, and waits for
 * readers that hold its version: OBJECT_REPLICA_BUSY, and it can be tried again.
 */
export function remove(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  force: boolean,
  nowMs: number,
): ErrorCode {
  const slot = findObject(state, tenant, bytes, start, end);
  if (slot === 0) return ErrorCode.OBJECT_NOT_FOUND;
  return removeSlot(state, slot, force, nowMs, LifeEvent.REMOVED);
}

/** Removes an object as {@linkcode remove} does. */
export function removeSlot(
  state: CoreState,
  slot: number,
  force: boolean,
  nowMs: number,
  reason: LifeEvent,
): ErrorCode {
  const { objects } = state;
  const leased = objects.leaseUntil(slot) > nowMs && isAnyReachable(state, slot);
  if (leased && !force) return ErrorCode.OBJECT_HAS_LEASE;
  if (heldUntil(state, slot, nowMs) !== 0) return ErrorCode.OBJECT_REPLICA_BUSY;
  if (yieldTransfer(state, slot, nowMs) === 0) return ErrorCode.OK;
  if (objects.link(slot, ObjectLink.WRITE) !== 0 || !isSettled(state, slot)) {
    return ErrorCode.REPLICA_IS_NOT_READY;
  }
  const transfer = state.transfers.transfers.get(slot);
  if (transfer !== undefined) {
    if (transfer.kind !== TransferKind.PROMOTION) return ErrorCode.OBJECT_HAS_REPLICATION_TASK;
    state.counters.add(Counter.PROMOTIONS_CANCELLED, 1);
  }
  eraseObject(state, slot, heldByReaders(state, slot, nowMs), reason);
  return ErrorCode.OK;
}

/**
 * Removes the client's own unleased objects, or only their replicas under a segment name. Returns
 * the positions of the keys for which something was removed.
 */
export function clearReplicas(
  state: CoreState,
  tenant: number,
  keys: readonly Uint8Array[],
  client: number,
  segmentName: string,
  nowMs: number,
): number[] {
  const { objects } = state;
  const cleared: number[] = [];
  for (const [i, key] of keys.entries()) {
    const slot = key.length === 0 ? 0 : findObject(state, tenant, key, 0, key.length);
    if (slot === 0 || objects.client(slot) !== client) continue;
    if (objects.leaseUntil(slot) > nowMs || heldUntil(state, slot, nowMs) !== 0) continue;
    const done = segmentName === ""
      ? removeSlot(state, slot, false, nowMs, LifeEvent.CLEARED) === ErrorCode.OK
      : clearUnder(state, slot, segmentName, nowMs);
    if (done) cleared.push(i);
  }
  return cleared;
}

/** Removes the replicas of a key on the disk of a client, or in the shared file system. */
export function evictDiskReplica(
  state: CoreState,
  client: number,
  tenant: number,
  key: Uint8Array,
  replicaType: number,
): ErrorCode {
  const { replicas, disks } = state;
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return ErrorCode.OBJECT_NOT_FOUND;
  if (replicaType !== ReplicaType.DISK && replicaType !== ReplicaType.LOCAL_DISK) {
    return ErrorCode.INVALID_PARAMS;
  }
  for (let replica = state.objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    const own = replicas.kind(replica) === replicaType &&
      (replicaType === ReplicaType.DISK ||
        disks.disk(replicas.place(replica)).client === client);
    if (own && isReadable(state, replica)) removeReplica(state, slot, replica, 0, false);
    replica = next;
  }
  if (state.objects.link(slot, ObjectLink.REPLICA) === 0) {
    eraseObject(state, slot, 0, LifeEvent.CLEARED);
  } else unlistIfGone(state, slot);
  return ErrorCode.OK;
}

function clearUnder(state: CoreState, slot: number, segmentName: string, nowMs: number): boolean {
  const { replicas } = state;
  const holdUntilMs = heldByReaders(state, slot, nowMs);
  let cleared = false;
  for (let replica = state.objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    if (
      replicas.isMemory(replica) && isReadable(state, replica) && replicas.pins(replica) === 0 &&
      state.segments.at(replicas.segment(replica)).name.name === segmentName
    ) {
      removeReplica(state, slot, replica, holdUntilMs, false);
      cleared = true;
    }
    replica = next;
  }
  if (!cleared) return false;
  if (state.objects.link(slot, ObjectLink.REPLICA) === 0) {
    eraseObject(state, slot, 0, LifeEvent.CLEARED);
  } else unlistIfGone(state, slot);
  return true;
}

/** Takes an object that has no memory left out of the order of eviction. */
function unlistIfGone(state: CoreState, slot: number): void {
  if (!state.objects.is(slot, ObjectFlag.IN_MEMORY)) state.recency.remove(slot);
}
