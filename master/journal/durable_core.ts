import type { MasterCore } from "../core/core.ts";
import { FactBuffer } from "./fact_buffer.ts";
import { GROUP_HEADER_BYTES } from "./group_format.ts";
import { Durability, type Journal, JournalError } from "./journal.ts";

/** Between two attempts to write what could not be written. */
const RETRY_MS = 200;
/** Between the beginnings of two syncs, at least. */
const SYNC_EVERY_MS = 10;

export interface DurableCoreOptions {
  core: MasterCore;
  journal: Journal;
  durability: Exclude<Durability, "none">;
  /** Milliseconds, monotonic. */
  clock: () => number;
  /** Told when changes begin to be refused, and why. */
  onTrouble: (why: string) => void;
  /** Told when they are taken again. */
  onRelief: () => void;
}

/**
 * Keeps what a core tells in a journal, a group for each batch of requests.
 *
 * When the journal refuses a group, the core takes no more changes and the group waits in memory
 * until it can be written; then changes are taken again. Meanwhile nobody can read what it tells of: it
 * goes with the process.
 */
export class DurableCore {
  readonly #options: DurableCoreOptions;
  readonly #facts = new FactBuffer(() => this.#flush());
  #trouble: string | null = null;
  #retryAtMs = 0;
  #syncedAtMs = -Infinity;

  constructor(options: DurableCoreOptions) {
    this.#options = options;
    options.core.attachFacts(this.#facts);
  }

  /** Facts told so far; a request that raises it has changed something durable. */
  get told(): number {
    return this.#facts.told;
  }

  /** Whether something waits for the disk, so that the event loop should have a turn soon. */
  get isSyncing(): boolean {
    const { journal } = this.#options;
    return journal.syncedSequence < journal.sequence;
  }

  /**
   * Makes what has been told as durable as was promised. `false` = it is not: requests that changed
   * something since the last time must not be answered with success.
   */
  commit(): boolean {
    const { durability, journal, clock } = this.#options;
    if (this.#trouble !== null && clock() < this.#retryAtMs) return false;
    const kept = this.#flush();
    if (kept && durability === Durability.BATCH && this.isSyncing) {
      const nowMs = clock();
      if (nowMs - this.#syncedAtMs >= SYNC_EVERY_MS) {
        this.#syncedAtMs = nowMs;
        journal.beginSync();
      }
    }
    return kept;
  }

  /** Keeps what is left and ends the journal. Throws a `JournalError` when that fails. */
  close(): void {
    const { core, journal } = this.#options;
    core.attachFacts(null);
    try {
      if (!this.#facts.isEmpty) journal.append(this.#facts.group);
    } finally {
      journal.close();
    }
  }

  #flush(): boolean {
    const { core, journal, durability, clock, onTrouble, onRelief } = this.#options;
    if (this.#trouble === null && this.#facts.isEmpty) return true;
    try {
      if (!this.#facts.isEmpty) {
        journal.append(this.#facts.group);
        this.#facts.clear();
      }
      if (this.#trouble !== null || durability === Durability.FSYNC) journal.sync();
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      this.#retryAtMs = clock() + RETRY_MS;
      core.readOnly = true;
      core.doubt([this.#facts.group.slice(GROUP_HEADER_BYTES)]);
      if (this.#trouble !== error.message) onTrouble(error.message);
      this.#trouble = error.message;
      return false;
    }
    if (this.#trouble !== null) {
      this.#trouble = null;
      core.readOnly = false;
      core.doubt([]);
      onRelief();
    }
    return true;
  }
}
