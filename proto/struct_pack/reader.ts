import { ProtocolError } from "../error.ts";
import type { SizeWidth } from "./writer.ts";

const TWO_32 = 0x1_0000_0000;
const SHORT_TEXT = 64;
const TEXT_SLOTS = 64;
const EMPTY = new Uint8Array(0);

export interface ReaderOptions {
  /**
   * Elements that all containers of one body may hold together; default 2^21. It bounds the memory
   * that a body full of one-byte elements can cost once they have become objects.
   */
  maxElements?: number;
  /**
   * Whether decoded byte strings are views of the input, good for as long as its buffer is not used
   * again, instead of views of a copy of their own; default false.
   */
  borrow?: boolean;
}

/**
 * Little-endian input over `bytes[start, end)`, used again with {@linkcode Reader.reset}.
 *
 * Every read checks its bounds first; whatever the bytes do not allow is a {@linkcode ProtocolError}.
 */
export class Reader {
  /** Bytes per container size in the current body. */
  width: SizeWidth = 1;
  #bytes: Uint8Array;
  #position: number;
  #end: number;
  #elements = 0;
  /** Copy of the input from `#copyStart` on, made when the first byte string is read. */
  #copy: Uint8Array = EMPTY;
  #copyStart = 0;
  readonly #maxElements: number;
  readonly #borrow: boolean;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #texts: string[] = new Array<string>(TEXT_SLOTS).fill("");

  constructor(
    bytes: Uint8Array = new Uint8Array(0),
    start = 0,
    end: number = bytes.length,
    options: ReaderOptions = {},
  ) {
    this.#maxElements = options.maxElements ?? 1 << 21;
    this.#borrow = options.borrow ?? false;
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.reset(bytes, start, end);
  }

  /** Points the reader at other bytes. `RangeError` when the range is not inside them. */
  reset(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    if (start < 0 || start > end || end > bytes.length) {
      throw new RangeError(`[${start}, ${end}) is outside ${bytes.length} bytes`);
    }
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.#elements = 0;
    this.#copy = EMPTY;
    this.width = 1;
  }

  /** The array that positions refer to. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Index in `bytes` of the next byte. */
  get position(): number {
    return this.#position;
  }

  /** Bytes left. */
  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Steps over `count` bytes and returns the position of the first. */
  skip(count: number): number {
    return this.#take(count);
  }

  /** Refuses bytes that are left over. */
  expectEnd(): void {
    if (this.#position !== this.#end) {
      throw new ProtocolError(`${this.remaining} bytes follow the end of the body`);
    }
  }

  /** Unsigned 8 bits. */
  u8(): number {
    return this.#bytes[this.#take(1)];
  }

  /** Unsigned 16 bits. */
  u16(): number {
    const at = this.#take(2);
    return this.#bytes[at] | (this.#bytes[at + 1] << 8);
  }

  /** Unsigned 32 bits. */
  u32(): number {
    return this.i32() >>> 0;
  }

  /** Signed 32 bits. */
  i32(): number {
    const at = this.#take(4);
    const bytes = this.#bytes;
    return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
  }

  /** Unsigned, exact over all 64 bits. */
  u64(): bigint {
    this.#fillScratch();
    return this.#scratch.getBigUint64(0, true);
  }

  /** Signed, exact over all 64 bits. */
  i64(): bigint {
    this.#fillScratch();
    return this.#scratch.getBigInt64(0, true);
  }

  /** Unsigned 64 bits as a number; refuses what is above 2^53-1. */
  u64Number(): number {
    const low = this.u32();
    const high = this.u32();
    if (high >= 0x20_0000) {
      throw new ProtocolError(`The number ${high * TWO_32 + low} is above 2^53-1`);
    }
    return high * TWO_32 + low;
  }

  /** Signed 64 bits as a number; refuses what is not a safe integer. */
  i64Number(): number {
    const low = this.u32();
    const value = this.i32() * TWO_32 + low;
    if (!Number.isSafeInteger(value)) {
      throw new ProtocolError(`The number ${value} is not a safe integer`);
    }
    return value;
  }

  /** An IEEE 754 double. */
  f64(): number {
    this.#fillScratch();
    return this.#scratch.getFloat64(0, true);
  }

  /** One byte; refuses any but 0 and 1. */
  bool(): boolean {
    const value = this.u8();
    if (value > 1) throw new ProtocolError(`${value} is not a boolean`);
    return value === 1;
  }

  /**
   * A container's element count. Refuses one that cannot fit in what remains, so that a caller may
   * allocate for it; `minElementBytes` is the size of the smallest element, at least 1.
   */
  size(minElementBytes: number): number {
    const count = this.#size();
    if (count * minElementBytes > this.remaining) {
      throw new ProtocolError(`${count} elements do not fit in ${this.remaining} bytes`);
    }
    this.#elements += count;
    if (this.#elements > this.#maxElements) {
      throw new ProtocolError(`The body holds more than ${this.#maxElements} elements`);
    }
    return count;
  }

  /** The length of a string in bytes; refuses one that is longer than what remains. */
  length(): number {
    const count = this.#size();
    if (count > this.remaining) {
      throw new ProtocolError(`A string of ${count} bytes does not fit in ${this.remaining}`);
    }
    return count;
  }

  /**
   * A string of bytes. The strings of one input share one copy of it, since allocating costs more
   * than copying; see {@linkcode ReaderOptions.borrow}.
   */
  blob(): Uint8Array {
    const count = this.length();
    const at = this.#take(count);
    if (this.#borrow) return this.#bytes.subarray(at, at + count);
    if (count === 0) return EMPTY;
    if (this.#copy.length === 0) {
      this.#copy = new Uint8Array(this.#end - at);
      this.#copy.set(this.#bytes.subarray(at, this.#end));
      this.#copyStart = at;
    }
    const start = at - this.#copyStart;
    return this.#copy.subarray(start, start + count);
  }

  /** A string as text; refuses what is not UTF-8. Short ASCII strings seen before are not rebuilt. */
  text(): string {
    const count = this.length();
    const at = this.#take(count);
    if (count <= SHORT_TEXT) return this.#shortText(at, count);
    return this.#decode(at, count);
  }

  #shortText(at: number, count: number): string {
    const bytes = this.#bytes;
    let hash = count;
    let seen = 0;
    for (let i = at; i < at + count; i++) {
      const byte = bytes[i];
      seen |= byte;
      hash = (Math.imul(hash, 31) + byte) | 0;
    }
    if (seen > 0x7f) return this.#decode(at, count);
    const slot = (hash ^ (hash >>> 15)) & (TEXT_SLOTS - 1);
    const cached = this.#texts[slot];
    if (cached.length === count) {
      let i = 0;
      while (i < count && cached.charCodeAt(i) === bytes[at + i]) i++;
      if (i === count) return cached;
    }
    const text = this.#decode(at, count);
    this.#texts[slot] = text;
    return text;
  }

  #decode(at: number, count: number): string {
    try {
      return this.#decoder.decode(this.#bytes.subarray(at, at + count));
    } catch (cause) {
      throw new ProtocolError(`A string of ${count} bytes is not valid UTF-8`, { cause });
    }
  }

  #size(): number {
    switch (this.width) {
      case 1:
        return this.u8();
      case 2:
        return this.u16();
      case 4:
        return this.u32();
      case 8:
        return this.u64Number();
    }
  }

  #fillScratch(): void {
    const at = this.#take(8);
    for (let i = 0; i < 8; i++) this.#scratch.setUint8(i, this.#bytes[at + i]);
  }

  #take(count: number): number {
    const at = this.#position;
    if (count > this.#end - at) {
      throw new ProtocolError(`${count} bytes are needed and ${this.#end - at} are left`);
    }
    this.#position = at + count;
    return at;
  }
}
