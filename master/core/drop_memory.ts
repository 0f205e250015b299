import { Counter } from "./counters.ts";
import { LifeEvent } from "./life_log.ts";
import { noteLife } from "./lives.ts";
import { eraseObject, removeReplica } from "./mutations.ts";
import { ObjectLink } from "./objects.ts";
import { heldByReaders, isReadable } from "./queries.ts";
import type { CoreState } from "./state.ts";

/**
 * Removes the memory replicas that nobody reads from for a transfer, and the object if nothing else
 * is left. Returns the longest free block that came of it, in bytes.
 */
export function dropIdleMemory(state: CoreState, slot: number, nowMs: number): number {
  const { objects, replicas, extents, counters } = state;
  const holdUntilMs = heldByReaders(state, slot, nowMs);
  let longest = 0;
  let evicted = false;
  let left = false;
  for (let replica = objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    if (!replicas.isMemory(replica) || replicas.pins(replica) > 0) {
      left = true;
    } else {
      const { allocator, unitBytes } = state.segments.at(replicas.segment(replica));
      if (isReadable(state, replica)) {
        counters.add(
          Counter.EVICTED_BYTES,
          extents.units(replicas.place(replica)) * unitBytes,
        );
        evicted = true;
      }
      const before = allocator.freeUnits;
      removeReplica(state, slot, replica, holdUntilMs, false);
      if (allocator.freeUnits > before) {
        longest = Math.max(longest, allocator.lastFreed * unitBytes);
      }
    }
    replica = next;
  }
  if (evicted) counters.add(Counter.EVICTED_KEYS, 1);
  if (!left) eraseObject(state, slot, 0, state.lives.evicting);
  else if (evicted) noteLife(state, slot, LifeEvent.MEMORY_EVICTED);
  return longest;
}
