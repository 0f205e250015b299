/** Leases on objects, and with them the order of their last uses. */
import { RecencyList } from "./lru.ts";
import { ObjectFlag } from "./objects.ts";
import { isEvictable, listFor } from "./queries.ts";
import type { CoreState } from "./state.ts";

/**
 * Notes a read: a lease from now on, and the place of the most recently used. Other members of the
 * object's group get a lease too, unless they got one in the last half of its length.
 */
export function grantLease(state: CoreState, slot: number, nowMs: number): void {
  extend(state, slot, nowMs);
  if (!state.objects.is(slot, ObjectFlag.GROUPED)) return;
  const group = state.groups.of(slot)!;
  if (nowMs - group.refreshedMs < state.config.defaultKvLeaseTtlMs / 2) return;
  group.refreshedMs = nowMs;
  for (let member = group.first; member !== 0; member = state.groups.next(member)) {
    const other = state.groups.slot(member);
    if (other !== slot && state.objects.is(other, ObjectFlag.COMMITTED)) {
      extend(state, other, nowMs);
    }
  }
}

/** Enters an object that has become evictable, used last right now, or takes out one that is not. */
export function relist(state: CoreState, slot: number, nowMs: number): void {
  const { objects, recency } = state;
  if (objects.leaseUntil(slot) < nowMs) objects.setLeaseUntil(slot, nowMs);
  if (!isEvictable(state, slot)) {
    recency.remove(slot);
    return;
  }
  recency.append(listFor(state, slot, false), slot);
}

/** When an object that is in a list was last used. */
export function lastUsedMs(state: CoreState, slot: number): number {
  const until = state.objects.leaseUntil(slot);
  const list = state.objects.list(slot);
  const read = list === RecencyList.READ || list === RecencyList.PINNED_READ;
  return read ? until - state.config.defaultKvLeaseTtlMs : until;
}

function extend(state: CoreState, slot: number, nowMs: number): void {
  const { objects, recency } = state;
  const until = nowMs + state.config.defaultKvLeaseTtlMs;
  if (objects.leaseUntil(slot) < until) objects.setLeaseUntil(slot, until);
  if (objects.list(slot) !== RecencyList.NONE) recency.append(listFor(state, slot, true), slot);
}
