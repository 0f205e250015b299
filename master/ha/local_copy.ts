import type { CoreConfig } from "../core/api.ts";
import { FileJournal } from "../journal/file_journal.ts";
import { JournalError } from "../journal/journal.ts";
import type { CheckpointMark, LogGroup } from "./fact_log.ts";
import type { FoldOrder, FoldReport } from "./fold.ts";
import { groupInFiles } from "./last_group.ts";

/** Bytes that may wait for the disk of this master before the log waits for it, too. */
const WAITING_LIMIT = 64 << 20;

/** Where the copy begins: what recovery has found in the directory. */
export interface CopyStart {
  readonly directory: string;
  readonly config: CoreConfig;
  readonly sequence: number;
  readonly tailBytes: number;
  readonly checkpointBytes: number;
  /** Group of the checkpoint that is there, 0 = none is. */
  readonly checkpointSequence: number;
}

/** What a {@linkcode Member} does with its files. */
export interface Copy {
  /** Last group that is in the files or waits for them. */
  readonly sequence: number;
  /** Bytes behind the last checkpoint. */
  readonly tailBytes: number;
  readonly checkpoint: CheckpointMark | null;
  /** Group of the checkpoint on the disk, whether it has been read already or not; 0 = none. */
  readonly checkpointSequence: number;
  /** The last group, `null` when only a checkpoint holds it. */
  readonly lastGroup: Uint8Array | null;
  /** Why groups wait, or `null`. */
  readonly trouble: string | null;
  /** Whether so many wait that there should be no more. */
  readonly isFull: boolean;
  append(group: LogGroup): void;
  /** Tries again what waits, and brings to the disk what does not. */
  tick(): void;
  /** Makes the checkpoint of a group that is in the files. */
  fold(sequence: number): Promise<CheckpointMark>;
  close(): void;
}

/**
 * This master's copy of the log: the files of a journal, and checkpoints of them. Replies do not wait
 * for it; what it cannot write at once waits in memory.
 */
export class LocalCopy implements Copy {
  readonly #start: CopyStart;
  readonly #journal: FileJournal;
  readonly #waiting: LogGroup[] = [];
  #waitingBytes = 0;
  #worker: Worker | null = null;
  #endFold: (why: string) => void = () => {};
  #reading: Promise<CheckpointMark> | null = null;
  checkpoint: CheckpointMark | null = null;
  lastGroup: Uint8Array | null;
  trouble: string | null = null;

  constructor(start: CopyStart) {
    this.#start = start;
    this.lastGroup = groupInFiles(start.directory, start.sequence);
    const { directory, sequence, tailBytes, checkpointBytes } = start;
    this.#journal = new FileJournal({
      ...{ directory, checkpointBytes, olderBytes: tailBytes, nextSequence: sequence + 1 },
    });
  }

  get sequence(): number {
    return this.#waiting.at(-1)?.sequence ?? this.#journal.sequence;
  }

  get tailBytes(): number {
    return this.#journal.tailBytes + this.#waitingBytes;
  }

  get checkpointSequence(): number {
    return this.checkpoint?.sequence ?? this.#start.checkpointSequence;
  }

  get isFull(): boolean {
    return this.#waitingBytes > WAITING_LIMIT;
  }

  append(group: LogGroup): void {
    if (group.sequence !== this.sequence + 1) {
      throw new Error(`group ${group.sequence} does not follow group ${this.sequence}`);
    }
    this.#waiting.push(group);
    this.lastGroup = group.bytes;
    this.#waitingBytes += group.bytes.length;
    if (this.trouble === null) this.#write();
  }

  tick(): void {
    if (this.#waiting.length > 0) this.#write();
    this.#journal.beginSync();
  }

  async fold(sequence: number): Promise<CheckpointMark> {
    if (this.#journal.sequence < sequence) throw new Error(this.trouble ?? "groups are missing");
    await this.#reading?.catch(() => {});
    this.#journal.seal();
    const { directory, config } = this.#start;
    const mark = await this.#order({ kind: "fold", directory, sequence, config });
    this.#journal.noteCheckpoint(mark.sequence, mark.bytes);
    this.checkpoint = mark;
    return mark;
  }

  /** Reads the checkpoint that was there at the start, for its digest. */
  async readCheckpoint(): Promise<void> {
    const { directory, config, checkpointSequence: sequence } = this.#start;
    if (sequence === 0) return;
    this.#reading = this.#order({ kind: "read", directory, sequence, config });
    this.checkpoint ??= await this.#reading;
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#endFold("the master ends");
    this.#write();
    try {
      this.#journal.close();
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      this.trouble = error.message;
    }
  }

  #write(): void {
    try {
      while (this.#waiting.length > 0) {
        this.#journal.append(this.#waiting[0].bytes);
        this.#waitingBytes -= this.#waiting.shift()!.bytes.length;
      }
      this.trouble = null;
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      this.trouble = error.message;
    }
  }

  #order(order: FoldOrder): Promise<CheckpointMark> {
    const url = new URL("./fold_worker.ts", import.meta.url).href;
    const worker = this.#worker = new Worker(url, { type: "module" });
    return new Promise<CheckpointMark>((resolve, reject) => {
      this.#endFold = (why) => reject(new Error(why));
      worker.onmessage = ({ data }: MessageEvent<FoldReport>) => {
        if ("mark" in data) resolve(data.mark);
        else reject(new Error(data.failure));
      };
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      worker.postMessage(order);
    }).finally(() => {
      worker.terminate();
      this.#worker = null;
    });
  }
}
