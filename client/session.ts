import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import { ClientStatus } from "../proto/types.ts";
import type { StoreContext } from "./context.ts";
import { valueOf } from "./master_client.ts";
import { CallError } from "./rpc_client.ts";
import type { SegmentTable } from "./segments.ts";
import type { TaskRunner } from "./task_runner.ts";

/** How often a client shows that it lives and asks for tasks, as the reference's clients do. */
const BEAT_MS = 1000;
const TASKS_PER_FETCH = 16;
/** Between two reports about stores, at least. */
const REPORT_GAP_MS = 100;

/**
 * Keeps a client known to its master: a ping every second, the segments mounted again when the
 * master asks for it, unanswered unmounts gone on with, tasks fetched for the memory that is lent, and
 * the master told which stores work. A master that was away is found again by itself, after its version
 * was checked.
 */
export class MasterSession {
  readonly #store: StoreContext;
  readonly #segments: SegmentTable;
  readonly #tasks: TaskRunner;
  readonly #log: (line: string) => void;
  #cancelBeat: () => void = () => {};
  #stopped = false;
  /** Whether tasks are being asked for outside of a beat. */
  #fetching = false;
  /** Whether the master's version is known to be ours. */
  #checked: boolean;
  #trouble: string | null = null;
  /** The master has not refused a report. */
  #takesReports = true;
  #reportedAtMs = -Infinity;
  /** Of a report that does not wait for the next beat. */
  #cancelReport: (() => void) | null = null;

  /** `checked` says that the master's version was just checked. */
  constructor(
    store: StoreContext,
    segments: SegmentTable,
    tasks: TaskRunner,
    options: { log: (line: string) => void; checked: boolean },
  ) {
    this.#store = store;
    this.#segments = segments;
    this.#tasks = tasks;
    this.#log = options.log;
    this.#checked = options.checked;
    tasks.onHungry = () => void this.#fetchMore();
    store.choice.watch.onSuspicion = () => this.#reportSoon();
  }

  /** Whether the last beat reached the master. */
  get connected(): boolean {
    return this.#trouble === null;
  }

  /** Beats once, then every second until {@linkcode stop}. */
  async start(): Promise<void> {
    do {
      this.#again = false;
      this.#beating = true;
      await this.#beat();
      this.#beating = false;
    } while (this.#again && !this.#stopped);
    if (!this.#stopped) this.#cancelBeat = this.#store.clock.after(BEAT_MS, () => this.start());
  }
  #beating = false;
  #again = false;

  /** Beats at once: another master leads, and does not know the segments until it is told. */
  hurry(): void {
    if (this.#stopped) return;
    this.#checked = false;
    this.#again = this.#beating;
    if (this.#beating) return;
    this.#cancelBeat();
    void this.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelReport?.();
    this.#cancelBeat();
  }

  async #beat(): Promise<void> {
    const { master, clientId } = this.#store;
    try {
      if (!this.#checked) {
        await master.checkVersion();
        this.#checked = true;
        this.#takesReports = true;
      }
      // Both leave in one write, so that a beat wakes the two ends once.
      const pinged = master.ping({ clientId });
      let fetched = this.#fetchTasks();
      fetched.catch(() => {});
      const { clientStatus } = valueOf(await pinged, "The master refused a ping");
      if (clientStatus === ClientStatus.NEED_REMOUNT) {
        await this.#segments.remount();
        fetched = this.#fetchTasks();
        fetched.catch(() => {});
      }
      if (this.#trouble !== null) this.#log("the master answers again");
      this.#trouble = null;
      void this.#segments.settle();
      void this.#report();
      await fetched;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#failed(error);
    }
  }

  /** The owner of the source does a copy or a move, so a client that lends nothing has no tasks. */
  async #fetchTasks(): Promise<void> {
    if (this.#stopped || this.#segments.segments.length === 0) return;
    const { master, clientId, endpoint } = this.#store;
    const request = { clientId, batchSize: TASKS_PER_FETCH };
    const answer = await master.fetchTasks(request, endpoint.engine.rdma === undefined);
    this.#tasks.submit(valueOf(answer, "The master refused to hand out tasks"));
  }

  /** Asks for more tasks as soon as there is time for them, not only with the next beat. */
  async #fetchMore(): Promise<void> {
    if (this.#fetching) return;
    this.#fetching = true;
    try {
      await this.#fetchTasks();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    } finally {
      this.#fetching = false;
    }
  }

  /** Tells the master of stores; what is not answered is told again when it is due again. */
  async #report(): Promise<void> {
    this.#cancelReport?.();
    this.#cancelReport = null;
    const { master, clientId, choice, clock, endpoint } = this.#store;
    if (!this.#takesReports || this.#stopped) return;
    const peers = choice.watch.report(clock.now(), (peer) => choice.isSuspected(peer))
      .filter((report) => report.endpoint !== endpoint.name);
    this.#reportedAtMs = clock.now();
    if (peers.length === 0) return;
    try {
      await master.reportPeers({ clientId, peers });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error instanceof CallError && error.fate === "refused") this.#takesReports = false;
    }
  }

  /** A suspicion does not wait for the next beat. */
  #reportSoon(): void {
    if (this.#cancelReport !== null || !this.#takesReports || this.#stopped) return;
    const { clock } = this.#store;
    const waitMs = Math.max(0, this.#reportedAtMs + REPORT_GAP_MS - clock.now());
    this.#cancelReport = clock.after(waitMs, () => void this.#report());
  }

  #failed(error: StoreError): void {
    if (error.code === ErrorCode.RPC_FAIL || error.code === ErrorCode.RPC_TIMEOUT) {
      this.#checked = false;
    }
    if (!this.#stopped && this.#trouble !== error.message) this.#log(error.message);
    this.#trouble = error.message;
  }
}
