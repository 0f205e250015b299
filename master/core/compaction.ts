/**
 * The work of a compaction: it looks for the part of a segment that is cheapest to empty, keeps new
 * data out of it, and has its objects moved to the tightest holes elsewhere.
 */
import { ErrorCode } from "../../proto/error_code.ts";
import { SegmentStatus, TaskStatus, type Uuid } from "../../proto/types.ts";
import { ExtentState } from "./allocator.ts";
import { type Aside, endAside, setAside } from "./aside.ts";
import { CompactionRun } from "./compaction_run.ts";
import { isIntact, isMovable, PartScan, placeName } from "./compaction_scan.ts";
import { Counter } from "./counters.ts";
import { beginMove } from "./job_moves.ts";
import {
  afterFailure,
  giveUp,
  mayOrderMs,
  ORDERS_PER_STEP,
  PASS_MS,
  VAIN_PASSES,
} from "./job_pace.ts";
import { Blocker, type Job, type JobPlan, type JobRun, JobStatus } from "./job_table.ts";
import { finishJob } from "./jobs.ts";
import { changeTask } from "./orders.ts";
import { replicaUnder } from "./replication.ts";
import type { SegmentEntry, SegmentName } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { isSuspect } from "./store_health.ts";

/** Extents that one step looks at. */
const LOOKS_PER_STEP = 2048;
/** The goal when the one before could not be reached. */
const SHRINK = 0.75;
/** Parts in a row that cannot be emptied before the goal is given up. */
const MAX_FAILURES = 16;
/** How long a part may stay as it is, beyond what leases last. */
const PATIENCE_MS = 5000;

/** Goes on with a compaction; when it wants to go on. */
export function stepCompaction(state: CoreState, job: Job, run: JobRun, nowMs: number): number {
  const { plan } = job;
  const work = run.compaction ??= new CompactionRun(firstGoal(state, plan));
  if (state.segments.awaiting.size > 0) {
    run.progressMs = nowMs;
    return nowMs + PASS_MS;
  }
  if (work.part !== null && state.aside !== work.part) leavePart(state, job, run, work, nowMs);
  if (work.goalBytes <= 0 || holds(state, plan, work.goalBytes)) {
    return settle(state, job, JobStatus.SUCCEEDED, "", nowMs);
  }
  if (nowMs - run.progressMs >= plan.giveUpMs) {
    leavePart(state, job, run, work, nowMs);
    return giveUp(state, job, run, nowMs);
  }
  return work.part === null
    ? search(state, job, run, work, nowMs)
    : empty(state, job, run, work, work.part, nowMs);
}

/** Longest free piece, and all that is free, in the segments that a compaction is about; bytes. */
export function freePieces(state: CoreState, plan: JobPlan): { longest: number; free: number } {
  let longest = 0;
  let free = 0;
  for (const { allocator, unitBytes } of segmentsOf(state, plan)) {
    longest = Math.max(longest, allocator.largestFree() * unitBytes);
    free += allocator.freeUnits * unitBytes;
  }
  return { longest, free };
}

function firstGoal(state: CoreState, plan: JobPlan): number {
  let most = 0;
  for (const { allocator, unitBytes } of segmentsOf(state, plan)) {
    most = Math.max(most, allocator.freeUnits * unitBytes);
  }
  return plan.goalBytes === 0 ? most : plan.goalBytes;
}

function namesOf({ segments }: CoreState, only: readonly string[]): readonly SegmentName[] {
  if (only.length === 0) return segments.openNames;
  return segments.openNames.filter(({ name }) => only.includes(name));
}

function segmentsOf(state: CoreState, { segments }: JobPlan): SegmentEntry[] {
  return namesOf(state, segments).flatMap(({ open }) => open);
}

function holds(state: CoreState, plan: JobPlan, bytes: number): boolean {
  return segmentsOf(state, plan).some((entry) =>
    entry.allocator.canHold(state.segments.unitsFor(entry, bytes))
  );
}

/** Looks on for a part to empty. */
function search(
  state: CoreState,
  job: Job,
  run: JobRun,
  work: CompactionRun,
  nowMs: number,
): number {
  const { plan } = job;
  if (nowMs < run.nextPassMs) return run.nextPassMs;
  work.scan ??= new PartScan(segmentsOf(state, plan), work.goalBytes);
  let longest = 0;
  for (const { open } of namesOf(state, plan.targets)) {
    for (const { allocator, unitBytes } of open) {
      longest = Math.max(longest, allocator.freeBound * unitBytes);
    }
  }
  if (!work.scan.step(state, run, work, longest, LOOKS_PER_STEP, nowMs)) return nowMs;
  const { best } = work.scan;
  work.scan = null;
  if (best === null) return shrink(state, job, run, work, nowMs);
  if (!isIntact(state, best) || best.entry.status !== SegmentStatus.OK) return nowMs + 1;
  setAside(state, best);
  work.part = state.aside;
  work.freeUnits = 0;
  work.sinceMs = nowMs;
  return nowMs;
}

/** Is content with less, or looks again after a pause, or ends. */
function shrink(
  state: CoreState,
  job: Job,
  run: JobRun,
  work: CompactionRun,
  nowMs: number,
): number {
  const { leastBytes } = job.plan;
  work.forgetImmovable();
  if (work.goalBytes > leastBytes) {
    work.goalBytes = Math.max(leastBytes, Math.floor(work.goalBytes * SHRINK));
    return nowMs;
  }
  job.progress.blocked = run.blocked;
  run.blocked = {};
  if (++run.idlePasses < VAIN_PASSES) {
    run.nextPassMs = nowMs + PASS_MS * 2 ** run.idlePasses;
    return run.nextPassMs;
  }
  const why = `no objects can be moved so that ${leastBytes} bytes in a row become free` +
    afterFailure(run);
  return settle(state, job, JobStatus.FAILED, `${why}; `, nowMs);
}

/** Has what is left in a part moved away. */
function empty(
  state: CoreState,
  job: Job,
  run: JobRun,
  work: CompactionRun,
  part: Aside,
  nowMs: number,
): number {
  const { extents, replicas } = state;
  const { entry, first, start, end } = part;
  let free = 0;
  let orders = ORDERS_PER_STEP;
  let untilMs = nowMs + PASS_MS;
  for (let at = first; at !== 0 && extents.offset(at) < end; at = extents.after(at)) {
    const extentState = extents.state(at);
    if (extentState === ExtentState.FREE) free += extents.units(at);
    if (extentState === ExtentState.DISCARDED) return fail(state, job, run, work, nowMs);
    if (extentState !== ExtentState.USED || orders === 0) continue;
    const replica = extents.owner(at);
    const slot = replicas.slot(replica);
    if (run.slots.has(slot)) continue;
    const readyMs = mayOrderMs(job, run, nowMs);
    if (readyMs > nowMs) {
      if (readyMs < Infinity) work.sinceMs = run.progressMs = nowMs;
      untilMs = Math.min(untilMs, readyMs);
      continue;
    }
    orders--;
    if (!moveAway(state, job, run, entry, slot, replica, nowMs)) {
      work.slots.add(slot);
      return fail(state, job, run, work, nowMs);
    }
  }
  if (free === end - start) return opened(state, job, part, nowMs);
  if (free > work.freeUnits) work.sinceMs = run.progressMs = nowMs;
  work.freeUnits = Math.max(work.freeUnits, free);
  if (nowMs - work.sinceMs <= PATIENCE_MS + state.config.defaultKvLeaseTtlMs) return untilMs;
  avoidRest(state, work, part);
  return fail(state, job, run, work, nowMs);
}

/** Orders a move, unless it has to wait. `false` = the object cannot go anywhere. */
function moveAway(
  state: CoreState,
  job: Job,
  run: JobRun,
  from: SegmentEntry,
  slot: number,
  replica: number,
  nowMs: number,
): boolean {
  const { counters, config, replicas } = state;
  const bytes = replicas.size(replica);
  if (!isMovable(state, slot, replica) || isSuspect(state, from)) {
    run.blocked[Blocker.BUSY] = (run.blocked[Blocker.BUSY] ?? 0) + 1;
    return true;
  }
  // Both copies count while it is moved, and eviction must not be woken by that.
  const most = config.evictionHighWatermarkRatio * counters.get(Counter.CAPACITY_BYTES);
  if (counters.get(Counter.ALLOCATED_BYTES) + bytes > most) {
    run.blocked[Blocker.NO_ROOM] = (run.blocked[Blocker.NO_ROOM] ?? 0) + 1;
    return true;
  }
  const target = tightestFor(state, job.plan, from.name, slot, bytes);
  if (target === "") {
    run.blocked[Blocker.NO_ROOM] = (run.blocked[Blocker.NO_ROOM] ?? 0) + 1;
    return false;
  }
  const code = beginMove(state, job, run, null, slot, replica, target, nowMs);
  if (code !== ErrorCode.INVALID_KEY) return true;
  run.blocked[Blocker.KEY_NOT_TEXT] = (run.blocked[Blocker.KEY_NOT_TEXT] ?? 0) + 1;
  return false;
}

/**
 * The name where the least is left over of the hole that the object would go to; "" = none has one.
 * A move that leaves its node counts as if the object's size were left over, too.
 */
function tightestFor(
  state: CoreState,
  { targets }: JobPlan,
  home: SegmentName,
  slot: number,
  bytes: number,
): string {
  const { segments } = state;
  let best = "";
  let least = Infinity;
  for (const name of namesOf(state, targets)) {
    if (name !== home && replicaUnder(state, slot, name.name) !== 0) continue;
    for (const entry of name.open) {
      if (isSuspect(state, entry)) continue;
      const fit = entry.allocator.fit(segments.unitsFor(entry, bytes)) * entry.unitBytes;
      const rest = fit - bytes + (name === home ? 0 : bytes);
      if (fit === 0 || rest >= least) continue;
      least = rest;
      best = name.name;
    }
  }
  return best;
}

function opened(state: CoreState, job: Job, { entry, start, end }: Aside, nowMs: number): number {
  const bytes = (end - start) * entry.unitBytes;
  state.counters.add(Counter.COMPACTION_OPENED, 1);
  state.counters.add(Counter.COMPACTION_OPENED_BYTES, bytes);
  return settle(state, job, JobStatus.SUCCEEDED, `opened ${bytes} bytes; `, nowMs);
}

function settle(
  state: CoreState,
  job: Job,
  status: JobStatus,
  what: string,
  nowMs: number,
): number {
  endAside(state);
  const { longest, free } = freePieces(state, job.plan);
  const message = `${what}the longest free piece has ${longest} bytes of ${free} that are free`;
  finishJob(state, job, status, message, nowMs);
  return Infinity;
}

function fail(state: CoreState, job: Job, run: JobRun, work: CompactionRun, nowMs: number): number {
  leavePart(state, job, run, work, nowMs);
  return ++work.failures < MAX_FAILURES ? nowMs : shrink(state, job, run, work, nowMs);
}

/** Gives a part up; what its owner has not begun to move stays where it is. */
function leavePart(
  state: CoreState,
  job: Job,
  run: JobRun,
  work: CompactionRun,
  nowMs: number,
): void {
  if (work.part === null) return;
  if (state.aside === work.part) endAside(state);
  work.part = null;
  state.counters.add(Counter.COMPACTION_ABANDONED, 1);
  for (const [id, { slot }] of Array.from(run.units) as [Uuid, { slot: number }][]) {
    const task = state.tasks.find(id);
    if (task?.job?.id !== job.id || task.status !== TaskStatus.PENDING) continue;
    changeTask(state, task, TaskStatus.FAILED, "the part is not emptied any more", nowMs);
    run.units.delete(id);
    run.slots.delete(slot);
  }
}

/** Notes what is left in a part as something that does not go away. */
function avoidRest({ extents, replicas }: CoreState, work: CompactionRun, part: Aside): void {
  const { entry, first, end } = part;
  for (let at = first; at !== 0 && extents.offset(at) < end; at = extents.after(at)) {
    if (extents.state(at) === ExtentState.USED) work.slots.add(replicas.slot(extents.owner(at)));
    if (extents.isHeld(at)) work.places.add(placeName(entry.index, extents.offset(at)));
  }
}
