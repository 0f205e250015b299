/** Making, cancelling and describing jobs, and how they are kept. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import { SegmentStatus, TaskStatus, type Uuid } from "../../proto/types.ts";
import { endAside } from "./aside.ts";
import { Counter } from "./counters.ts";
import { FactKind } from "./facts.ts";
import {
  isOver,
  type Job,
  JOB_TITLES,
  JobKind,
  type JobPlan,
  type JobProgress,
  JobRun,
  JobStatus,
  noProgress,
} from "./job_table.ts";
import { setSegmentStatus } from "./mount_mutations.ts";
import { changeTask } from "./orders.ts";
import { failed, ok } from "./results.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { isFinished } from "./tasks.ts";
import { randomUuid } from "./uuid.ts";

/** Jobs that may go on at a time, and finished ones that are remembered. */
export const MAX_OPEN_JOBS = 16;
export const MAX_FINISHED_JOBS = 64;
export const MAX_JOB_CONCURRENCY = 1024;
/** Compactions of the master's own that are remembered. */
const MAX_OWN_JOBS = 8;

/** Of jobs that are no compactions. */
const NO_GOAL = { goalBytes: 0, leastBytes: 0, automatic: false };

/** What may be asked of every job. */
export interface JobLimits {
  targets: readonly string[];
  /** 1 to {@linkcode MAX_JOB_CONCURRENCY}. */
  maxConcurrency: number;
  /** 0 = no limit. */
  bytesPerSecond: number;
  giveUpMs: number;
}

export interface DrainRequest extends JobLimits {
  /** Names of segments; none and a client = all of that client's. */
  segments: readonly string[];
  client: Uuid | null;
  dropUnplaced: boolean;
}

export interface RebalanceRequest extends JobLimits {
  /** Above 0, below 1. */
  threshold: number;
}

export interface CompactionRequest extends JobLimits {
  /** Names of segments in which room is made; none = all. */
  segments: readonly string[];
  /** See {@linkcode JobPlan.goalBytes}, {@linkcode JobPlan.leastBytes}. */
  goalBytes: number;
  leastBytes: number;
  automatic: boolean;
}

/** A job for those who ask; times are of the Unix epoch. */
export interface JobView extends JobProgress {
  id: Uuid;
  kind: JobKind;
  status: JobStatus;
  message: string;
  createdAtMsEpoch: number;
  updatedAtMsEpoch: number;
  segments: string[];
  targets: string[];
  maxConcurrency: number;
  bytesPerSecond: number;
  /** What a compaction is to free in a row, 0 = as much as it can. */
  goalBytes: number;
  /** Begun by the master itself. */
  automatic: boolean;
  /** Moves under way. */
  activeMoves: number;
  /** Bytes of objects that a drain has still to move. */
  remainingBytes: number;
}

/**
 * Begins to empty segments: nothing new is placed there from now on. INVALID_PARAMS,
 * SEGMENT_NOT_FOUND, UNAVAILABLE_IN_CURRENT_STATUS (one of them is leaving or in another job),
 * TASK_PENDING_LIMIT_EXCEEDED.
 */
export function createDrain(
  state: CoreState,
  request: DrainRequest,
  nowMs: number,
): Expected<Job> {
  const { segments } = state;
  const code = checkLimits(state, request);
  const names = request.client === null ? request.segments : namesOf(state, request.client);
  if (names.length === 0 || new Set(names).size !== names.length) {
    return failed(request.client === null ? ErrorCode.INVALID_PARAMS : ErrorCode.SEGMENT_NOT_FOUND);
  }
  if (names.some((name) => request.targets.includes(name))) return failed(ErrorCode.INVALID_PARAMS);
  const owner = request.client === null ? 0 : state.clients.find(request.client);
  const entries: SegmentEntry[] = [];
  for (const name of names) {
    const named = segments.byName(name);
    if (named === null) return failed(ErrorCode.SEGMENT_NOT_FOUND);
    entries.push(...named.mounted.filter((entry) => owner === 0 || entry.owner === owner));
  }
  if (code !== ErrorCode.OK) return failed(code);
  if (entries.some(({ status }) => status !== SegmentStatus.OK)) {
    return failed(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  }
  const job = addJob(state, {
    ...limitsOf(request),
    kind: JobKind.DRAIN,
    segments: [...names],
    segmentIds: entries.map(({ view }) => view.segment.id),
    dropUnplaced: request.dropUnplaced,
    ...{ threshold: 0, ...NO_GOAL },
  }, nowMs);
  for (const entry of entries) setSegmentStatus(state, entry, SegmentStatus.DRAINING, Infinity);
  return ok(job);
}

/**
 * Begins to move objects from full to emptier segments. INVALID_PARAMS, SEGMENT_NOT_FOUND,
 * UNAVAILABLE_IN_CURRENT_STATUS (a rebalance goes on), TASK_PENDING_LIMIT_EXCEEDED.
 */
export function createRebalance(
  state: CoreState,
  request: RebalanceRequest,
  nowMs: number,
): Expected<Job> {
  if (!(request.threshold > 0 && request.threshold < 1)) return failed(ErrorCode.INVALID_PARAMS);
  const code = checkLimits(state, request);
  if (code !== ErrorCode.OK) return failed(code);
  for (const { plan, status } of state.jobs.all()) {
    if (plan.kind === JobKind.REBALANCE && !isOver(status)) {
      return failed(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
    }
  }
  return ok(addJob(state, {
    ...limitsOf(request),
    kind: JobKind.REBALANCE,
    ...{ segments: [], segmentIds: [], dropUnplaced: false, threshold: request.threshold },
    ...NO_GOAL,
  }, nowMs));
}

/**
 * Begins to move objects so that a long piece of memory becomes free. INVALID_PARAMS,
 * SEGMENT_NOT_FOUND, UNAVAILABLE_IN_CURRENT_STATUS (one goes on that somebody has asked for, or the
 * segments do not take data), TASK_PENDING_LIMIT_EXCEEDED.
 */
export function createCompaction(
  state: CoreState,
  request: CompactionRequest,
  nowMs: number,
): Expected<Job> {
  const { segments, goalBytes, leastBytes, automatic } = request;
  const sound = new Set(segments).size === segments.length && leastBytes >= 0 &&
    goalBytes >= leastBytes && Number.isSafeInteger(goalBytes);
  if (!sound) return failed(ErrorCode.INVALID_PARAMS);
  const code = checkLimits(state, request);
  if (code !== ErrorCode.OK) return failed(code);
  for (const name of segments) {
    const named = state.segments.byName(name);
    if (named === null) return failed(ErrorCode.SEGMENT_NOT_FOUND);
    if (named.open.length === 0) return failed(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  }
  for (const { plan, status } of state.jobs.all()) {
    if (plan.kind === JobKind.COMPACTION && !plan.automatic && !isOver(status)) {
      return failed(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
    }
  }
  return ok(addJob(state, {
    ...limitsOf(request),
    kind: JobKind.COMPACTION,
    ...{ segments: [...segments], segmentIds: [], dropUnplaced: false },
    // To a master that takes it for a rebalance, as older ones do, there is nothing to do.
    threshold: 1,
    ...{ goalBytes, leastBytes, automatic },
  }, nowMs));
}

/**
 * Ends a job; what is under way is finished by the clients, what has moved stays moved, and the
 * segments of a drain take data again. JOB_NOT_FOUND, UNAVAILABLE_IN_CURRENT_STATUS (it is over).
 */
export function cancelJob(state: CoreState, id: Uuid, nowMs: number): ErrorCode {
  const job = state.jobs.find(id);
  if (job === null) return ErrorCode.JOB_NOT_FOUND;
  if (isOver(job.status)) return ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
  const title = JOB_TITLES[job.plan.kind];
  finishJob(state, job, JobStatus.CANCELED, `${title} job canceled`, nowMs);
  return ErrorCode.OK;
}

/** Ends a job: its waiting moves are taken back and its segments get the status that follows. */
export function finishJob(
  state: CoreState,
  job: Job,
  status: JobStatus,
  message: string,
  nowMs: number,
): void {
  for (const task of Array.from(state.tasks.all())) {
    if (task.job?.id !== job.id || task.status !== TaskStatus.PENDING) continue;
    changeTask(state, task, TaskStatus.FAILED, "the job has ended", nowMs);
  }
  if (job.plan.kind === JobKind.COMPACTION) endAside(state);
  const after = status === JobStatus.SUCCEEDED ? SegmentStatus.DRAINED : SegmentStatus.OK;
  for (const id of job.plan.segmentIds) {
    const entry = state.segments.byId(id);
    if (entry?.status === SegmentStatus.DRAINING) setSegmentStatus(state, entry, after, Infinity);
  }
  state.jobs.runs.delete(job.id);
  changeJob(state, job, status, message, nowMs);
}

/** Changes what is told of a job; its progress is kept with it. */
export function changeJob(
  state: CoreState,
  job: Job,
  status: JobStatus,
  message: string,
  nowMs: number,
): void {
  enterJob(state, { ...job, status, message, updatedMs: nowMs });
}

/** Moves under way of a job, from this life of the master or an earlier one. */
export function runOf(state: CoreState, job: Job, nowMs: number): JobRun {
  const known = state.jobs.runs.get(job.id);
  if (known !== undefined) return known;
  const run = new JobRun(nowMs);
  state.jobs.runs.set(job.id, run);
  const encoder = new TextEncoder();
  for (const task of state.tasks.all()) {
    if (task.job?.id !== job.id || isFinished(task.status)) continue;
    const { tenant_id, key, source, target } = JSON.parse(task.payload) as Record<string, string>;
    const tenantBytes = encoder.encode(tenant_id);
    const tenant = Math.max(0, state.tenants.find(tenantBytes, 0, tenantBytes.length));
    const bytes = encoder.encode(key);
    const slot = state.objects.find(tenant, bytes, 0, bytes.length);
    const { bytes: size, replica = 0 } = task.job;
    run.units.set(task.id, { slot, replica, bytes: size, source, target, foundMs: nowMs });
    run.slots.add(slot);
  }
  return run;
}

export function describeJob(state: CoreState, job: Job): JobView {
  const { id, plan, status, message, createdMs, updatedMs, progress } = job;
  const { epochOffsetMs } = state.config;
  let remainingBytes = 0;
  for (const segmentId of isOver(status) ? [] : plan.segmentIds) {
    const entry = state.segments.byId(segmentId);
    if (entry !== null) remainingBytes += entry.allocator.usedUnits * entry.unitBytes;
  }
  return {
    ...progress,
    blocked: { ...progress.blocked },
    ...{ id, kind: plan.kind, status, message },
    createdAtMsEpoch: Math.floor(createdMs + epochOffsetMs),
    updatedAtMsEpoch: Math.floor(updatedMs + epochOffsetMs),
    segments: [...plan.segments],
    targets: [...plan.targets],
    maxConcurrency: plan.maxConcurrency,
    bytesPerSecond: plan.bytesPerSecond,
    ...{ goalBytes: plan.goalBytes, automatic: plan.automatic },
    activeMoves: state.jobs.runs.get(id)?.units.size ?? 0,
    remainingBytes,
  };
}

/** A job as one JSON document, with times of the Unix epoch. */
export function jobDocument(state: CoreState, job: Job): string {
  const { epochOffsetMs } = state.config;
  const createdMs = job.createdMs + epochOffsetMs;
  return JSON.stringify({ ...job, createdMs, updatedMs: job.updatedMs + epochOffsetMs });
}

/** Applies a fact that {@linkcode jobDocument} or the end of a job's memory has told. */
export function applyJob(state: CoreState, kind: number, document: string): void {
  const job = JSON.parse(document) as Job;
  if (kind === FactKind.JOB_DROPPED) return dropJob(state, job.id);
  const { epochOffsetMs } = state.config;
  const createdMs = job.createdMs - epochOffsetMs;
  const plan = "goalBytes" in job.plan ? job.plan : { ...job.plan as JobPlan, ...NO_GOAL };
  enterJob(state, { ...job, plan, createdMs, updatedMs: job.updatedMs - epochOffsetMs });
}

function enterJob(state: CoreState, job: Job): void {
  const before = state.jobs.find(job.id);
  const wasOpen = before !== null && !isOver(before.status);
  const open = !isOver(job.status);
  state.counters.add(Counter.JOBS_RUNNING, Number(open) - Number(wasOpen));
  state.jobs.set(job);
  state.facts?.task(FactKind.JOB_CHANGED, jobDocument(state, job));
}

function dropJob(state: CoreState, id: Uuid): void {
  state.jobs.drop(id);
  state.facts?.task(FactKind.JOB_DROPPED, JSON.stringify({ id }));
}

/** A new job; a compaction of the master's own makes way for it. */
function addJob(state: CoreState, plan: JobPlan, nowMs: number): Job {
  const { jobs } = state;
  const own = Array.from(jobs.all()).filter(({ plan: { automatic } }) => automatic);
  for (const job of own) {
    if (isOver(job.status)) continue;
    finishJob(state, job, JobStatus.CANCELED, "it made way for another job", nowMs);
  }
  if (plan.automatic) { for (const { id } of own.slice(0, 1 - MAX_OWN_JOBS)) dropJob(state, id); }
  const finished = Array.from(jobs.all()).filter(({ status }) => isOver(status));
  for (const { id } of finished.slice(0, Math.max(0, finished.length - MAX_FINISHED_JOBS + 1))) {
    dropJob(state, id);
  }
  let id = randomUuid(state.rng);
  while (jobs.find(id) !== null) id = randomUuid(state.rng);
  enterJob(state, {
    ...{ id, plan, status: JobStatus.CREATED, createdMs: nowMs, updatedMs: nowMs },
    message: `${JOB_TITLES[plan.kind]} job created`,
    progress: noProgress(),
  });
  jobs.nextMs = nowMs;
  return jobs.find(id)!;
}

function limitsOf({ targets, maxConcurrency, bytesPerSecond, giveUpMs }: JobLimits): JobLimits {
  return { targets: [...targets], maxConcurrency, bytesPerSecond, giveUpMs };
}

function checkLimits(state: CoreState, limits: JobLimits): ErrorCode {
  const { targets, maxConcurrency, bytesPerSecond, giveUpMs } = limits;
  const sound = Number.isInteger(maxConcurrency) && maxConcurrency >= 1 &&
    maxConcurrency <= MAX_JOB_CONCURRENCY && bytesPerSecond >= 0 && giveUpMs > 0 &&
    new Set(targets).size === targets.length;
  if (!sound) return ErrorCode.INVALID_PARAMS;
  if (targets.some((name) => state.segments.byName(name) === null)) {
    return ErrorCode.SEGMENT_NOT_FOUND;
  }
  const open = Array.from(state.jobs.all()).filter(({ status }) => !isOver(status)).length;
  return open < MAX_OPEN_JOBS ? ErrorCode.OK : ErrorCode.TASK_PENDING_LIMIT_EXCEEDED;
}

function namesOf(state: CoreState, client: Uuid): string[] {
  const owned = state.segments.byOwner(state.clients.find(client));
  return Array.from(new Set(owned.map(({ name }) => name.name)));
}
