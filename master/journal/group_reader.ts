import { crc32c } from "../../proto/crc32c.ts";
import { FILE_HEADER_BYTES, FileKind, GROUP_HEADER_BYTES, readFileHeader } from "./group_format.ts";

const READ_BYTES = 4 << 20;

/** One group as it was read; the bytes are valid until the next one is. */
export interface Group {
  readonly sequence: number;
  /** Where it begins in its file. */
  readonly offset: number;
  /** Its facts are `bytes[start, end)`, each with its length in front. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** The facts are not those that were written. */
  readonly damaged: boolean;
}

/** Reads one journal file from its beginning, a few MiB at a time. */
export class GroupReader implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #isOurs: boolean;
  readonly #kind: FileKind;
  #buffer = new Uint8Array(READ_BYTES);
  #start = 0;
  #end = 0;
  #offset = 0;
  /** Sequence number of the first group, as the header says it. */
  readonly firstSequence: number = 0;
  /** Why the file cannot be read at all, or no further. `null` = nothing is wrong so far. */
  trouble: string | null = null;
  /** The trouble is that the file ends before its last group does. */
  isCut = false;

  /**
   * Opens a file and checks its header; what is wrong with it is in `trouble`. A file without a whole
   * header holds nothing: its process ended when it had just begun it. Throws a `JournalError` for a
   * file of another version. An open file is read from where it is, and stays open.
   */
  constructor(file: string | Deno.FsFile, kind: FileKind) {
    this.#isOurs = typeof file === "string";
    this.#file = typeof file === "string" ? Deno.openSync(file, { read: true }) : file;
    this.#kind = kind;
    let first: number | string;
    try {
      this.#fill(FILE_HEADER_BYTES);
      first = readFileHeader(this.#buffer.subarray(0, this.#end), kind);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    if (this.#end < FILE_HEADER_BYTES) {
      this.#start = this.#end;
    } else if (typeof first === "string") {
      this.trouble = first;
    } else {
      this.firstSequence = first;
      this.#take(FILE_HEADER_BYTES);
    }
  }

  /** Where the next group begins: so many bytes of the file are good. */
  get offset(): number {
    return this.#offset;
  }

  /** The next group, or `null` at the end; `trouble` then says whether the file ends well. */
  next(): Group | null {
    if (this.trouble !== null) return null;
    const left = this.#fill(GROUP_HEADER_BYTES);
    if (left === 0) return null;
    const at = this.#start;
    const cut = left < GROUP_HEADER_BYTES;
    const view = new DataView(this.#buffer.buffer, at, left);
    if (cut || view.getUint32(16, true) !== crc32c(this.#buffer, at, at + 16)) {
      if (this.#endsInZeros()) return null;
      return cut ? this.#cutOff() : this.#stop("the header of a group is damaged");
    }
    const length = view.getUint32(0, true);
    const crc = view.getUint32(4, true);
    const sequence = view.getFloat64(8, true);
    const size = GROUP_HEADER_BYTES + length;
    if (this.#fill(size) < size) return this.#cutOff();
    const start = this.#start + GROUP_HEADER_BYTES;
    const group = {
      ...{ sequence, offset: this.#offset, bytes: this.#buffer, start, end: start + length },
      damaged: crc32c(this.#buffer, start, start + length) !== crc,
    };
    this.#take(size);
    return group;
  }

  [Symbol.dispose](): void {
    if (this.#isOurs) this.#file.close();
  }

  #cutOff(): null {
    this.isCut = true;
    return this.#stop("the last group is cut off");
  }

  #stop(trouble: string): null {
    this.trouble = trouble;
    return null;
  }

  /** Whether nothing but room that was taken ahead is left of a tail. */
  #endsInZeros(): boolean {
    if (this.#kind !== FileKind.TAIL) return false;
    let rest = this.#buffer.subarray(this.#start, this.#end);
    const more = new Uint8Array(64 << 10);
    for (;;) {
      if (rest.some((byte) => byte !== 0)) return false;
      const count = this.#file.readSync(more);
      if (count === null) return true;
      rest = more.subarray(0, count);
    }
  }

  #take(bytes: number): void {
    this.#start += bytes;
    this.#offset += bytes;
  }

  /** Reads until `bytes` are there or the file ends; how many there are, at most `bytes`. */
  #fill(bytes: number): number {
    if (this.#end - this.#start >= bytes) return bytes;
    const rest = this.#buffer.subarray(this.#start, this.#end);
    const available = this.#file.statSync().size - this.#offset;
    const wanted = Math.min(bytes, available);
    if (wanted > this.#buffer.length) {
      const larger = new Uint8Array(wanted);
      larger.set(rest);
      this.#buffer = larger;
    } else {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    }
    this.#start = 0;
    this.#end = rest.length;
    while (this.#end < bytes && this.#end < this.#buffer.length) {
      const count = this.#file.readSync(this.#buffer.subarray(this.#end));
      if (count === null) break;
      this.#end += count;
    }
    return Math.min(bytes, this.#end);
  }
}
