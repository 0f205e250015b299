import { listFiles, type NumberedFile } from "./files.ts";
import { FileKind } from "./group_format.ts";
import { GroupReader } from "./group_reader.ts";

/** Times that a directory is listed anew because a running master has just removed a file of it. */
const LISTINGS = 20;

/** A group of facts where a recovery applies it; the bytes are valid until the next one is read. */
export interface WalkedGroup {
  readonly path: string;
  readonly kind: FileKind;
  /** Its number; for all parts of a checkpoint that of the last group which the checkpoint holds. */
  readonly sequence: number;
  /** Where it begins in its file. */
  readonly offset: number;
  /** Its facts are `bytes[start, end)`, each with its length in front. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Where a journal ends, unless it ends as it should. */
export interface JournalEnd {
  readonly path: string;
  /** Bytes of the file that are good. */
  readonly offset: number;
  readonly why: string;
  /** It is the last file, and its last group was not written to the end, as a kill leaves it. */
  readonly isCut: boolean;
  /** Files behind it that do not count. */
  readonly dropped: readonly NumberedFile[];
}

interface OpenFile extends NumberedFile {
  readonly file: Deno.FsFile;
}

/**
 * Reads a journal's directory in the order in which a recovery applies it: the newest checkpoint, then
 * the tail behind it.
 *
 * A file that ends in the middle of a group, or in damage, counts up to its last whole group; what
 * lies behind it is dropped unless it goes on with the very next group. A damaged group of a
 * checkpoint is passed over alone. All files are open from the beginning on, so that a running master
 * can remove them meanwhile.
 */
export class JournalWalk implements Disposable {
  readonly #checkpoint: OpenFile | null;
  readonly #tails: readonly OpenFile[];
  readonly #through: number;
  /** Sentences about damage in the checkpoint. */
  readonly losses: string[] = [];
  /** Number of the last group that was handed out. */
  sequence = 0;
  checkpointBytes = 0;
  /** Bytes of the tail that were read. */
  tailBytes = 0;
  /** `null` = the journal ends well, or at the group that was asked for. */
  end: JournalEnd | null = null;

  /** `through` is the last group to hand out. Throws what the file system throws. */
  constructor(directory: string, through = Infinity) {
    this.#through = through;
    const { checkpoint, tails } = openFiles(directory);
    this.#checkpoint = checkpoint;
    this.#tails = tails;
  }

  /** Group of the checkpoint, 0 = there is none. */
  get checkpointSequence(): number {
    return this.#checkpoint?.sequence ?? 0;
  }

  /** The files that are read, in this order. */
  get paths(): string[] {
    const checkpoint = this.#checkpoint === null ? [] : [this.#checkpoint];
    return [...checkpoint, ...this.#tails].map(({ path }) => path);
  }

  /** Each group once; throws a `JournalError` at a file of another version. */
  *groups(): Generator<WalkedGroup> {
    if (this.#checkpoint !== null) yield* this.#readCheckpoint(this.#checkpoint);
    for (const [i, tail] of this.#tails.entries()) {
      const isMissing = tail.sequence > this.sequence + 1;
      const why = isMissing
        ? { offset: 0, why: `the groups before ${tail.sequence} are missing`, isCut: false }
        : yield* this.#readTail(tail);
      if (this.sequence >= this.#through) return;
      const next = this.#tails[i + 1];
      if (why === null || next?.sequence === this.sequence + 1) continue;
      const dropped = this.#tails.slice(isMissing ? i : i + 1);
      const isCut = why.isCut && next === undefined;
      this.end = { path: tail.path, dropped, ...why, isCut };
      return;
    }
  }

  [Symbol.dispose](): void {
    for (const { file } of [this.#checkpoint, ...this.#tails].filter((each) => each !== null)) {
      file.close();
    }
  }

  *#readCheckpoint({ path, file, sequence }: OpenFile): Generator<WalkedGroup> {
    const reader = new GroupReader(file, FileKind.CHECKPOINT);
    let damaged = 0;
    for (let group = reader.next(); group !== null; group = reader.next()) {
      if (group.damaged) damaged++;
      else yield { ...group, path, kind: FileKind.CHECKPOINT, sequence };
    }
    if (damaged > 0) this.losses.push(`${damaged} parts of ${path} are damaged and were left out`);
    if (reader.trouble !== null) {
      this.losses.push(`${path} could be read up to byte ${reader.offset}: ${reader.trouble}`);
    }
    this.sequence = sequence;
    this.checkpointBytes = reader.offset;
  }

  *#readTail(
    { path, file }: OpenFile,
  ): Generator<WalkedGroup, Pick<JournalEnd, "offset" | "why" | "isCut"> | null> {
    const reader = new GroupReader(file, FileKind.TAIL);
    for (let group = reader.next(); group !== null; group = reader.next()) {
      const { sequence, offset } = group;
      const why = group.damaged
        ? `group ${sequence} is damaged`
        : sequence > this.sequence + 1
        ? `group ${this.sequence + 1} is missing`
        : null;
      if (why !== null) {
        this.tailBytes += reader.offset;
        return { offset, why, isCut: false };
      }
      if (sequence <= this.sequence) continue;
      if (sequence > this.#through) return null;
      this.sequence = sequence;
      yield { ...group, path, kind: FileKind.TAIL };
    }
    this.tailBytes += reader.offset;
    const { trouble: why, offset, isCut } = reader;
    return why === null ? null : { offset, why, isCut };
  }
}

/** Opens the newest checkpoint and the tails that a recovery reads behind it. */
function openFiles(directory: string): { checkpoint: OpenFile | null; tails: OpenFile[] } {
  for (let listing = 1;; listing++) {
    const { tails, checkpoints } = listFiles(directory);
    const checkpoint = checkpoints.at(-1);
    const first = tails.findLastIndex(({ sequence }) =>
      sequence <= (checkpoint?.sequence ?? 0) + 1
    );
    const read = [
      ...(checkpoint === undefined ? [] : [checkpoint]),
      ...tails.slice(Math.max(0, first)),
    ];
    const opened: OpenFile[] = [];
    try {
      for (const each of read) opened.push({ ...each, file: Deno.openSync(each.path) });
      return checkpoint === undefined
        ? { checkpoint: null, tails: opened }
        : { checkpoint: opened[0], tails: opened.slice(1) };
    } catch (error) {
      for (const { file } of opened) file.close();
      if (!(error instanceof Deno.errors.NotFound) || listing === LISTINGS) throw error;
    }
  }
}
