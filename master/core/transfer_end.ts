import { relist } from "./leases.ts";
import { endTransfer, eraseObject, removeReplica, replicaById } from "./mutations.ts";
import { ObjectLink } from "./objects.ts";
import { isWhole } from "./queries.ts";
import type { CoreState } from "./state.ts";
import { NO_LEASE, type Transfer } from "./transfers.ts";

/**
 * Ends a transfer without its targets. Their memory is held until `holdUntilMs` because the client
 * may still be writing; 0 = it is not. An object of which nothing is left is erased; returns whether
 * it is still there.
 */
export function abandonTransfer(
  state: CoreState,
  transfer: Transfer,
  holdUntilMs: number,
  nowMs: number,
): boolean {
  const { slot } = transfer;
  for (const id of transfer.targets) {
    const replica = replicaById(state, slot, id);
    if (replica !== 0 && !isWhole(state, replica)) {
      removeReplica(state, slot, replica, holdUntilMs, holdUntilMs !== 0);
    }
  }
  endTransfer(state, transfer);
  if (state.objects.link(slot, ObjectLink.REPLICA) === 0) {
    eraseObject(state, slot, 0);
    return false;
  }
  relist(state, slot, nowMs);
  return true;
}

/**
 * Gives up a copy that only dynamic replication asked for, because somebody wants to do something
 * with the object now. Its client may still be writing: that memory waits as a vanished writer's.
 * Returns the slot, or 0 when the object went with it because nothing else was left of it.
 */
export function yieldTransfer(state: CoreState, slot: number, nowMs: number): number {
  const transfer = state.transfers.transfers.get(slot);
  if (transfer === undefined || transfer.leaseId === NO_LEASE) return slot;
  const untilMs = transfer.startMs + state.config.putStartReleaseTimeoutMs;
  return abandonTransfer(state, transfer, Math.max(untilMs, nowMs), nowMs) ? slot : 0;
}
