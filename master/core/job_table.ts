/** Jobs that move many objects: what was asked for, and how far they are. */
import type { Uuid } from "../../proto/types.ts";
import type { CompactionRun } from "./compaction_run.ts";

/** Values of `type` in the answers over HTTP; DRAIN is the reference's. */
export const JobKind = { DRAIN: 0, REBALANCE: 1, COMPACTION: 2 } as const;
export type JobKind = (typeof JobKind)[keyof typeof JobKind];

/** How messages call jobs, by kind. */
export const JOB_TITLES = ["Drain", "Rebalance", "Compaction"] as const;

/** Values of `status` in the answers over HTTP, the reference's. */
export const JobStatus = {
  CREATED: 0,
  PLANNING: 1,
  RUNNING: 2,
  SUCCEEDED: 3,
  FAILED: 4,
  CANCELED: 5,
} as const;
export type JobStatus = (typeof JobStatus)[keyof typeof JobStatus];

/** What was asked for. */
export interface JobPlan {
  readonly kind: JobKind;
  /** Names and ids of the segments that a drain empties; names that are compacted, empty = all. */
  readonly segments: readonly string[];
  readonly segmentIds: readonly Uuid[];
  /** Names that may take objects (a drain), or between which is moved; empty = all. */
  readonly targets: readonly string[];
  /** Moves that may be under way. */
  readonly maxConcurrency: number;
  /** 0 = no limit. */
  readonly bytesPerSecond: number;
  /** Remove objects for which there is no room elsewhere, once nobody reads them. */
  readonly dropUnplaced: boolean;
  /** A rebalance ends when the used shares of its segments differ by no more than this, 0 to 1. */
  readonly threshold: number;
  /** A job that gets no further for so long has failed. */
  readonly giveUpMs: number;
  /** Length in a row that a compaction is to free, 0 = what is free in one segment. */
  readonly goalBytes: number;
  /** What it is content with when it cannot get so far, 0 = whatever can be had. */
  readonly leastBytes: number;
  /** Begun by the master itself: it makes way for others. */
  readonly automatic: boolean;
}

/** Why an object could not be moved or dropped when it was last looked at. */
export const Blocker = {
  /** It is being written, copied, moved or promoted, or its owner is away. */
  BUSY: "busy",
  NO_ROOM: "no_room",
  /** It would be dropped, but somebody may be reading it. */
  LEASED: "leased",
  /** It would be dropped, but it has a hard pin. */
  PINNED: "pinned",
  /** Its key is not UTF-8 and cannot stand in an order. */
  KEY_NOT_TEXT: "key_not_text",
} as const;
export type Blocker = (typeof Blocker)[keyof typeof Blocker];

/** What has been done, in objects and bytes. */
export interface JobProgress {
  movedObjects: number;
  movedBytes: number;
  /** Objects that keep a copy elsewhere and lost this one, for want of room. */
  thinnedObjects: number;
  thinnedBytes: number;
  /** Objects that are gone, for want of room. */
  droppedObjects: number;
  droppedBytes: number;
  /** Moves that failed; they are tried again. */
  failedMoves: number;
  /** Objects left behind by the last look at all of them, by reason. */
  blocked: Partial<Record<Blocker, number>>;
}

/** A job as it is kept, also in the journal. Times are in the core's clock. */
export interface Job {
  readonly id: Uuid;
  readonly plan: JobPlan;
  status: JobStatus;
  readonly createdMs: number;
  updatedMs: number;
  message: string;
  progress: JobProgress;
}

/** A move under way. */
export interface Unit {
  readonly slot: number;
  /** Id of the replica that is moved, 0 = it is not known (ordered by an older master). */
  readonly replica: number;
  readonly bytes: number;
  readonly source: string;
  readonly target: string;
  /** When this process found it among what an earlier one had ordered, `Infinity` = its own. */
  readonly foundMs: number;
}

/** What a running job remembers in this process. */
export class JobRun {
  /** Moves under way by the id of their task, and the slots of their objects. */
  readonly units = new Map<Uuid, Unit>();
  readonly slots = new Set<number>();
  /** The slot to look at next. */
  cursor = 1;
  blocked: Partial<Record<Blocker, number>> = {};
  /** Looks at all objects in a row in which nothing could be done. */
  idlePasses = 0;
  /** Whether something was done since this look began. */
  busyPass = false;
  nextPassMs = -Infinity;
  /** Since when the segments of a drain have been empty, `Infinity` = they are not. */
  emptySinceMs = Infinity;
  /** Bytes that may be moved now; below 0 = later. */
  allowance = 0;
  allowanceMs: number;
  /** When something was moved or dropped last. */
  progressMs: number;
  /** When the progress was written to the journal, and whether it has changed since. */
  keptMs: number;
  changed = false;
  lastFailure = "";
  /** How far a compaction is. */
  compaction: CompactionRun | null = null;

  constructor(nowMs: number) {
    this.allowanceMs = nowMs;
    this.progressMs = nowMs;
    this.keptMs = nowMs;
  }
}

/** Jobs in the order in which they were made, and what those that go on remember. */
export class JobTable {
  readonly #jobs = new Map<Uuid, Job>();
  readonly runs = new Map<Uuid, JobRun>();
  /** When a job wants to go on. */
  nextMs = Infinity;

  find(id: Uuid): Job | null {
    return this.#jobs.get(id) ?? null;
  }

  all(): IterableIterator<Job> {
    return this.#jobs.values();
  }

  get count(): number {
    return this.#jobs.size;
  }

  set(job: Job): void {
    this.#jobs.set(job.id, job);
  }

  drop(id: Uuid): void {
    this.#jobs.delete(id);
    this.runs.delete(id);
  }
}

/** Whether a job is over. */
export function isOver(status: JobStatus): boolean {
  return status >= JobStatus.SUCCEEDED;
}

export function noProgress(): JobProgress {
  return {
    ...{ movedObjects: 0, movedBytes: 0, thinnedObjects: 0, thinnedBytes: 0 },
    ...{ droppedObjects: 0, droppedBytes: 0, failedMoves: 0, blocked: {} },
  };
}
