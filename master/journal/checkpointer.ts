import type { CoreConfig } from "../core/api.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { CheckpointOrder, CheckpointReport } from "./checkpoint_worker.ts";
import { type Journal, JournalError } from "./journal.ts";

/** The least tail that is worth a checkpoint, in bytes. */
const LEAST_TAIL_BYTES = 64 << 20;
/** Between a checkpoint that failed and the next attempt. */
const RETRY_MS = 10_000;

export interface CheckpointerOptions {
  journal: Journal;
  directory: string;
  config: CoreConfig;
  /** Bytes of the newest checkpoint, 0 = there is none. */
  checkpointBytes: number;
  onDone: (checkpoint: Checkpoint) => void;
  onFault: (why: string) => void;
  /** Default 64 MiB. */
  leastTailBytes?: number;
}

/**
 * Has the journal folded into a checkpoint whenever its tail has grown as long as the last one, in a
 * Worker that lives as long as that takes. The core's thread only begins a new file.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #checkpointBytes: number;
  #worker: Worker | null = null;
  #notBeforeMs = -Infinity;

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#checkpointBytes = options.checkpointBytes;
  }

  /** Begins a checkpoint if it is time for one. */
  consider(nowMs: number): void {
    const { journal, leastTailBytes } = this.#options;
    if (this.#worker !== null || nowMs < this.#notBeforeMs) return;
    const due = Math.max(leastTailBytes ?? LEAST_TAIL_BYTES, this.#checkpointBytes);
    if (journal.tailBytes >= due || journal.needsCheckpoint) this.#begin(nowMs);
  }

  /** Ends a checkpoint that is being made, without a trace of it. */
  stop(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }

  #begin(nowMs: number): void {
    const { journal, directory, config } = this.#options;
    this.#notBeforeMs = nowMs + RETRY_MS;
    let through: number;
    try {
      through = journal.seal();
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      return this.#options.onFault(error.message);
    }
    const worker = new Worker(new URL("./checkpoint_worker.ts", import.meta.url).href, {
      type: "module",
    });
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<CheckpointReport>) => this.#end(worker, data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end(worker, { failure: event.message });
    };
    const order: CheckpointOrder = { directory, through, config };
    worker.postMessage(order);
  }

  #end(worker: Worker, report: CheckpointReport): void {
    if (this.#worker !== worker) return;
    this.stop();
    if ("failure" in report) return this.#options.onFault(report.failure);
    const { checkpoint } = report;
    this.#checkpointBytes = checkpoint.bytes;
    this.#notBeforeMs = -Infinity;
    this.#options.journal.noteCheckpoint(checkpoint.sequence, checkpoint.bytes);
    this.#options.onDone(checkpoint);
  }
}
