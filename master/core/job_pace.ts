/** How fast a job may go, and when it has to end. */
import { type Job, type JobRun, JobStatus } from "./job_table.ts";
import { finishJob } from "./jobs.ts";
import type { CoreState } from "./state.ts";

/** Orders that one step of a job gives. */
export const ORDERS_PER_STEP = 64;
/** Pause after a look at everything; doubled, up to 32 times, while nothing can be done. */
export const PASS_MS = 250;
/** Looks in vain after which a job without a list of its own is over. */
export const VAIN_PASSES = 3;

/** Gives a job the bytes that it may move for the time that has passed. */
export function refill(job: Job, run: JobRun, nowMs: number): void {
  const { bytesPerSecond } = job.plan;
  const earned = bytesPerSecond * (nowMs - run.allowanceMs) / 1000;
  run.allowance = Math.min(bytesPerSecond, run.allowance + earned);
  run.allowanceMs = nowMs;
}

/** When the next move may begin: now, at a known time, or `Infinity` = when another has ended. */
export function mayOrderMs(job: Job, run: JobRun, nowMs: number): number {
  const { maxConcurrency, bytesPerSecond } = job.plan;
  if (run.units.size >= maxConcurrency) return Infinity;
  if (bytesPerSecond === 0 || run.allowance >= 0) return nowMs;
  return nowMs + Math.max(1, Math.ceil(-run.allowance * 1000 / bytesPerSecond));
}

/** Ends a job that gets no further, once what is under way has ended. */
export function giveUp(state: CoreState, job: Job, run: JobRun, nowMs: number): number {
  if (run.units.size > 0) return Infinity;
  const { plan, progress } = job;
  const reasons = Object.entries(progress.blocked).map(([why, count]) => `${why}: ${count}`);
  const left = reasons.length === 0 ? "" : `; left behind: ${reasons.join(", ")}`;
  const message = `no progress for ${plan.giveUpMs / 1000} s${left}${afterFailure(run)}`;
  finishJob(state, job, JobStatus.FAILED, message, nowMs);
  return Infinity;
}

/** The end of a message, when a move has failed. */
export function afterFailure({ lastFailure }: JobRun): string {
  return lastFailure === "" ? "" : `; the last move failed with ${lastFailure}`;
}
