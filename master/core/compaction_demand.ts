import type { Uuid } from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import type { CoreState } from "./state.ts";

/** What automatic compaction remembers between its looks, for as long as the process lives. */
export class CompactionDemand {
  /** Largest object that found no piece of memory although there was enough in pieces; 0 = none. */
  wantedBytes = 0;
  wantedMs = -Infinity;
  /** When to look again. */
  nextMs = -Infinity;
  /** The compaction that was begun last, until its end was seen. */
  job: Uuid | null = null;
  /** Compactions in a row that came to nothing. */
  vain = 0;
}

/** Free memory of the segments that take new data. */
export function openFreeBytes({ segments }: CoreState): number {
  let bytes = 0;
  for (const { open } of segments.openNames) {
    for (const { allocator, unitBytes } of open) bytes += allocator.freeUnits * unitBytes;
  }
  return bytes;
}

/** Notes that `state.request` found no room; it counts when the free pieces together would do. */
export function noteNoPiece(state: CoreState, nowMs: number): void {
  const { request: { size }, demand, counters } = state;
  if (openFreeBytes(state) < size) return;
  counters.add(Counter.COMPACTION_NO_PIECE, 1);
  demand.wantedBytes = Math.max(demand.wantedBytes, size);
  demand.wantedMs = nowMs;
}
