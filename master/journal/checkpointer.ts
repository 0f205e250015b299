import type { CoreConfig } from "../core/api.ts";
import type { MasterCore } from "../core/core.ts";
import type { RecencyWalk } from "../core/recency_order.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { CheckpointOrder, CheckpointReport } from "./checkpoint_worker.ts";
import { type Journal, JournalError } from "./journal.ts";

/** The least tail that is worth a checkpoint, in bytes. */
const LEAST_TAIL_BYTES = 64 << 20;
/** Between a checkpoint that failed and the next attempt. */
const RETRY_MS = 10_000;
/** Objects whose place in the order of eviction is handed over at a time: well under a millisecond. */
const SLICE = 1024;
/** Slices that travel to the Worker together. */
const SLICES_PER_PART = 32;

export interface CheckpointerOptions {
  journal: Journal;
  /** Knows the order of eviction. */
  core: MasterCore;
  directory: string;
  config: CoreConfig;
  /** Bytes of the newest checkpoint, 0 = there is none. */
  checkpointBytes: number;
  onDone: (checkpoint: Checkpoint) => void;
  onFault: (why: string) => void;
  /** Default 64 MiB. */
  leastTailBytes?: number;
}

/** Told what has become of a checkpoint that was asked for. */
export type CheckpointListener = (report: CheckpointReport) => void;

/** A checkpoint that somebody wants. */
interface Wish {
  readonly copy: string;
  readonly listener: CheckpointListener;
}

/**
 * Has the journal folded into a checkpoint whenever its tail has grown as long as the last one, or
 * somebody asks, in a Worker that lives as long as that takes. The core's thread begins a new file and
 * hands over the order of eviction, a slice at a time.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #checkpointBytes: number;
  #making: Making | null = null;
  #notBeforeMs = -Infinity;
  #asked: Wish[] = [];

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#checkpointBytes = options.checkpointBytes;
  }

  /** Whether a Worker may have something to tell, so that the event loop should have a turn soon. */
  get isBusy(): boolean {
    return this.#making !== null || this.#asked.length > 0;
  }

  /**
   * Asks for a checkpoint of everything up to now, with a copy of its file at `copy`, which stays when
   * a later checkpoint takes its place. `listener` is told when it is there.
   */
  ask(copy: string, listener: CheckpointListener): void {
    this.#asked.push({ copy, listener });
  }

  /**
   * Begins a checkpoint if it is time for one, or does a bounded part of the one being made. Returns
   * whether there is more to do at once.
   */
  consider(nowMs: number): boolean {
    if (this.#making !== null) return this.#making.handOver(nowMs);
    const { journal, leastTailBytes } = this.#options;
    const due = Math.max(leastTailBytes ?? LEAST_TAIL_BYTES, this.#checkpointBytes);
    const grown = journal.tailBytes >= due || journal.needsCheckpoint;
    if (this.#asked.length > 0 || grown && nowMs >= this.#notBeforeMs) this.#begin(nowMs);
    return this.#making !== null;
  }

  /** Ends a checkpoint that is being made, without a trace of it. */
  stop(): void {
    this.#making?.stop();
    this.#making = null;
  }

  #begin(nowMs: number): void {
    const { journal, directory, config, core } = this.#options;
    const wishes = this.#asked.splice(0);
    this.#notBeforeMs = nowMs + RETRY_MS;
    let through: number;
    try {
      through = journal.seal();
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      return this.#fail(error.message, wishes);
    }
    const worker = new Worker(new URL("./checkpoint_worker.ts", import.meta.url).href, {
      type: "module",
    });
    const making = new Making(worker, core.walkRecency());
    this.#making = making;
    const end = (report: CheckpointReport) => this.#end(making, report, wishes);
    worker.onmessage = ({ data }: MessageEvent<CheckpointReport>) => end(data);
    worker.onerror = (event) => {
      event.preventDefault();
      end({ failure: event.message });
    };
    const copies = wishes.map(({ copy }) => copy);
    making.tell({ type: "fold", directory, through, config, copies });
  }

  #end(making: Making, report: CheckpointReport, wishes: Wish[]): void {
    if (this.#making !== making) return;
    this.stop();
    if ("failure" in report) return this.#fail(report.failure, wishes);
    const { checkpoint } = report;
    this.#checkpointBytes = checkpoint.bytes;
    this.#notBeforeMs = -Infinity;
    this.#options.journal.noteCheckpoint(checkpoint.sequence, checkpoint.bytes);
    this.#options.onDone(checkpoint);
    for (const { listener } of wishes) listener(report);
  }

  #fail(failure: string, wishes: Wish[]): void {
    this.#options.onFault(failure);
    for (const { listener } of wishes) listener({ failure });
  }
}

/** A checkpoint that is being made. */
class Making {
  readonly #worker: Worker;
  readonly #slice = new Float64Array(SLICE);
  #walk: RecencyWalk | null;
  #part = new Float64Array(SLICE * SLICES_PER_PART);
  #length = 0;

  constructor(worker: Worker, walk: RecencyWalk) {
    this.#worker = worker;
    this.#walk = walk;
  }

  tell(order: CheckpointOrder, transfer: Transferable[] = []): void {
    this.#worker.postMessage(order, transfer);
  }

  /** Hands over the next slice of the order of eviction; whether there is another. */
  handOver(nowMs: number): boolean {
    if (this.#walk === null) return false;
    const count = this.#walk.next(this.#slice, nowMs);
    this.#part.set(this.#slice.subarray(0, count), this.#length);
    this.#length += count;
    const over = count < SLICE;
    if (over || this.#length === this.#part.length) {
      const ids = this.#part.subarray(0, this.#length);
      this.tell({ type: "recency", ids }, [ids.buffer]);
      this.#part = new Float64Array(over ? 0 : SLICE * SLICES_PER_PART);
      this.#length = 0;
    }
    if (!over) return true;
    this.#walk = null;
    this.tell({ type: "write" });
    return false;
  }

  stop(): void {
    this.#walk?.end();
    this.#worker.terminate();
  }
}
