/** The work of jobs: a look at the objects in turn, orders for clients, and when a job is over. */
import { ErrorCode } from "../../proto/error_code.ts";
import { SegmentStatus, type Uuid } from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import { drainReplica, type Looked } from "./drain.ts";
import { stepCompaction } from "./compaction.ts";
import { beginMove, outcomeOf } from "./job_moves.ts";
import {
  afterFailure,
  giveUp,
  mayOrderMs,
  ORDERS_PER_STEP,
  PASS_MS,
  refill,
  VAIN_PASSES,
} from "./job_pace.ts";
import { isOver, type Job, JOB_TITLES, JobKind, type JobRun, JobStatus } from "./job_table.ts";
import { Fills } from "./job_targets.ts";
import { changeJob, finishJob, runOf } from "./jobs.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { isReadable } from "./queries.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** Objects that one step of a job looks at. */
const LOOKS_PER_STEP = 4096;
/** How often progress goes to the journal. */
const KEEP_MS = 1000;
const MAX_DOUBLINGS = 5;

/** Goes on with all jobs for a bounded time. Returns whether there is more to do at once. */
export function stepJobs(state: CoreState, nowMs: number): boolean {
  const { jobs } = state;
  jobs.nextMs = Infinity;
  if (state.readOnly) return false;
  for (const job of Array.from(jobs.all())) {
    if (!isOver(job.status)) jobs.nextMs = Math.min(jobs.nextMs, step(state, job.id, nowMs));
  }
  return jobs.nextMs <= nowMs;
}

/** Goes on with the job that ordered a task, which has just ended. */
export function stepJobOf(state: CoreState, task: Uuid, nowMs: number): void {
  const id = state.tasks.find(task)?.job?.id;
  const job = id === undefined ? null : state.jobs.find(id);
  if (job === null || isOver(job.status) || state.readOnly) return;
  state.jobs.nextMs = Math.min(state.jobs.nextMs, step(state, job.id, nowMs));
}

/** Goes on with one job; when it wants to go on. */
function step(state: CoreState, id: Uuid, nowMs: number): number {
  const created = state.jobs.find(id)!;
  const run = runOf(state, created, nowMs);
  if (created.status === JobStatus.CREATED) {
    const title = JOB_TITLES[created.plan.kind];
    changeJob(state, created, JobStatus.RUNNING, `${title} job running`, nowMs);
  }
  const job = state.jobs.find(id)!;
  collect(state, job, run, nowMs);
  refill(job, run, nowMs);
  const untilMs = STEPS[job.plan.kind](state, job, run, nowMs);
  if (run.changed && nowMs - run.keptMs >= KEEP_MS && state.jobs.runs.has(id)) {
    run.keptMs = nowMs;
    run.changed = false;
    changeJob(state, job, job.status, job.message, nowMs);
  }
  return untilMs;
}

const STEPS = {
  [JobKind.DRAIN]: stepDrain,
  [JobKind.REBALANCE]: stepRebalance,
  [JobKind.COMPACTION]: stepCompaction,
};

/** Notes which of the moves under way have ended. */
function collect(state: CoreState, job: Job, run: JobRun, nowMs: number): void {
  const { progress } = job;
  for (const [id, unit] of run.units) {
    const task = state.tasks.find(id);
    const outcome = outcomeOf(state, task, unit, nowMs);
    if (outcome === "open") continue;
    run.units.delete(id);
    run.slots.delete(unit.slot);
    run.changed = true;
    if (outcome === "moved") {
      progress.movedObjects++;
      progress.movedBytes += unit.bytes;
      state.counters.add(Counter.JOB_MOVES, 1);
      state.counters.add(Counter.JOB_MOVED_BYTES, unit.bytes);
      if (job.plan.kind === JobKind.COMPACTION) {
        state.counters.add(Counter.COMPACTION_MOVES, 1);
        state.counters.add(Counter.COMPACTION_MOVED_BYTES, unit.bytes);
      }
    } else if (outcome === "failed") {
      progress.failedMoves++;
      state.counters.add(Counter.JOB_FAILED_MOVES, 1);
      run.lastFailure = task?.message ?? "its task was forgotten";
      continue;
    }
    run.progressMs = nowMs;
    run.busyPass = true;
  }
}

function stepDrain(state: CoreState, job: Job, run: JobRun, nowMs: number): number {
  const { plan } = job;
  const entries: SegmentEntry[] = [];
  for (const [i, id] of plan.segmentIds.entries()) {
    const entry = state.segments.byId(id);
    if (entry === null) {
      const name = plan.segments[i] ?? id;
      const message = `segment "${name}" left the pool before it was empty`;
      finishJob(state, job, JobStatus.FAILED, message, nowMs);
      return Infinity;
    }
    entries.push(entry);
  }
  const isEmpty = entries.every(({ allocator }) => allocator.usedUnits === 0);
  if (isEmpty && run.units.size === 0) return settleDrain(state, job, run, entries, nowMs);
  run.emptySinceMs = Infinity;
  const indexes = new Set(entries.map(({ index }) => index));
  const fills = new Fills(state, plan.targets, run.units.values());
  return look(state, job, run, nowMs, (slot) => {
    const { objects, replicas } = state;
    for (let at = objects.link(slot, ObjectLink.REPLICA); at !== 0; at = replicas.next(at)) {
      if (!replicas.isMemory(at) || !indexes.has(replicas.segment(at))) continue;
      return drainReplica(state, job, run, fills, slot, at, nowMs);
    }
    return "nothing";
  });
}

/** Empty segments may leave once nobody can still read what was moved away. */
function settleDrain(
  state: CoreState,
  job: Job,
  run: JobRun,
  entries: readonly SegmentEntry[],
  nowMs: number,
): number {
  run.emptySinceMs = Math.min(run.emptySinceMs, nowMs);
  const leasesEndMs = run.emptySinceMs + state.config.defaultKvLeaseTtlMs;
  const held = entries.some(({ allocator }) => allocator.heldUnits > 0);
  if (held && nowMs < leasesEndMs) return leasesEndMs;
  job.progress.blocked = {};
  const message = job.progress.droppedObjects === 0
    ? "Drain job succeeded"
    : `Drain job succeeded; ${job.progress.droppedObjects} objects were dropped for want of room`;
  finishJob(state, job, JobStatus.SUCCEEDED, message, nowMs);
  return Infinity;
}

function stepRebalance(state: CoreState, job: Job, run: JobRun, nowMs: number): number {
  const { plan } = job;
  const fills = new Fills(state, plan.targets, run.units.values());
  const spread = fills.spread();
  if (spread <= plan.threshold) {
    if (run.units.size > 0) return Infinity;
    const message = `the used shares of the segments differ by ${spread.toFixed(3)}`;
    finishJob(state, job, JobStatus.SUCCEEDED, message, nowMs);
    return Infinity;
  }
  if (run.idlePasses >= VAIN_PASSES && run.units.size === 0) {
    const message = `nothing more could be moved; the used shares of the segments differ by ` +
      `${spread.toFixed(3)}${afterFailure(run)}`;
    finishJob(state, job, JobStatus.FAILED, message, nowMs);
    return Infinity;
  }
  const mean = fills.mean();
  return look(state, job, run, nowMs, (slot) => {
    if (fills.spread() <= plan.threshold) return "later";
    return levelObject(state, job, run, fills, mean, slot, nowMs);
  });
}

/** Moves an object from a segment that is fuller than most to the emptiest one. */
function levelObject(
  state: CoreState,
  job: Job,
  run: JobRun,
  fills: Fills,
  mean: number,
  slot: number,
  nowMs: number,
): Looked {
  const { objects, replicas, segments } = state;
  if (objects.is(slot, ObjectFlag.TRANSFER) || objects.link(slot, ObjectLink.WRITE) !== 0) {
    return "nothing";
  }
  for (let at = objects.link(slot, ObjectLink.REPLICA); at !== 0; at = replicas.next(at)) {
    if (!replicas.isMemory(at) || !isReadable(state, at)) continue;
    const source = segments.at(replicas.segment(at));
    if (source.status !== SegmentStatus.OK) continue;
    const share = fills.share(source.name.name);
    const bytes = replicas.size(at);
    if (share === null || share <= mean) continue;
    const target = fills.emptiestFor(slot, bytes);
    if (target === "" || !fills.isBetter(source.name.name, target, bytes)) continue;
    const code = beginMove(state, job, run, fills, slot, at, target, nowMs);
    if (code === ErrorCode.TASK_PENDING_LIMIT_EXCEEDED) return "later";
    return code === ErrorCode.OK ? "ordered" : "nothing";
  }
  return "nothing";
}

/** Looks at objects in turn, from where the last look ended. Returns when to go on. */
function look(
  state: CoreState,
  job: Job,
  run: JobRun,
  nowMs: number,
  visit: (slot: number) => Looked,
): number {
  const { objects } = state;
  if (state.segments.awaiting.size > 0) run.progressMs = nowMs;
  if (nowMs - run.progressMs >= job.plan.giveUpMs) return giveUp(state, job, run, nowMs);
  if (nowMs < run.nextPassMs) return run.nextPassMs;
  let orders = ORDERS_PER_STEP;
  for (let looks = LOOKS_PER_STEP; run.cursor < objects.limit; looks--) {
    const readyMs = mayOrderMs(job, run, nowMs);
    if (readyMs > nowMs) {
      if (readyMs < Infinity) run.progressMs = nowMs;
      return readyMs;
    }
    if (looks === 0 || orders === 0) return nowMs;
    const slot = run.cursor;
    const found = objects.has(slot) && !run.slots.has(slot) ? visit(slot) : "nothing";
    if (found === "later") return nowMs + PASS_MS;
    if (found === "ordered") orders--;
    run.cursor++;
  }
  return endPass(job, run, nowMs);
}

function endPass({ progress }: Job, run: JobRun, nowMs: number): number {
  run.cursor = 1;
  progress.blocked = run.blocked;
  run.blocked = {};
  run.changed = true;
  run.idlePasses = run.busyPass || run.units.size > 0 ? 0 : run.idlePasses + 1;
  run.busyPass = false;
  run.nextPassMs = nowMs + PASS_MS * 2 ** Math.min(run.idlePasses, MAX_DOUBLINGS);
  return run.nextPassMs;
}
