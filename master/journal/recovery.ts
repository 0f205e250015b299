import type { MasterCore } from "../core/core.ts";
import { FramedReplay } from "../core/replay.ts";
import { listFiles, type NumberedFile } from "./files.ts";
import { FileKind } from "./group_format.ts";
import { GroupReader } from "./group_reader.ts";

/** Refused facts that are told one by one. */
const TOLD_REFUSALS = 5;

/** What a recovery has found. */
export interface Recovered {
  /** Number of the last group that was applied. */
  readonly sequence: number;
  readonly checkpointBytes: number;
  /** Bytes of the tail segments that were read. */
  readonly tailBytes: number;
  /** Sentences about what was damaged and is lost. */
  readonly losses: string[];
}

export interface RecoveryOptions {
  /** The last group to apply; default: all. */
  through?: number;
  /** Put files whose groups are dropped aside, so that new ones can take their numbers. */
  repair?: boolean;
}

/**
 * Applies what a journal's directory holds to a core that knows nothing yet.
 *
 * A file that ends in the middle of a group, or in damage, counts up to its last whole group; what
 * lies behind it is dropped unless it goes on with the very next group. A damaged group of a
 * checkpoint, or a fact that does not fit what is known, is passed over alone.
 */
export function recover(
  directory: string,
  core: MasterCore,
  options: RecoveryOptions = {},
): Recovered {
  return new Recovery(directory, core, options).run();
}

class Recovery {
  readonly #directory: string;
  readonly #through: number;
  readonly #repair: boolean;
  readonly #replay: FramedReplay;
  readonly #losses: string[] = [];
  #refusals = 0;
  #sequence = 0;
  #checkpointBytes = 0;
  #tailBytes = 0;

  constructor(directory: string, core: MasterCore, options: RecoveryOptions) {
    this.#directory = directory;
    this.#through = options.through ?? Infinity;
    this.#repair = options.repair ?? false;
    this.#replay = new FramedReplay(core.state);
  }

  run(): Recovered {
    const { tails, checkpoints } = listFiles(this.#directory);
    const checkpoint = checkpoints.at(-1);
    if (checkpoint !== undefined) this.#readCheckpoint(checkpoint);
    const first = tails.findLastIndex(({ sequence }) => sequence <= this.#sequence + 1);
    this.#readTails(first < 0 ? tails : tails.slice(first));
    if (this.#refusals > TOLD_REFUSALS) {
      const more = this.#refusals - TOLD_REFUSALS;
      this.#losses.push(`${more} further changes did not fit and were passed over`);
    }
    return {
      sequence: this.#sequence,
      checkpointBytes: this.#checkpointBytes,
      tailBytes: this.#tailBytes,
      losses: this.#losses,
    };
  }

  #readCheckpoint({ path, sequence }: NumberedFile): void {
    using reader = new GroupReader(path, FileKind.CHECKPOINT);
    let damaged = 0;
    for (let group = reader.next(); group !== null; group = reader.next()) {
      if (group.damaged) damaged++;
      else this.#apply(group.bytes, group.start, group.end);
    }
    if (damaged > 0) this.#losses.push(`${damaged} parts of ${path} are damaged and were left out`);
    if (reader.trouble !== null) {
      this.#losses.push(`${path} could be read up to byte ${reader.offset}: ${reader.trouble}`);
    }
    this.#sequence = sequence;
    this.#checkpointBytes = reader.offset;
  }

  #readTails(tails: NumberedFile[]): void {
    for (const [i, tail] of tails.entries()) {
      const next = tails[i + 1]?.sequence ?? Infinity;
      const trouble = tail.sequence > this.#sequence + 1
        ? `the groups before ${tail.sequence} are missing`
        : this.#readTail(tail.path);
      if (this.#sequence >= this.#through) return;
      if (trouble === null || next === this.#sequence + 1) continue;
      const dropped = tail.sequence > this.#sequence + 1 ? tails.slice(i) : tails.slice(i + 1);
      this.#drop(tail.path, trouble, dropped);
      return;
    }
  }

  #drop(path: string, trouble: string, later: NumberedFile[]): void {
    const files = later.length === 0 ? "" : ` and in ${later.length} later files`;
    this.#losses.push(
      `the journal ends after group ${this.#sequence}: ${trouble}; dropped the rest of ${path}` +
        files + (this.#repair && later.length > 0 ? ", which are kept as .dropped" : ""),
    );
    if (!this.#repair) return;
    for (const file of later) Deno.renameSync(file.path, `${file.path}.dropped`);
  }

  /** Applies a segment; what is wrong with it, or `null`. */
  #readTail(path: string): string | null {
    using reader = new GroupReader(path, FileKind.TAIL);
    let trouble: string | null = null;
    for (let group = reader.next(); group !== null; group = reader.next()) {
      const { sequence, bytes, start, end } = group;
      if (group.damaged) trouble = `group ${sequence} is damaged`;
      else if (sequence > this.#sequence + 1) trouble = `group ${this.#sequence + 1} is missing`;
      if (trouble !== null) break;
      if (sequence <= this.#sequence) continue;
      if (sequence > this.#through) return null;
      this.#apply(bytes, start, end);
      this.#sequence = sequence;
    }
    this.#tailBytes += reader.offset;
    return trouble ?? reader.trouble;
  }

  #apply(bytes: Uint8Array, start: number, end: number): void {
    this.#replay.apply(bytes, start, end, (why) => {
      if (this.#refusals++ < TOLD_REFUSALS) this.#losses.push(`passed over a change: ${why}`);
    });
  }
}
