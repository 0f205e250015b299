import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** Part of one segment that nothing new is placed in while compaction empties it; in units. */
export interface Aside {
  readonly entry: SegmentEntry;
  /** The extent that it begins with. */
  readonly first: number;
  readonly start: number;
  readonly end: number;
}

/** Keeps new data out of a part of a segment; of no more than one at a time. */
export function setAside(state: CoreState, aside: Aside): void {
  endAside(state);
  aside.entry.allocator.setAside(aside.first, aside.end);
  state.aside = aside;
}

/** Lets everything be used again. */
export function endAside(state: CoreState): void {
  state.aside?.entry.allocator.endAside();
  state.aside = null;
}

/** Lets everything be used again if that can make room for `bytes`; whether it can. */
export function yieldAside(state: CoreState, bytes: number): boolean {
  if (state.aside === null) return false;
  const { entry, start, end } = state.aside;
  if (end - start < state.segments.unitsFor(entry, bytes)) return false;
  endAside(state);
  return true;
}
