/**
 * Dynamic replication: objects that are read a lot get another replica on a node that is read less,
 * and lose it when they are read no more or the memory is wanted. The client that owns the source
 * copies the bytes, as for every copy task.
 */
import { ErrorCode } from "../../proto/error_code.ts";
import { SegmentStatus, TaskStatus } from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import type { HeatMeter } from "./heat.ts";
import type { HotCopy, HotOrder } from "./hot_copies.ts";
import { meterOf, showCopies, tell } from "./hot_view.ts";
import { removeReplica, replicaById } from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { changeTask, orderHotCopy } from "./orders.ts";
import { placeReplicas } from "./placement.ts";
import { heldByReaders, isHoused, isReadable } from "./queries.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { isSuspect } from "./store_health.ts";
import { isFinished } from "./tasks.ts";
import { randomUuid } from "./uuid.ts";

/** Pause between two steps, and between two looks at which copies have become cold. */
const STEP_MS = 100;
const SWEEP_MS = 1000;
/** Bounds of one step, and of copies under way at a time. */
const LOOKS_PER_STEP = 128;
const ORDERS_PER_STEP = 8;
const MAX_ORDERS = 64;
const COPIES_PER_SWEEP = 1024;
/** Copies that are compared when room is wanted, and that one put may take away. */
const SHED_SAMPLE = 64;
const SHED_PER_PUT = 64;
/** A copy goes when its object is read less often than this share of what it takes to get one. */
const COLD_SHARE = 0.5;
/** A client that has not begun a copy, or does not go on with it, for so long has lost its order. */
const UNFETCHED_MS = 10_000;
const LOST_MS = 30_000;
const RETRY_MS = 5000;
/** Orders are JSON: a key that is not UTF-8 is not looked at again for so long. */
const NOT_TEXT_MS = 60_000;

/** Counts a read of an object from memory. */
export function noteHotRead(state: CoreState, slot: number, nowMs: number): void {
  const { config, hot, objects, replicas } = state;
  const meter = hot.meter(config.replicationHeatWindowMs, nowMs);
  const rate = meter.note(objects.hash(slot), nowMs);
  let count = 0;
  const first = objects.link(slot, ObjectLink.REPLICA);
  for (let at = first; at !== 0; at = replicas.next(at)) {
    if (replicas.isMemory(at) && isReadable(state, at)) count++;
  }
  for (let at = first; at !== 0; at = replicas.next(at)) {
    if (!replicas.isMemory(at) || !isReadable(state, at)) continue;
    meter.noteSegment(replicas.segment(at), 1 / count, nowMs);
  }
  if (rate >= config.replicationAdmissionQps && count < config.replicationMaxReplicas) {
    hot.noteCandidate(slot);
  }
}

/** Orders copies of hot objects and removes those of cold ones. Bounded. */
export function stepReplication(state: CoreState, nowMs: number): void {
  const { config, hot } = state;
  if (state.readOnly || nowMs < hot.nextStepMs) return;
  if (config.replicationMode === "off") {
    hot.forgetReads();
    if (hot.copies.size === 0 && hot.orders.size === 0) return;
  }
  hot.nextStepMs = nowMs + STEP_MS;
  for (const order of Array.from(hot.orders.values())) followOrder(state, order, nowMs);
  let looks = LOOKS_PER_STEP;
  let orders = Math.min(ORDERS_PER_STEP, MAX_ORDERS - hot.orders.size);
  for (const slot of hot.candidates) {
    if (looks-- === 0 || orders <= 0) break;
    hot.candidates.delete(slot);
    if (consider(state, slot, nowMs)) orders--;
  }
  if (nowMs < hot.nextSweepMs) return;
  hot.nextSweepMs = nowMs + SWEEP_MS;
  sweep(state, nowMs);
}

/**
 * Takes extra copies away, those that are read least first, until `wantedBytes` are given back or
 * none is left. Returns the bytes. Readers may still read some of them for the length of a lease.
 */
export function shedCopies(state: CoreState, wantedBytes: number, nowMs: number): number {
  let freed = 0;
  for (const copy of coldestFirst(state, nowMs)) {
    if (freed >= wantedBytes) break;
    freed += dropCopy(state, copy, "removed_for_room", nowMs);
  }
  return freed;
}

/** Takes extra copies that nobody reads away until `state.request` finds room; whether it did. */
export function shedForPut(state: CoreState, nowMs: number): boolean {
  let left = SHED_PER_PUT;
  for (const copy of coldestFirst(state, nowMs)) {
    if (copyReplica(state, copy) === 0 || heldByReaders(state, copy.slot, nowMs) !== 0) continue;
    if (left-- === 0) return false;
    if (dropCopy(state, copy, "removed_for_room", nowMs) === 0) continue;
    if (placeReplicas(state) > 0) return true;
  }
  return false;
}

/** Looks at an object that was read often. Returns whether a copy was ordered. */
function consider(state: CoreState, slot: number, nowMs: number): boolean {
  const { config, hot, objects, counters } = state;
  if (hot.isResting(slot, nowMs) || hot.orders.has(slot) || !isCopyable(state, slot)) return false;
  const meter = meterOf(state, nowMs);
  const rate = meter.rate(objects.hash(slot), nowMs);
  if (rate < config.replicationAdmissionQps) return false;
  const { source, holders } = homesOf(state, slot, meter, nowMs);
  if (source === 0 || holders.length >= config.replicationMaxReplicas) return false;
  const from = state.segments.at(state.replicas.segment(source));
  const bytes = state.replicas.size(source);
  const target = hasBudget(state, bytes)
    ? coolestFor(state, holders, bytes, nodeRate(state, from.owner, meter, nowMs), meter, nowMs)
    : null;
  if (target === null) {
    counters.add(Counter.HOT_NO_ROOM, 1);
    hot.rest(slot, nowMs + config.replicationHeatWindowMs);
    return false;
  }
  if (config.replicationMode === "observe") {
    counters.add(Counter.HOT_OBSERVED, 1);
    hot.rest(slot, nowMs + config.replicationHeatWindowMs);
    tell(state, "would_add", slot, bytes, target.name.name, nowMs);
    return false;
  }
  const leaseId = randomUuid(state.rng);
  const versionEpoch = state.replicas.id(source);
  const name = target.name.name;
  const { code, value } = orderHotCopy(state, slot, source, name, leaseId, versionEpoch, nowMs);
  if (value === null) {
    hot.rest(slot, nowMs + (code === ErrorCode.INVALID_KEY ? NOT_TEXT_MS : RETRY_MS));
    return false;
  }
  hot.addOrder({
    ...{ slot, task: value, leaseId, versionEpoch, bytes },
    ...{ source: from.name.name, target: name, orderedMs: nowMs },
  });
  const moved = rate * config.replicationHeatWindowMs / 1000 / (holders.length + 1);
  meter.noteSegment(from.index, -moved, nowMs);
  meter.noteSegment(target.index, moved, nowMs);
  tell(state, "ordered", slot, bytes, name, nowMs);
  return true;
}

function isCopyable(state: CoreState, slot: number): boolean {
  const { objects } = state;
  if (!objects.has(slot) || objects.link(slot, ObjectLink.WRITE) !== 0) return false;
  return objects.is(slot, ObjectFlag.COMMITTED) && objects.is(slot, ObjectFlag.IN_MEMORY) &&
    !objects.is(slot, ObjectFlag.TRANSFER | ObjectFlag.OFFLOAD);
}

/** The replica on the node that is read most, 0 = none can be copied, and all nodes that have one. */
function homesOf(
  state: CoreState,
  slot: number,
  meter: HeatMeter,
  nowMs: number,
): { source: number; holders: SegmentEntry[] } {
  const { objects, replicas, segments } = state;
  const holders: SegmentEntry[] = [];
  let source = 0;
  let most = -1;
  for (let at = objects.link(slot, ObjectLink.REPLICA); at !== 0; at = replicas.next(at)) {
    if (!replicas.isMemory(at) || !isHoused(state, at)) continue;
    const entry = segments.at(replicas.segment(at));
    holders.push(entry);
    if (!isReadable(state, at) || entry.status !== SegmentStatus.OK) continue;
    if (isSuspect(state, entry)) continue;
    const rate = nodeRate(state, entry.owner, meter, nowMs);
    if (rate <= most) continue;
    most = rate;
    source = at;
  }
  return { source, holders };
}

/** Reads per second of all segments that a client lends. */
function nodeRate(state: CoreState, owner: number, meter: HeatMeter, nowMs: number): number {
  let rate = 0;
  for (const { index } of state.segments.byOwner(owner)) rate += meter.segmentRate(index, nowMs);
  return rate;
}

/** Whether extra copies may take so much more: never what eviction would have to free again. */
function hasBudget({ config, counters, hot }: CoreState, bytes: number): boolean {
  const capacity = counters.get(Counter.CAPACITY_BYTES);
  const level = config.evictionHighWatermarkRatio - config.evictionRatio;
  return hot.bytes + bytes <= config.replicationMaxShare * capacity &&
    counters.get(Counter.ALLOCATED_BYTES) + bytes <= level * capacity;
}

/**
 * The segment with room on the node that is read least: not one that holds the object, another host
 * if there is one, and only if it is read less than `sourceRate`.
 */
function coolestFor(
  state: CoreState,
  holders: readonly SegmentEntry[],
  bytes: number,
  sourceRate: number,
  meter: HeatMeter,
  nowMs: number,
): SegmentEntry | null {
  const { segments } = state;
  const hosts = new Set(holders.map(({ view }) => view.segment.hostId).filter((id) => id !== ""));
  let best: SegmentEntry | null = null;
  let bestRate = Infinity;
  let bestApart = false;
  for (const { open } of segments.openNames) {
    for (const entry of open) {
      if (isSuspect(state, entry)) continue;
      if (holders.some(({ owner, name }) => owner === entry.owner || name === entry.name)) continue;
      if (!entry.allocator.canHold(segments.unitsFor(entry, bytes))) continue;
      const rate = nodeRate(state, entry.owner, meter, nowMs);
      const apart = !hosts.has(entry.view.segment.hostId);
      if (rate >= sourceRate || (bestApart && !apart)) continue;
      if (bestApart === apart && rate >= bestRate) continue;
      best = entry;
      bestRate = rate;
      bestApart = apart;
    }
  }
  return best;
}

/** Sees how far a copy is that a client was asked for. */
function followOrder(state: CoreState, order: HotOrder, nowMs: number): void {
  const { hot, tasks, transfers, objects } = state;
  const { slot, leaseId, versionEpoch } = order;
  const known = objects.has(slot);
  if (known && transfers.transfers.get(slot)?.leaseId === leaseId) return;
  const task = tasks.find(order.task);
  if (task?.status === TaskStatus.SUCCESS) return hot.dropOrder(order);
  if (task !== null && !isFinished(task.status)) {
    const wanted = known && replicaById(state, slot, versionEpoch) !== 0;
    const patienceMs = task.status === TaskStatus.PENDING ? UNFETCHED_MS : LOST_MS;
    const on = state.config.replicationMode === "enforce";
    if (wanted && on && nowMs - task.updatedMs <= patienceMs) return;
    changeTask(state, task, TaskStatus.FAILED, "the copy is not wanted any more", nowMs);
  }
  hot.dropOrder(order);
  if (!known) return;
  hot.rest(slot, nowMs + RETRY_MS);
  state.counters.add(Counter.HOT_FAILED, 1);
  tell(state, "failed", slot, order.bytes, order.target, nowMs);
}

/** Removes copies of objects that are not read a lot any more. */
function sweep(state: CoreState, nowMs: number): void {
  const { config, hot, objects } = state;
  const enforced = config.replicationMode === "enforce";
  let left = COPIES_PER_SWEEP;
  for (const copy of Array.from(hot.copies.values())) {
    if (left-- === 0) break;
    if (copyReplica(state, copy) === 0) continue;
    hot.requeue(copy);
    if (enforced) {
      if (nowMs - copy.sinceMs < config.replicationHeatWindowMs) continue;
      const rate = meterOf(state, nowMs).rate(objects.hash(copy.slot), nowMs);
      if (rate >= COLD_SHARE * config.replicationAdmissionQps) continue;
    }
    dropCopy(state, copy, "removed_cold", nowMs);
  }
  showCopies(state);
}

/** The replica of a copy, 0 when it has gone or has become the only one: then it is no copy any more. */
function copyReplica(state: CoreState, copy: HotCopy): number {
  const { objects, replicas, hot } = state;
  const { slot } = copy;
  const replica = objects.has(slot) ? replicaById(state, slot, copy.replica) : 0;
  if (replica !== 0) {
    for (let at = objects.link(slot, ObjectLink.REPLICA); at !== 0; at = replicas.next(at)) {
      if (at !== replica && replicas.isMemory(at) && isReadable(state, at)) return replica;
    }
  }
  hot.dropCopy(copy);
  return 0;
}

/** Removes a copy unless somebody works with it; the bytes given back. */
function dropCopy(
  state: CoreState,
  copy: HotCopy,
  why: "removed_cold" | "removed_for_room",
  nowMs: number,
): number {
  const { objects, replicas, segments, hot, counters, config } = state;
  const replica = copyReplica(state, copy);
  if (replica === 0 || replicas.pins(replica) > 0) return 0;
  const { slot } = copy;
  if (objects.is(slot, ObjectFlag.TRANSFER) || objects.link(slot, ObjectLink.WRITE) !== 0) return 0;
  const segment = segments.at(replicas.segment(replica)).name.name;
  tell(state, why, slot, copy.bytes, segment, nowMs);
  removeReplica(state, slot, replica, heldByReaders(state, slot, nowMs), false);
  hot.dropCopy(copy);
  hot.rest(slot, nowMs + config.replicationHeatWindowMs);
  counters.add(Counter.HOT_REMOVED, 1);
  showCopies(state);
  return copy.bytes;
}

function coldestFirst(state: CoreState, nowMs: number): HotCopy[] {
  const { hot, objects } = state;
  const meter = meterOf(state, nowMs);
  const rated: { copy: HotCopy; rate: number }[] = [];
  for (const copy of hot.copies.values()) {
    const rate = objects.has(copy.slot) ? meter.rate(objects.hash(copy.slot), nowMs) : 0;
    if (rated.push({ copy, rate }) >= SHED_SAMPLE) break;
  }
  return rated.sort((a, b) => a.rate - b.rate).map(({ copy }) => copy);
}
