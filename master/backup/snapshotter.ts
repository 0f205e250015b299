import type { IndexCopy, MasterJournal } from "../journal/master_journal.ts";
import { documentsOf } from "./documents_file.ts";
import { snapshotTime } from "./manifest.ts";
import type { SnapshotPlace } from "./places.ts";
import { Tickets } from "./tickets.ts";
import type { Published, SnapshotOrder, SnapshotReport } from "./snapshot_worker.ts";

/** Between two lines about the progress of one snapshot. */
const PROGRESS_MS = 5000;
const MIB = 2 ** 20;

/** How snapshots are made. Structured-cloneable. */
export interface SnapshotPolicy {
  /** Between two snapshots, `null` = only when somebody asks. */
  readonly intervalMs: number | null;
  /** Time after which a snapshot that is not over is given up. */
  readonly timeoutMs: number;
  /** Snapshots that stay in each place. */
  readonly retention: number;
  /** At least one. */
  readonly places: readonly SnapshotPlace[];
}

/** A snapshot that is there. Structured-cloneable. */
export interface SnapshotSummary {
  readonly id: string;
  readonly group: number;
  readonly keys: number;
  readonly segments: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly locations: string[];
  /** What went wrong although it is there: a second place, old snapshots that could not go. */
  readonly problems: string[];
}

export type SnapshotOutcome = { snapshot: SnapshotSummary } | { failure: string };

export interface SnapshotterOptions {
  readonly journal: Pick<MasterJournal, "copy" | "sequence">;
  readonly policy: SnapshotPolicy;
  readonly clusterId: string;
  /** Version of the master. */
  readonly master: string;
  /** Database of the HTTP metadata documents. */
  readonly tablesPath: string;
  /** Milliseconds, monotonic. */
  readonly clock: () => number;
  readonly info: (line: string) => void;
  readonly warn: (line: string) => void;
}

/**
 * Makes snapshots, periodically and on demand, one at a time. The thread that calls it does nothing
 * but pass messages on: a checkpoint is made and copied, then a Worker brings the copy away.
 */
export class Snapshotter {
  readonly #options: SnapshotterOptions;
  readonly #tickets = new Tickets<SnapshotOutcome>();
  #waiting: number[] = [];
  #running: Run | null = null;
  #dueMs: number;
  /** The last group of the newest snapshot of this process. */
  #group = -1;
  /** Counted since the start. */
  made = 0;
  failed = 0;
  /** Unix time in seconds of the newest snapshot of this process, 0 = there is none. */
  newestSeconds = 0;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
    this.#dueMs = options.clock() + (options.policy.intervalMs ?? Infinity);
  }

  /** Whether a Worker may have something to tell, so that the event loop should have a turn soon. */
  get isBusy(): boolean {
    return this.#running !== null || this.#waiting.length > 0;
  }

  /** Asks for a snapshot of everything up to now; a number for {@linkcode outcome}. */
  begin(): number {
    const ticket = this.#tickets.issue();
    this.#waiting.push(ticket);
    return ticket;
  }

  /** What has become of a snapshot that was asked for; `null` = it is not over, or long forgotten. */
  outcome(ticket: number): SnapshotOutcome | null {
    return this.#tickets.outcome(ticket);
  }

  /** Begins what is due and gives up what takes too long. */
  tick(nowMs: number): void {
    const { policy, journal } = this.#options;
    if (this.#running !== null) {
      if (nowMs < this.#running.deadlineMs) return;
      const seconds = policy.timeoutMs / 1000;
      return this.#end(this.#running, { failure: `it was not over after ${seconds} s` });
    }
    const due = nowMs >= this.#dueMs;
    if (due) this.#dueMs = nowMs + policy.intervalMs!;
    if (this.#waiting.length > 0 || due && journal.sequence !== this.#group) this.#begin(nowMs);
  }

  /** Gives up a snapshot that is being made. */
  stop(): void {
    this.#running?.stop();
    this.#running = null;
  }

  #begin(nowMs: number): void {
    const run = new Run(this.#waiting.splice(0), nowMs, nowMs + this.#options.policy.timeoutMs);
    this.#running = run;
    this.#options.journal.copy((copy) => {
      if (this.#running !== run) {
        if (!("failure" in copy)) removeFile(copy.path);
      } else if ("failure" in copy) {
        this.#end(run, copy);
      } else {
        this.#publish(run, copy);
      }
    });
  }

  #publish(run: Run, copy: IndexCopy): void {
    const { policy, clusterId, master, tablesPath } = this.#options;
    const { places, retention } = policy;
    const worker = new Worker(new URL("./snapshot_worker.ts", import.meta.url).href, {
      type: "module",
    });
    run.copy = copy;
    run.worker = worker;
    worker.onmessage = ({ data }: MessageEvent<SnapshotReport>) => {
      if (this.#running !== run) return;
      if (data.type === "progress") this.#progress(run, data);
      else this.#end(run, this.#outcomeOf(run, data.published, data.failures));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#running === run) this.#end(run, { failure: event.message });
    };
    const order: SnapshotOrder = { copy, places, clusterId, master, retention, tablesPath };
    worker.postMessage(order);
  }

  #progress(
    run: Run,
    { location, bytes, total }: { location: string; bytes: number; total: number },
  ): void {
    const nowMs = this.#options.clock();
    if (nowMs - run.toldMs < PROGRESS_MS || bytes === total) return;
    run.toldMs = nowMs;
    const [done, all] = [bytes, total].map((count) => (count / MIB).toFixed(1));
    this.#options.info(`snapshot: ${done} of ${all} MiB are in ${location}`);
  }

  #outcomeOf(run: Run, published: readonly Published[], failures: string[]): SnapshotOutcome {
    if (published.length === 0) return { failure: failures.join("; ") };
    const [{ manifest }] = published;
    const { id, group, keys, segments, files } = manifest;
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    const seconds = Math.round(this.#options.clock() - run.startedMs) / 1000;
    const troubles = published.flatMap(({ trouble }) => trouble === null ? [] : [trouble]);
    return {
      snapshot: {
        ...{ id, group, keys, segments, bytes, seconds },
        locations: published.map(({ location }) => location),
        problems: [...failures, ...troubles],
      },
    };
  }

  #end(run: Run, outcome: SnapshotOutcome): void {
    const { info, warn } = this.#options;
    run.stop();
    this.#running = null;
    if ("failure" in outcome) {
      this.failed++;
      warn(`no snapshot: ${outcome.failure}`);
    } else {
      const { id, group, keys, bytes, seconds, locations, problems } = outcome.snapshot;
      this.#group = group;
      this.made++;
      this.newestSeconds = snapshotTime(id)! / 1000;
      for (const problem of problems) warn(`snapshot ${id}: ${problem}`);
      info(
        `snapshot ${id}: ${keys} keys, ${bytes} bytes, in ${seconds} s to ${locations.join(", ")}`,
      );
    }
    for (const ticket of run.tickets) this.#tickets.settle(ticket, outcome);
  }
}

/** A snapshot that is being made. */
class Run {
  copy: IndexCopy | null = null;
  worker: Worker | null = null;
  toldMs: number;

  constructor(
    /** Those who asked for it. */
    readonly tickets: readonly number[],
    readonly startedMs: number,
    readonly deadlineMs: number,
  ) {
    this.toldMs = startedMs;
  }

  stop(): void {
    this.worker?.terminate();
    if (this.copy === null) return;
    removeFile(this.copy.path);
    removeFile(documentsOf(this.copy.path));
  }
}

function removeFile(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
