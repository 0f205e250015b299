/** The changes of segments, disks, tenants and held extents; see `mutations.ts` for the rules. */
import type { Segment, SegmentStatus, Uuid } from "../../proto/types.ts";
import { ExtentState } from "./allocator.ts";
import { Counter } from "./counters.ts";
import type { Disk } from "./disks.ts";
import { type FencedRange, FencedRanges } from "./fenced_ranges.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** Gives a tenant the next index; -1 when there is no more room. */
export function addTenant(
  state: CoreState,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const tenant = state.tenants.add(bytes, start, end);
  if (tenant >= 0) state.facts?.tenantAdded(tenant);
  return tenant;
}

/** Mounts a segment at an index that is not in use. */
export function mountSegment(
  state: CoreState,
  index: number,
  segment: Segment,
  owner: number,
): SegmentEntry {
  if (state.clients.retain(owner)) state.facts?.clientAdded(owner);
  const entry = state.segments.add(index, segment, owner);
  state.counters.add(Counter.CAPACITY_BYTES, segment.size);
  state.facts?.segmentMounted(entry);
  return entry;
}

export function setSegmentStatus(
  state: CoreState,
  entry: SegmentEntry,
  status: SegmentStatus,
  unmountAtMs: number,
): void {
  state.segments.setStatus(entry, status, unmountAtMs);
  state.facts?.segmentStatus(entry);
}

/** Unmounts a segment: from now on nothing in it can be read. Its replicas are swept up later. */
export function killSegment(state: CoreState, entry: SegmentEntry): void {
  const { counters } = state;
  const unit = entry.unitBytes;
  state.facts?.segmentKilled(entry);
  state.segments.kill(entry);
  counters.add(Counter.CAPACITY_BYTES, -entry.view.segment.size);
  counters.add(Counter.ALLOCATED_BYTES, -entry.allocator.usedUnits * unit);
  counters.add(Counter.HELD_BYTES, -entry.allocator.heldUnits * unit);
}

/** Drops the first extent of a killed segment; no replica may use it. Returns whether more follow. */
export function dropExtent(state: CoreState, entry: SegmentEntry): boolean {
  const extent = entry.allocator.first;
  if (extent === 0) return false;
  if (state.extents.state(extent) === ExtentState.DISCARDED) {
    state.counters.add(Counter.DISCARDED_RELEASED, 1);
    const bytes = state.extents.units(extent) * entry.unitBytes;
    state.counters.add(Counter.DISCARDED_BYTES, -bytes);
  }
  return entry.allocator.dropFirst() !== 0;
}

/** Forgets a killed segment that no replica uses any more. */
export function forgetSegment(state: CoreState, entry: SegmentEntry): void {
  while (dropExtent(state, entry));
  state.facts?.segmentForgotten(entry.index);
  state.segments.forget(entry);
  state.clients.release(entry.owner);
}

/** Makes an extent free that was held. */
export function freeExtent(state: CoreState, extent: number): void {
  const { extents, counters } = state;
  const entry = state.segments.at(extents.segment(extent));
  state.facts?.extentFreed(entry.index, extents.offset(extent));
  const bytes = extents.units(extent) * entry.unitBytes;
  if (extents.state(extent) === ExtentState.DISCARDED) {
    counters.add(Counter.DISCARDED_RELEASED, 1);
    counters.add(Counter.DISCARDED_BYTES, -bytes);
  }
  if (state.segments.isAlive(entry.index)) counters.add(Counter.HELD_BYTES, -bytes);
  entry.allocator.free(extent);
}

/** Notes that writers are kept out of units of a segment. */
export function fenceUnits(state: CoreState, entry: SegmentEntry, range: FencedRange): void {
  entry.allocator.fences ??= new FencedRanges();
  entry.allocator.fences.add(range);
  state.facts?.extentFenced(entry.index, range);
}

/** Makes a reserved extent one that was given back and is not free until its time. */
export function holdExtent(
  state: CoreState,
  extent: number,
  kind: ExtentState,
  untilMs: number,
): void {
  const { extents, counters } = state;
  const { allocator, unitBytes } = state.segments.at(extents.segment(extent));
  allocator.hold(extent, kind, state.quarantine.add(extent, untilMs));
  state.facts?.extentHeld(extent, untilMs);
  const bytes = extents.units(extent) * unitBytes;
  counters.add(Counter.HELD_BYTES, bytes);
  if (kind !== ExtentState.DISCARDED) return;
  counters.add(Counter.WRITES_DISCARDED, 1);
  counters.add(Counter.DISCARDED_BYTES, bytes);
}

/** Remembers memory that has left the pool and must wait when it comes back. */
export function promiseMemory(
  state: CoreState,
  endpoint: string,
  start: bigint,
  end: bigint,
  untilMs: number,
  nowMs: number,
): void {
  state.promised.add(endpoint, start, end, untilMs, nowMs);
  state.facts?.memoryPromised(endpoint, start, end, untilMs, nowMs);
}

/** Remembers that the owner of a segment has taken it back for good. */
export function noteUnmounted(state: CoreState, id: Uuid, owner: Uuid): void {
  state.unmounted.add(id, owner);
  state.facts?.segmentUnmounted(id, owner);
}

/** Lets a client lend its disk; it must not lend one already. */
export function mountDisk(state: CoreState, client: number, enabled: boolean): Disk {
  if (state.clients.retain(client)) state.facts?.clientAdded(client);
  const disk = state.disks.mount(client, enabled);
  state.facts?.diskMounted(client);
  return disk;
}

/** Makes everything on a client's disk unreadable. Its replicas are swept up later. */
export function killDisk(state: CoreState, disk: Disk): void {
  state.facts?.diskKilled(disk.client);
  state.counters.add(Counter.DISK_CAPACITY_BYTES, -disk.capacityBytes);
  state.disks.kill(disk);
}

/** Forgets a killed disk without replicas. */
export function forgetDisk(state: CoreState, disk: Disk): void {
  state.facts?.diskForgotten(disk.client);
  state.disks.forget(disk);
  state.clients.release(disk.client);
}
