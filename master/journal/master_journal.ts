import type { CoreConfig } from "../core/api.ts";
import type { MasterCore } from "../core/core.ts";
import type { BackgroundSync } from "./background_sync.ts";
import { Checkpointer } from "./checkpointer.ts";
import { DurableCore } from "./durable_core.ts";
import { FileJournal } from "./file_journal.ts";
import type { Durability } from "./journal.ts";
import { recover, type Recovered } from "./recovery.ts";

export interface MasterJournalOptions {
  /** The journal's directory, which nobody else uses. */
  directory: string;
  /** A core that knows nothing yet, and its settings. */
  core: MasterCore;
  config: CoreConfig;
  durability: Exclude<Durability, "none">;
  /** Milliseconds, monotonic; the clock of the core. */
  clock: () => number;
  /** As of a `FileJournal`. */
  sync: BackgroundSync;
  info: (line: string) => void;
  warn: (line: string) => void;
}

/** A file with everything up to a group, which belongs to whoever asked for it. */
export interface IndexCopy {
  readonly path: string;
  readonly group: number;
  readonly bytes: number;
  readonly keys: number;
  readonly segments: number;
}

export type CopyOutcome = IndexCopy | { failure: string };

const COPY = "copy-";

/** What outlives a master, put together: recovery first, then the journal and its checkpoints. */
export class MasterJournal {
  readonly recovered: Recovered;
  readonly #options: MasterJournalOptions;
  readonly #journal: FileJournal;
  readonly #durable: DurableCore;
  readonly #checkpointer: Checkpointer;
  /** Why changes are refused at present. */
  #trouble = "";
  #copies = 0;

  /** Rebuilds the core from the directory's files, then keeps what it tells. */
  constructor(options: MasterJournalOptions) {
    const { directory, core, config, durability, clock, sync, info, warn } = options;
    this.#options = options;
    const startedMs = clock();
    removeLeftOver(directory);
    this.recovered = recover(directory, core, { repair: true });
    core.finishReplay(clock());
    const { sequence, tailBytes, checkpointBytes, losses } = this.recovered;
    for (const loss of losses) warn(loss);
    const seconds = ((clock() - startedMs) / 1000).toFixed(2);
    const { keyCount } = core;
    const segments = core.segments.awaiting.size;
    const grace = config.reattachGraceMs / 1000;
    if (keyCount + segments > 0) {
      info(
        `recovered ${keyCount} keys and ${segments} segments from ${directory} in ${seconds} s; ` +
          `the segments' owners have ${grace} s to come back`,
      );
    }
    const journal = this.#journal = new FileJournal({
      ...{ directory, checkpointBytes },
      ...{ nextSequence: sequence + 1, olderBytes: tailBytes, sync },
    });
    this.#durable = new DurableCore({
      ...{ core, journal, durability, clock },
      onTrouble: (why) => {
        this.#trouble = why;
        warn(`changes are refused, reads go on: the journal ${why}`);
      },
      onRelief: () => info("changes are taken again: everything is in the journal"),
    });
    this.#checkpointer = new Checkpointer({
      ...{ journal, core, directory, config, checkpointBytes },
      onDone: ({ sequence, bytes }) => info(`checkpoint of group ${sequence}: ${bytes} bytes`),
      onFault: (why) => warn(`no checkpoint: ${why}`),
    });
  }

  /** Number of the last group of changes. */
  get sequence(): number {
    return this.#journal.sequence;
  }

  /** See {@linkcode DurableCore.told}. */
  get told(): number {
    return this.#durable.told;
  }

  /** Whether the disk is waited for. */
  get isSyncing(): boolean {
    return this.#durable.isSyncing;
  }

  /** Whether something is waited for that only turns of the event loop bring. */
  get needsTurns(): boolean {
    return this.#checkpointer.isBusy ||
      this.#options.sync.needsTurns && this.#durable.isSyncing;
  }

  /** What to tell clients whose changes could not be kept. */
  get refusal(): string {
    return `the change could not be kept: the journal ${this.#trouble}`;
  }

  /** See {@linkcode DurableCore.commit}. */
  commit(): boolean {
    return this.#durable.commit();
  }

  /**
   * Has a copy made of everything up to now, in the format of a checkpoint; `listener` gets its path.
   * It stays until it is removed, or the journal is opened again.
   */
  copy(listener: (copy: CopyOutcome) => void): void {
    const path = `${this.#options.directory}/${COPY}${++this.#copies}.snap`;
    this.#checkpointer.ask(path, (report) => {
      if ("failure" in report) return listener(report);
      const { sequence: group, bytes, keys, segments } = report.checkpoint;
      listener({ path, group, bytes, keys, segments });
    });
  }

  /** See {@linkcode Checkpointer.consider}. */
  tick(nowMs: number): boolean {
    return this.#checkpointer.consider(nowMs);
  }

  /** Brings everything to the disk and lets go of the files. */
  close(): void {
    this.#checkpointer.stop();
    try {
      this.#durable.close();
    } catch (error) {
      this.#options.warn(`the last changes may be lost: the journal ${error}`);
    }
  }
}

/** Removes checkpoints that were not finished and copies that nobody needs any more. */
function removeLeftOver(directory: string): void {
  for (const { name } of Deno.readDirSync(directory)) {
    const leftOver = name.endsWith(".partial") || name.startsWith(COPY);
    if (leftOver) Deno.removeSync(`${directory}/${name}`);
  }
}
