/** What outlives a segment: memory that somebody may still use, for when it is lent again. */
import { SegmentStatus } from "../../proto/types.ts";
import { ExtentState } from "./allocator.ts";
import { holdExtent, killSegment, noteUnmounted, promiseMemory } from "./mount_mutations.ts";
import { belongsToWrite } from "./mutations.ts";
import { ObjectLink } from "./objects.ts";
import { RangeMap } from "./range_map.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** Extents of a segment that are looked at for leases; beyond that all of it counts as leased. */
const EXTENTS_LOOKED_AT = 4096;
/** Ranges of a segment that readers hold, and that anybody holds; more are made one. */
const MOST_LEASED = 256;
const MOST_RANGES = 1024;

/** Ranges in units, by the index of their segment. */
type Found = Map<number, RangeMap>;

/**
 * Takes segments out of the pool: nothing in them can be read any more. What readers, writers and
 * transfers may still use stays promised to them, wherever its owner lends it again.
 */
export function takeOut(state: CoreState, entries: readonly SegmentEntry[], nowMs: number): void {
  const found: Found = new Map();
  for (const { index, allocator } of entries) {
    const ranges = new RangeMap();
    for (const { start, end, untilMs } of allocator.fences?.all ?? []) {
      ranges.add(BigInt(start), BigInt(end), untilMs);
    }
    if (allocator.usedUnits + allocator.heldUnits + ranges.size > 0) found.set(index, ranges);
  }
  if (found.size > 0) {
    for (const index of found.keys()) findLeased(state, index, found, nowMs);
    findWritten(state, found, nowMs);
    findMoved(state, found, nowMs);
    findHeld(state, found, nowMs);
  }
  for (const entry of entries) {
    const ranges = found.get(entry.index);
    if (ranges !== undefined) promise(state, entry, ranges, nowMs);
    if (entry.status === SegmentStatus.GRACEFULLY_UNMOUNTING) {
      noteUnmounted(state, entry.view.segment.id, state.clients.get(entry.owner).uuid);
    }
    killSegment(state, entry);
  }
}

/** Keeps what is promised of a segment that has just been mounted from being given to others. */
export function keepPromises(state: CoreState, entry: SegmentEntry): void {
  const { base, size, teEndpoint } = entry.view.segment;
  const promised = state.promised.within(teEndpoint, base, base + BigInt(size));
  if (promised.length === 0) return;
  const unit = BigInt(entry.unitBytes);
  const units = new RangeMap();
  for (const { start, end, untilMs } of promised) {
    units.add((start - base) / unit, (end - base + unit - 1n) / unit, untilMs);
  }
  const all = units.within(0n, BigInt(entry.allocator.totalUnits));
  for (const { start, end, untilMs } of all.reverse()) {
    const extent = entry.allocator.reserve(Number(start), Number(end - start));
    holdExtent(state, extent, ExtentState.HELD, untilMs);
  }
}

function promise(state: CoreState, entry: SegmentEntry, ranges: RangeMap, nowMs: number): void {
  const { base, teEndpoint } = entry.view.segment;
  if (ranges.size > MOST_RANGES || state.promised.crowded) ranges.coalesce();
  const unit = BigInt(entry.unitBytes);
  for (const { start, end, untilMs } of ranges.all) {
    promiseMemory(state, teEndpoint, base + start * unit, base + end * unit, untilMs, nowMs);
  }
}

/** Objects that may be read until their leases end. */
function findLeased(state: CoreState, index: number, found: Found, nowMs: number): void {
  const { extents, replicas, objects, config } = state;
  const { allocator } = state.segments.at(index);
  const leased = new RangeMap();
  let extent = allocator.first;
  for (let left = EXTENTS_LOOKED_AT; left > 0 && extent !== 0; left--) {
    if (extents.state(extent) === ExtentState.USED) {
      const untilMs = objects.leaseUntil(replicas.slot(extents.owner(extent)));
      if (untilMs > nowMs) addExtent(state, leased, extent, untilMs);
    }
    extent = extents.after(extent);
  }
  if (extent !== 0) {
    leased.add(0n, BigInt(allocator.totalUnits), nowMs + config.defaultKvLeaseTtlMs);
  }
  if (leased.size > MOST_LEASED) leased.coalesce();
  const ranges = found.get(index)!;
  for (const { start, end, untilMs } of leased.all) ranges.add(start, end, untilMs);
}

/** Unfinished writes, whose writers may write until the release time-out. */
function findWritten(state: CoreState, found: Found, nowMs: number): void {
  const { writes, config } = state;
  for (let write = writes.oldest; write !== 0; write = writes.next(write)) {
    const untilMs = writes.startMs(write) + config.putStartReleaseTimeoutMs;
    if (untilMs <= nowMs) continue;
    const slot = writes.slot(write);
    addReplicas(state, slot, found, untilMs, (replica) => belongsToWrite(state, slot, replica));
  }
}

/** What copies, moves and promotions read and write, and what owners read to store it on disk. */
function findMoved(state: CoreState, found: Found, nowMs: number): void {
  const { transfers, offloads } = state.transfers;
  for (const table of [transfers, offloads]) {
    for (const { slot, startMs } of table.values()) {
      const untilMs = startMs + state.config.putStartReleaseTimeoutMs;
      if (untilMs > nowMs) addReplicas(state, slot, found, untilMs, () => true);
    }
  }
}

/** Extents that were given back before, and wait for their users. */
function findHeld(state: CoreState, found: Found, nowMs: number): void {
  state.quarantine.each(state.extents, (extent, untilMs) => {
    const ranges = found.get(state.extents.segment(extent));
    if (ranges !== undefined && untilMs > nowMs) addExtent(state, ranges, extent, untilMs);
  });
}

function addReplicas(
  state: CoreState,
  slot: number,
  found: Found,
  untilMs: number,
  wanted: (replica: number) => boolean,
): void {
  const { objects, replicas } = state;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    const ranges = replicas.isMemory(replica) ? found.get(replicas.segment(replica)) : undefined;
    if (ranges !== undefined && wanted(replica)) {
      addExtent(state, ranges, replicas.place(replica), untilMs);
    }
  }
}

function addExtent(state: CoreState, ranges: RangeMap, extent: number, untilMs: number): void {
  const offset = state.extents.offset(extent);
  ranges.add(BigInt(offset), BigInt(offset + state.extents.units(extent)), untilMs);
}
