import type { Writer } from "./api.ts";
import { RecordPool } from "./records.ts";

/** Words of a record. */
const SLOT = 0;
const PREVIOUS = 1;
const NEXT = 2;
const CLIENT = 3;
const START = 4;
const SIZE = 6;
const OPTIONS = 8;
const SOFT_TTL = 9;
const WRITE_ID = 10;
const WORDS = 12;

const HARD_PIN = 1 << 2;
const COMMITTED = 1 << 3;
const TYPE_SHIFT = 4;

/**
 * Puts and upserts between their start and their end, oldest first. All wait the same time-outs, so
 * the order of their starts is the order of their deadlines.
 */
export class WriteTable {
  readonly #records = new RecordPool(WORDS);
  #oldest = 0;
  #newest = 0;

  get count(): number {
    return this.#records.live;
  }

  /** The write that began first, or 0. */
  get oldest(): number {
    return this.#oldest;
  }

  /** The write that began after this one, or 0. */
  next(write: number): number {
    return this.#records.word(write, NEXT);
  }

  begin(slot: number, writer: Writer, startMs: number, size: number): number {
    const write = this.#records.allocate();
    this.#records.setWord(write, SLOT, slot);
    this.#records.setWord(write, CLIENT, writer.client);
    this.#records.setFloat(write, WRITE_ID, writer.writeId);
    this.#records.setFloat(write, START, startMs);
    this.#records.setFloat(write, SIZE, size);
    this.#records.setWord(write, PREVIOUS, this.#newest);
    if (this.#newest === 0) this.#oldest = write;
    else this.#records.setWord(this.#newest, NEXT, write);
    this.#newest = write;
    return write;
  }

  end(write: number): void {
    const previous = this.#records.word(write, PREVIOUS);
    const next = this.#records.word(write, NEXT);
    if (previous === 0) this.#oldest = next;
    else this.#records.setWord(previous, NEXT, next);
    if (next === 0) this.#newest = previous;
    else this.#records.setWord(next, PREVIOUS, previous);
    this.#records.release(write);
  }

  /** What to do with pins and the type of the data when the write is committed. */
  setOptions(
    write: number,
    softAction: number,
    softTtlMs: number,
    hardPin: boolean,
    dataType: number,
  ): void {
    const options = softAction | (hardPin ? HARD_PIN : 0) | dataType << TYPE_SHIFT;
    this.#records.setWord(write, OPTIONS, options);
    this.#records.setWord(write, SOFT_TTL, softTtlMs);
  }

  slot(write: number): number {
    return this.#records.word(write, SLOT);
  }

  client(write: number): number {
    return this.#records.word(write, CLIENT);
  }

  /** The client's number of the write, 0 = it has none. */
  writeId(write: number): number {
    return this.#records.float(write, WRITE_ID);
  }

  /** Whether a call by `writer` is about this write. */
  isBy(write: number, writer: Writer): boolean {
    return this.client(write) === writer.client && this.writeId(write) === writer.writeId;
  }

  startMs(write: number): number {
    return this.#records.float(write, START);
  }

  /** Bytes of the version being written. */
  size(write: number): number {
    return this.#records.float(write, SIZE);
  }

  softAction(write: number): number {
    return this.#records.word(write, OPTIONS) & 3;
  }

  softTtlMs(write: number): number {
    return this.#records.word(write, SOFT_TTL) >>> 0;
  }

  hardPin(write: number): boolean {
    return (this.#records.word(write, OPTIONS) & HARD_PIN) !== 0;
  }

  dataType(write: number): number {
    return this.#records.word(write, OPTIONS) >>> TYPE_SHIFT;
  }

  /** Whether its version can be read already, while a copy of it on disk is still being written. */
  isCommitted(write: number): boolean {
    return (this.#records.word(write, OPTIONS) & COMMITTED) !== 0;
  }

  setCommitted(write: number): void {
    this.#records.setWord(write, OPTIONS, this.#records.word(write, OPTIONS) | COMMITTED);
  }
}
