import { SoftPinAction } from "../../proto/types.ts";
import { byteText } from "./key_pattern.ts";
import { RecencyList } from "./lru.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { isOffloadQueued } from "./offload_queue.ts";
import type { CoreState } from "./state.ts";

/** Whether the segment or disk that a replica lies in is mounted, its owner awaited or not. */
export function isHoused(state: CoreState, replica: number): boolean {
  const { replicas } = state;
  if (replicas.isMemory(replica)) return state.segments.isAlive(replicas.segment(replica));
  const place = replicas.place(replica);
  return place === 0 || state.disks.isAlive(place);
}

/** Whether the segment or disk that a replica lies in is mounted and its owner is there. */
export function isReachable(state: CoreState, replica: number): boolean {
  const { replicas } = state;
  if (replicas.isMemory(replica)) return state.segments.isAttached(replicas.segment(replica));
  const place = replicas.place(replica);
  return place === 0 || state.disks.isAttached(place);
}

/** Whether a replica is complete and of the committed version. */
export function isWhole(state: CoreState, replica: number): boolean {
  return state.replicas.isComplete(replica) && !state.replicas.isStaged(replica);
}

/** Whether a replica can be read: complete, of the committed version, and its owner is there. */
export function isReadable(state: CoreState, replica: number): boolean {
  return isWhole(state, replica) && isReachable(state, replica);
}

/** The object's first readable replica, or 0. An object that is in doubt has none. */
export function firstReadable(state: CoreState, slot: number): number {
  if (state.doubtful.size > 0 && state.doubtful.has(slot)) return 0;
  let replica = state.objects.link(slot, ObjectLink.REPLICA);
  while (replica !== 0 && !isReadable(state, replica)) replica = state.replicas.next(replica);
  return replica;
}

/** Bytes of the object's replicas in memory, finished or not. */
export function memoryBytes(state: CoreState, slot: number): number {
  const { replicas } = state;
  let bytes = 0;
  for (
    let replica = state.objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (replicas.isMemory(replica)) bytes += replicas.size(replica);
  }
  return bytes;
}

/** Whether any replica of the object, finished or not, lies in a mounted segment or disk. */
export function isAnyHoused(state: CoreState, slot: number): boolean {
  let replica = state.objects.link(slot, ObjectLink.REPLICA);
  while (replica !== 0 && !isHoused(state, replica)) replica = state.replicas.next(replica);
  return replica !== 0;
}

/** Whether the owner of any replica of the object, finished or not, is there. */
export function isAnyReachable(state: CoreState, slot: number): boolean {
  let replica = state.objects.link(slot, ObjectLink.REPLICA);
  while (replica !== 0 && !isReachable(state, replica)) replica = state.replicas.next(replica);
  return replica !== 0;
}

/**
 * The slot of a key whose object still exists, if only in the hands of owners that are awaited, or
 * 0: an object with nothing left but replicas in unmounted segments is gone, even if it has not been
 * swept up yet.
 */
export function findObject(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const slot = state.objects.find(tenant, bytes, start, end);
  return slot !== 0 && isAnyHoused(state, slot) ? slot : 0;
}

/** Whether all replicas in mounted segments and disks are complete and committed. */
export function isSettled(state: CoreState, slot: number): boolean {
  const { replicas } = state;
  for (
    let replica = state.objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (isHoused(state, replica) && !isWhole(state, replica)) return false;
  }
  return true;
}

/** Whether an object may be evicted from memory, leases and soft pins aside. */
export function isEvictable(state: CoreState, slot: number): boolean {
  const { objects } = state;
  const blocked = ObjectFlag.HARD_PIN | ObjectFlag.TRANSFER | ObjectFlag.OFFLOAD;
  return objects.is(slot, ObjectFlag.COMMITTED) && objects.is(slot, ObjectFlag.IN_MEMORY) &&
    !objects.is(slot, blocked) && objects.link(slot, ObjectLink.WRITE) === 0;
}

/** The list that an evictable object belongs into. */
export function listFor(state: CoreState, slot: number, read: boolean): RecencyList {
  const pinned = state.objects.is(slot, ObjectFlag.SOFT_PIN);
  if (pinned) return read ? RecencyList.PINNED_READ : RecencyList.PINNED_FRESH;
  return read ? RecencyList.READ : RecencyList.FRESH;
}

/** The end of the soft pin that the object's write leaves behind, 0 = none. */
export function softPinAfter(state: CoreState, slot: number, nowMs: number): number {
  const { objects, writes } = state;
  const write = objects.link(slot, ObjectLink.WRITE);
  const action = writes.softAction(write);
  if (action === SoftPinAction.ENABLE) {
    const ttlMs = writes.softTtlMs(write);
    return ttlMs === 0 ? 0 : nowMs + ttlMs;
  }
  if (action === SoftPinAction.DISABLE) return 0;
  const until = objects.softPinUntil(slot);
  return until > nowMs ? until : 0;
}

/**
 * Until when memory of the committed version may be read, by clients with a lease or by an owner that
 * was asked to write it to disk; 0 when that time has passed.
 */
export function heldByReaders(state: CoreState, slot: number, nowMs: number): number {
  const { objects, transfers, config } = state;
  let untilMs = objects.leaseUntil(slot);
  if (objects.is(slot, ObjectFlag.OFFLOAD) && !isOffloadQueued(state, slot)) {
    const startMs = transfers.offloads.get(slot)!.startMs;
    untilMs = Math.max(untilMs, startMs + config.putStartReleaseTimeoutMs);
  }
  return untilMs > nowMs ? untilMs : 0;
}

/**
 * Until when memory that its writer has given up stays untouched. The writer is done, but a node that
 * hung may still hold bytes of it in its sockets: it either takes them in before it is missed, or its
 * session ends and its memory leaves the pool.
 */
export function heldByLateBytes(state: CoreState, nowMs: number): number {
  return nowMs + state.config.clientTtlMs;
}

/** The object's key as text with one character per byte. */
export function slotText(state: CoreState, slot: number): string {
  const { objects } = state;
  const at = objects.keyOffset(slot);
  return byteText(objects.keyPage(slot), at, at + objects.keyLength(slot));
}
