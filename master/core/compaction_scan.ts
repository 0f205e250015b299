/** The search for the part of a segment that is cheapest to empty. */
import type { Uuid } from "../../proto/types.ts";
import { ExtentState } from "./allocator.ts";
import type { JobRun } from "./job_table.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { isReadable } from "./queries.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** Extents in a row that are looked at together. */
const MAX_EXTENTS = 1024;
/** How much more a byte counts that somebody may be reading: it is free later. */
const LEASED_WEIGHT = 1.25;

/** A part of a segment, in units, whose objects can be moved elsewhere. */
export interface Part {
  readonly entry: SegmentEntry;
  readonly first: number;
  readonly start: number;
  readonly end: number;
}

/** What must not be moved: objects by slot, memory that is held by {@linkcode placeName}. */
export interface Immovable {
  readonly slots: ReadonlySet<number>;
  readonly places: ReadonlySet<string>;
}

/** Names a place in memory. */
export function placeName(segment: number, offset: number): string {
  return `${segment}/${offset}`;
}

/**
 * Goes through the extents of segments in the order of their addresses with a window that is as
 * short as the goal allows, and remembers the one with the fewest bytes to move. It can be
 * interrupted after every extent; a segment that has changed at that place is begun anew.
 */
export class PartScan {
  readonly #ids: readonly Uuid[];
  readonly #goalBytes: number;
  #next = 0;
  /** The extent to go on with, 0 = the segment's first, and where it began. */
  #left = 0;
  #leftOffset = 0;
  #leastCost = Infinity;
  /** Weights of the extents in the window. */
  readonly #weights = new Float64Array(MAX_EXTENTS);
  /** The best part that was seen. */
  best: Part | null = null;

  constructor(segments: readonly SegmentEntry[], goalBytes: number) {
    this.#ids = segments.map(({ view }) => view.segment.id);
    this.#goalBytes = goalBytes;
  }

  /** Looks at about `budget` extents. Returns whether that was all. */
  step(
    state: CoreState,
    run: JobRun,
    immovable: Immovable,
    longestTarget: number,
    budget: number,
    nowMs: number,
  ): boolean {
    let left = Math.max(budget, 2 * MAX_EXTENTS);
    while (this.#next < this.#ids.length && left > 0) {
      const entry = state.segments.byId(this.#ids[this.#next]);
      const goal = entry === null ? 0 : state.segments.unitsFor(entry, this.#goalBytes);
      if (entry === null || entry.allocator.freeUnits === 0 || entry.allocator.totalUnits < goal) {
        this.#nextSegment();
        continue;
      }
      const weigh = (extent: number) =>
        weightOf(state, run, immovable, longestTarget, extent, nowMs);
      left -= this.#walk(state, entry, goal, weigh, left);
    }
    return this.#next >= this.#ids.length;
  }

  #nextSegment(): void {
    this.#next++;
    this.#left = 0;
  }

  /** Goes on in one segment; the number of extents looked at. */
  #walk(
    { extents }: CoreState,
    entry: SegmentEntry,
    goal: number,
    weigh: (extent: number) => number,
    budget: number,
  ): number {
    let first = this.#isUnchanged(extents, entry) ? this.#left : entry.allocator.first;
    const weights = this.#weights;
    let units = 0;
    let cost = 0;
    let head = 0;
    let tail = 0;
    let looked = 0;
    for (let at = first; at !== 0; at = extents.after(at)) {
      if (looked++ >= budget) {
        this.#left = first;
        this.#leftOffset = extents.offset(first);
        return looked;
      }
      const weight = weigh(at);
      if (weight === Infinity) {
        first = extents.after(at);
        units = cost = 0;
        tail = head;
        continue;
      }
      units += extents.units(at);
      cost += weight;
      weights[head++ % MAX_EXTENTS] = weight;
      while (head - tail >= MAX_EXTENTS || (units - extents.units(first) >= goal && first !== at)) {
        units -= extents.units(first);
        cost -= weights[tail++ % MAX_EXTENTS];
        first = extents.after(first);
      }
      const bytes = cost * entry.unitBytes;
      if (units < goal || bytes >= this.#leastCost) continue;
      this.#leastCost = bytes;
      const end = extents.offset(at) + extents.units(at);
      this.best = { entry, first, start: extents.offset(first), end };
    }
    this.#nextSegment();
    return looked;
  }

  #isUnchanged(extents: CoreState["extents"], entry: SegmentEntry): boolean {
    return this.#left !== 0 && extents.state(this.#left) >= ExtentState.FREE &&
      extents.segment(this.#left) === entry.index &&
      extents.offset(this.#left) === this.#leftOffset;
  }
}

/** Whether a part that was found a while ago still lies between two edges of extents. */
export function isIntact({ extents }: CoreState, { entry, first, start, end }: Part): boolean {
  const known = extents.state(first) >= ExtentState.FREE && extents.segment(first) === entry.index;
  if (!known || extents.offset(first) !== start) return false;
  let at = first;
  while (at !== 0 && extents.offset(at) < end) at = extents.after(at);
  return at === 0 ? end === entry.allocator.totalUnits : extents.offset(at) === end;
}

/** Whether a replica can be moved now. Who reads it can go on: its memory is held until then. */
export function isMovable(state: CoreState, slot: number, replica: number): boolean {
  const { objects, replicas } = state;
  return objects.is(slot, ObjectFlag.COMMITTED) &&
    !objects.is(slot, ObjectFlag.TRANSFER | ObjectFlag.OFFLOAD) &&
    objects.link(slot, ObjectLink.WRITE) === 0 && replicas.pins(replica) === 0 &&
    isReadable(state, replica);
}

/** What it costs to have an extent free, in units; `Infinity` = it cannot be. */
function weightOf(
  state: CoreState,
  run: JobRun,
  immovable: Immovable,
  longestTarget: number,
  extent: number,
  nowMs: number,
): number {
  const { extents, replicas, objects } = state;
  switch (extents.state(extent)) {
    case ExtentState.FREE:
      return 0;
    case ExtentState.HELD: {
      const place = placeName(extents.segment(extent), extents.offset(extent));
      return immovable.places.has(place) ? Infinity : 0;
    }
    case ExtentState.DISCARDED:
      return Infinity;
  }
  const replica = extents.owner(extent);
  const slot = replicas.slot(replica);
  if (run.slots.has(slot) && !replicas.isTarget(replica)) return 0;
  const stays = immovable.slots.has(slot) || replicas.size(replica) > longestTarget ||
    !isMovable(state, slot, replica);
  if (stays) return Infinity;
  return extents.units(extent) * (objects.leaseUntil(slot) > nowMs ? LEASED_WEIGHT : 1);
}
