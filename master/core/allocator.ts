import type { FencedRanges } from "./fenced_ranges.ts";
import { ordinaryPages, type PageSource } from "./pages.ts";
import { RecordPool } from "./records.ts";

/** Words of a record. */
const OFFSET = 0;
const UNITS = 1;
const BEFORE = 2;
const AFTER = 3;
/** Neighbours in a bin while free; owner and ticket otherwise. */
const LINK_BEFORE = 4;
const LINK_AFTER = 5;
const STATE = 6;
const SEGMENT = 7;
const WORDS = 8;

/** The word of the segment has the window of the extent's addresses above it. */
const HOME_SHIFT = 28;
const SEGMENT_MASK = 2 ** HOME_SHIFT - 1;

export const ExtentState = {
  FREE: 1,
  USED: 2,
  /** Given back, but a reader may still read it. */
  HELD: 3,
  /** Given back, but a writer that vanished may still write it. */
  DISCARDED: 4,
} as const;
export type ExtentState = (typeof ExtentState)[keyof typeof ExtentState];

const GROUP_SHIFT = 4;
const GROUP_BINS = 1 << GROUP_SHIFT;
const GROUPS = 29;
/** Blocks of the wanted size's own bin that are looked at before a larger bin, and instead of one. */
const NEAR_SCAN = 16;
const FULL_SCAN = 256;

/** Extents of all segments, 32 bytes each, in one pool. Offsets and lengths are in units. */
export class ExtentPool {
  readonly records: RecordPool;

  constructor(pages: PageSource = ordinaryPages) {
    this.records = new RecordPool(WORDS, pages);
  }

  /** Reads an extent's record, as `KeyIndex.touch`; nothing for 0. */
  touch(extent: number): number {
    return extent === 0 ? 0 : this.records.word(extent, OFFSET);
  }

  offset(extent: number): number {
    return this.records.word(extent, OFFSET) >>> 0;
  }

  units(extent: number): number {
    return this.records.word(extent, UNITS) >>> 0;
  }

  segment(extent: number): number {
    return this.records.word(extent, SEGMENT) & SEGMENT_MASK;
  }

  /** The window in which its addresses are handed out, see `proto/address_window.ts`. */
  window(extent: number): number {
    return this.records.word(extent, SEGMENT) >>> HOME_SHIFT;
  }

  /** {@linkcode ExtentPool.segment} and {@linkcode ExtentPool.window} in one word, as facts have them. */
  home(extent: number): number {
    return this.records.word(extent, SEGMENT);
  }

  state(extent: number): ExtentState {
    return this.records.word(extent, STATE) as ExtentState;
  }

  /** Whether it is given back but not free yet. */
  isHeld(extent: number): boolean {
    const state = this.state(extent);
    return state === ExtentState.HELD || state === ExtentState.DISCARDED;
  }

  /** The extent that begins where this one ends, or 0. */
  after(extent: number): number {
    return this.records.word(extent, AFTER);
  }

  /** The replica that uses it, while it is used. */
  owner(extent: number): number {
    return this.records.word(extent, LINK_BEFORE);
  }

  setOwner(extent: number, replica: number): void {
    this.records.setWord(extent, LINK_BEFORE, replica);
  }

  /** What tells this hold from an earlier one of the same record. */
  ticket(extent: number): number {
    return this.records.word(extent, LINK_AFTER);
  }
}

/** The segment in a word of {@linkcode ExtentPool.home}. */
export function segmentOfHome(home: number): number {
  return home & SEGMENT_MASK;
}

/** The window in such a word. */
export function windowOfHome(home: number): number {
  return home >>> HOME_SHIFT;
}

/** The size class of a block: 16 per power of two, exact below 16 units. */
function binOf(units: number): number {
  if (units < GROUP_BINS) return units;
  const log = 31 - Math.clz32(units);
  return (log - GROUP_SHIFT + 1) * GROUP_BINS + (units >>> (log - GROUP_SHIFT) & (GROUP_BINS - 1));
}

/** Extents that are kept out of allocations, from one on up to an offset; in units. */
export interface AsideRange {
  readonly first: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Space of one segment: free blocks in size-class bins with bitmaps over them (two-level segregated
 * fit), merged with their neighbours when given back. Every operation is O(1).
 */
export class SegmentAllocator {
  readonly #pool: ExtentPool;
  readonly #records: RecordPool;
  readonly #heads = new Int32Array(GROUPS * GROUP_BINS);
  readonly #bins = new Uint16Array(GROUPS);
  #groups = 0;
  #first = 0;
  #used = 0;
  #held = 0;
  #lastFreed = 0;
  #closed = false;
  #aside: AsideRange | null = null;
  /** Where writers of the past are kept out; `null` = nowhere. */
  fences: FencedRanges | null = null;
  #starts: Map<number, number> | null = null;
  #heldStarts: Map<number, number> | null = null;

  constructor(pool: ExtentPool, readonly segment: number, readonly totalUnits: number) {
    this.#pool = pool;
    this.#records = pool.records;
    if (totalUnits > 0) {
      this.#first = this.#create(0, totalUnits, 0, 0);
      this.#insert(this.#first);
    }
  }

  get usedUnits(): number {
    return this.#used;
  }

  /** Units that are given back but not to be used yet. */
  get heldUnits(): number {
    return this.#held;
  }

  get freeUnits(): number {
    return this.totalUnits - this.#used - this.#held;
  }

  /** The extent at offset 0; the others follow through {@linkcode ExtentPool.after}. */
  get first(): number {
    return this.#first;
  }

  /** An extent of `units`, at least 1, or 0 when no free block is long enough. */
  allocate(units: number): number {
    const block = this.#blockFor(units);
    if (block === 0) return 0;
    this.#remove(block);
    return this.#use(block, units);
  }

  /** Length of the free block that {@linkcode SegmentAllocator.allocate} would cut, 0 = none. */
  fit(units: number): number {
    const block = this.#blockFor(units);
    return block === 0 ? 0 : this.#pool.units(block);
  }

  /** What no free block is longer than; it may be by up to a sixteenth too long. */
  get freeBound(): number {
    if (this.#groups === 0) return 0;
    const group = 31 - Math.clz32(this.#groups);
    const step = 31 - Math.clz32(this.#bins[group]);
    return group === 0 ? step : (GROUP_BINS + step + 1) * 2 ** (group - 1) - 1;
  }

  /** Extents that are kept out of allocations, `null` = none. */
  get aside(): AsideRange | null {
    return this.#aside;
  }

  /**
   * Keeps free units between the start of the extent `first` and `end`, where one ends, out of
   * allocations, and from merging with what lies outside, until {@linkcode SegmentAllocator.endAside}.
   */
  setAside(first: number, end: number): void {
    this.endAside();
    for (let at = first; at !== 0 && this.#pool.offset(at) < end; at = this.#pool.after(at)) {
      if (this.#pool.state(at) === ExtentState.FREE) this.#remove(at);
    }
    this.#aside = { first, start: this.#pool.offset(first), end };
  }

  /** Lets everything be allocated again. */
  endAside(): void {
    if (this.#aside === null) return;
    const { first, end } = this.#aside;
    this.#aside = null;
    for (let at = first; at !== 0 && this.#pool.offset(at) < end; at = this.#pool.after(at)) {
      if (this.#pool.state(at) === ExtentState.FREE) at = this.#insertMerged(at);
    }
  }

  /** The extent `[offset, offset + units)`, or 0 when not all of it is free. */
  reserve(offset: number, units: number): number {
    const block = this.#freeBlockAt(offset);
    if (block === 0) return 0;
    const start = this.#pool.offset(block);
    if (start + this.#pool.units(block) < offset + units) return 0;
    this.#remove(block);
    if (start === offset) return this.#use(block, units);
    const rest = this.#split(block, offset - start);
    this.#insert(block);
    return this.#use(rest, units);
  }

  /** Whether some free block has `units`. */
  canHold(units: number): boolean {
    const bin = binOf(units);
    if (this.#binAbove(bin) >= 0) return true;
    let scan = FULL_SCAN;
    for (let block = this.#heads[bin]; block !== 0 && scan > 0; scan--) {
      if (this.#pool.units(block) >= units) return true;
      block = this.#records.word(block, LINK_AFTER);
    }
    return false;
  }

  /** Marks a used extent as given back but not free until {@linkcode SegmentAllocator.free}. */
  hold(extent: number, state: ExtentState, ticket: number): void {
    const units = this.#pool.units(extent);
    this.#used -= units;
    this.#held += units;
    this.#records.setWord(extent, STATE, state);
    this.#records.setWord(extent, LINK_AFTER, ticket);
    this.#heldStarts?.set(this.#pool.offset(extent), extent);
  }

  /** Hands an extent's addresses out in a window. */
  setWindow(extent: number, window: number): void {
    this.#records.setWord(extent, SEGMENT, this.segment | window << HOME_SHIFT);
  }

  /** Length of the free block that the extent freed last became part of. */
  get lastFreed(): number {
    return this.#lastFreed;
  }

  /** Frees a used or held extent. */
  free(extent: number): void {
    const units = this.#pool.units(extent);
    if (this.#pool.state(extent) === ExtentState.USED) this.#used -= units;
    else this.#held -= units;
    this.#heldStarts?.delete(this.#pool.offset(extent));
    this.#records.setWord(extent, STATE, ExtentState.FREE);
    if (this.#closed) return;
    this.#lastFreed = this.#pool.units(this.#insertMerged(extent));
  }

  /** Length of the longest free block. */
  largestFree(): number {
    if (this.#groups === 0) return 0;
    const group = 31 - Math.clz32(this.#groups);
    const bin = group * GROUP_BINS + 31 - Math.clz32(this.#bins[group]);
    let longest = 0;
    for (let block = this.#heads[bin]; block !== 0;) {
      longest = Math.max(longest, this.#pool.units(block));
      block = this.#records.word(block, LINK_AFTER);
    }
    return longest;
  }

  /** From now on nothing is allocated or merged: the extents only wait to be dropped. */
  close(): void {
    this.#closed = true;
    this.#heads.fill(0);
    this.#bins.fill(0);
    this.#groups = 0;
    this.#aside = null;
    this.#starts = null;
    this.#heldStarts = null;
  }

  /** Drops the record of the first extent of a closed segment and returns the one after it. */
  dropFirst(): number {
    const extent = this.#first;
    const state = this.#pool.state(extent);
    if (state !== ExtentState.FREE) this.free(extent);
    this.#first = this.#pool.after(extent);
    this.#records.release(extent);
    return this.#first;
  }

  /** The held extent that starts at an offset, or 0. */
  heldAt(offset: number): number {
    const known = this.#heldStarts?.get(offset);
    if (known !== undefined) return known;
    let extent = this.#first;
    while (extent !== 0 && this.#pool.offset(extent) !== offset) extent = this.#pool.after(extent);
    return extent !== 0 && this.#pool.isHeld(extent) ? extent : 0;
  }

  /**
   * Keeps maps of the free and the held extents by offset, so that a follower finds them at once;
   * without them a search goes from extent to extent.
   */
  followOffsets(follow: boolean): void {
    this.#starts = follow ? new Map() : null;
    this.#heldStarts = follow ? new Map() : null;
    if (this.#starts === null || this.#closed) return;
    for (let extent = this.#first; extent !== 0; extent = this.#pool.after(extent)) {
      const offset = this.#pool.offset(extent);
      if (this.#pool.state(extent) === ExtentState.FREE) this.#starts.set(offset, extent);
      else if (this.#pool.isHeld(extent)) this.#heldStarts?.set(offset, extent);
    }
  }

  #freeBlockAt(offset: number): number {
    const known = this.#starts?.get(offset);
    if (known !== undefined) return known;
    for (let extent = this.#first; extent !== 0; extent = this.#pool.after(extent)) {
      if (this.#pool.offset(extent) + this.#pool.units(extent) > offset) {
        return this.#pool.state(extent) === ExtentState.FREE ? extent : 0;
      }
    }
    return 0;
  }

  #create(offset: number, units: number, before: number, after: number): number {
    const extent = this.#records.allocate();
    this.#records.setWord(extent, OFFSET, offset);
    this.#records.setWord(extent, UNITS, units);
    this.#records.setWord(extent, BEFORE, before);
    this.#records.setWord(extent, AFTER, after);
    this.#records.setWord(extent, STATE, ExtentState.FREE);
    this.#records.setWord(extent, SEGMENT, this.segment);
    return extent;
  }

  /** Takes the front of a block that is in no bin; the rest goes back into one. */
  #use(block: number, units: number): number {
    if (this.#pool.units(block) > units) this.#insert(this.#split(block, units));
    const offset = this.#pool.offset(block);
    this.setWindow(block, this.fences === null ? 0 : this.fences.windowFor(offset, offset + units));
    this.#records.setWord(block, STATE, ExtentState.USED);
    this.#records.setWord(block, LINK_BEFORE, 0);
    this.#records.setWord(block, LINK_AFTER, 0);
    this.#used += units;
    return block;
  }

  /** Cuts a block after `units`; returns the second part. */
  #split(block: number, units: number): number {
    const after = this.#pool.after(block);
    const rest = this.#create(
      this.#pool.offset(block) + units,
      this.#pool.units(block) - units,
      block,
      after,
    );
    if (after !== 0) this.#records.setWord(after, BEFORE, rest);
    this.#records.setWord(block, AFTER, rest);
    this.#records.setWord(block, UNITS, units);
    return rest;
  }

  /** Lengthens `block` by the extent after it and drops that one's record. */
  #absorb(block: number, extent: number): void {
    const after = this.#pool.after(extent);
    this.#records.setWord(block, UNITS, this.#pool.units(block) + this.#pool.units(extent));
    this.#records.setWord(block, AFTER, after);
    if (after !== 0) this.#records.setWord(after, BEFORE, block);
    this.#records.release(extent);
  }

  /** The free block from which `units` would be taken, or 0. */
  #blockFor(units: number): number {
    const bin = binOf(units);
    const larger = this.#binAbove(bin);
    let block = this.#heads[bin];
    let scan = larger < 0 ? FULL_SCAN : NEAR_SCAN;
    while (block !== 0 && this.#pool.units(block) < units) {
      block = --scan === 0 ? 0 : this.#records.word(block, LINK_AFTER);
    }
    return block !== 0 || larger < 0 ? block : this.#heads[larger];
  }

  /** Makes a block that is in no bin one with its free neighbours; the block that came of it. */
  #insertMerged(extent: number): number {
    let block = extent;
    const before = this.#records.word(extent, BEFORE);
    if (this.#joins(before, extent)) {
      this.#remove(before);
      this.#absorb(before, extent);
      block = before;
    }
    const after = this.#pool.after(block);
    if (this.#joins(after, after)) {
      this.#remove(after);
      this.#absorb(block, after);
    }
    this.#insert(block);
    return block;
  }

  /** Whether a neighbour is free and no edge of what is set aside lies where `second` begins. */
  #joins(neighbour: number, second: number): boolean {
    if (neighbour === 0 || this.#pool.state(neighbour) !== ExtentState.FREE) return false;
    const border = this.#pool.offset(second);
    return this.#aside === null || border !== this.#aside.start && border !== this.#aside.end;
  }

  #isAside(block: number): boolean {
    if (this.#aside === null) return false;
    const offset = this.#pool.offset(block);
    return offset >= this.#aside.start && offset < this.#aside.end;
  }

  #binAbove(bin: number): number {
    const group = bin >>> GROUP_SHIFT;
    const own = this.#bins[group] & (-2 << (bin & (GROUP_BINS - 1)));
    if (own !== 0) return group * GROUP_BINS + 31 - Math.clz32(own & -own);
    const above = this.#groups & (-2 << group);
    if (above === 0) return -1;
    const next = 31 - Math.clz32(above & -above);
    const bins = this.#bins[next];
    return next * GROUP_BINS + 31 - Math.clz32(bins & -bins);
  }

  #insert(block: number): void {
    this.#records.setWord(block, STATE, ExtentState.FREE);
    this.#starts?.set(this.#pool.offset(block), block);
    if (this.#isAside(block)) return;
    const bin = binOf(this.#pool.units(block));
    const head = this.#heads[bin];
    this.#records.setWord(block, LINK_BEFORE, 0);
    this.#records.setWord(block, LINK_AFTER, head);
    if (head !== 0) this.#records.setWord(head, LINK_BEFORE, block);
    this.#heads[bin] = block;
    this.#bins[bin >>> GROUP_SHIFT] |= 1 << (bin & (GROUP_BINS - 1));
    this.#groups |= 1 << (bin >>> GROUP_SHIFT);
  }

  #remove(block: number): void {
    this.#starts?.delete(this.#pool.offset(block));
    if (this.#isAside(block)) return;
    const before = this.#records.word(block, LINK_BEFORE);
    const after = this.#records.word(block, LINK_AFTER);
    if (after !== 0) this.#records.setWord(after, LINK_BEFORE, before);
    if (before !== 0) {
      this.#records.setWord(before, LINK_AFTER, after);
    } else {
      const bin = binOf(this.#pool.units(block));
      this.#heads[bin] = after;
      if (after === 0) {
        const group = bin >>> GROUP_SHIFT;
        this.#bins[group] &= ~(1 << (bin & (GROUP_BINS - 1)));
        if (this.#bins[group] === 0) this.#groups &= ~(1 << group);
      }
    }
  }
}
