/** Bytes that every container size of one body takes. */
export type SizeWidth = 1 | 2 | 4 | 8;

const TWO_32 = 0x1_0000_0000;
const KEPT_BYTES = 1 << 20;
const SHORT_TEXT = 64;

/** The smallest width whose sizes hold `size` elements or bytes. */
export function widthFor(size: number): SizeWidth {
  if (size <= 0xff) return 1;
  if (size <= 0xffff) return 2;
  return size <= 0xffff_ffff ? 4 : 8;
}

/**
 * Little-endian output over one growing buffer that is used again after {@linkcode Writer.reset}.
 *
 * Container sizes are written with the body-wide `width`. A size that does not fit is remembered
 * rather than refused: when `neededWidth` exceeds `width` at the end of a body, the writer of that
 * body truncates to its start and writes it again, wider.
 */
export class Writer {
  #buffer: Uint8Array;
  #view: DataView;
  #length = 0;
  #largestSize = 0;
  #width: SizeWidth = 1;
  readonly #initialBytes: number;
  readonly #encoder = new TextEncoder();

  /** `initialBytes` is what is allocated at first; the buffer doubles when it is full. */
  constructor(initialBytes = 1024) {
    this.#initialBytes = initialBytes;
    this.#buffer = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  /** What was written, as a view: valid until the next write, `truncate` or `reset`. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Bytes per container size in the current body. */
  get width(): SizeWidth {
    return this.#width;
  }

  /** The smallest width that holds every size written since the last {@linkcode startSizes}. */
  get neededWidth(): SizeWidth {
    return widthFor(this.#largestSize);
  }

  /** Sets the width of the sizes that follow and forgets the ones before. */
  startSizes(width: SizeWidth): void {
    this.#width = width;
    this.#largestSize = 0;
  }

  /** Empties the writer. A buffer that has grown past 1 MiB is let go. */
  reset(): void {
    this.#length = 0;
    if (this.#buffer.length > KEPT_BYTES && this.#initialBytes < this.#buffer.length) {
      this.#buffer = new Uint8Array(this.#initialBytes);
      this.#view = new DataView(this.#buffer.buffer);
    }
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    if (length < 0 || length > this.#length) {
      throw new RangeError(`Cannot truncate ${this.#length} written bytes to ${length}`);
    }
    this.#length = length;
  }

  /** Appends `count` bytes of undefined content and returns the position of the first. */
  reserve(count: number): number {
    this.#ensure(count);
    const at = this.#length;
    this.#length += count;
    return at;
  }

  /** Overwrites four bytes that were written or reserved before. */
  patchU32(at: number, value: number): void {
    if (at < 0 || at + 4 > this.#length) {
      throw new RangeError(`Cannot patch 4 bytes at ${at} of ${this.#length}`);
    }
    this.#view.setUint32(at, value, true);
  }

  /** The low 8 bits; like the other fixed widths it does not check the range. */
  u8(value: number): void {
    this.#ensure(1);
    this.#buffer[this.#length++] = value;
  }

  /** The low 16 bits. */
  u16(value: number): void {
    this.#ensure(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  /** The low 32 bits, of a signed or an unsigned number. */
  u32(value: number): void {
    this.#ensure(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  /** The low 32 bits, of a signed or an unsigned number. */
  i32(value: number): void {
    this.#ensure(4);
    this.#view.setInt32(this.#length, value, true);
    this.#length += 4;
  }

  /** Unsigned, exact over all 64 bits. `RangeError` outside them. */
  u64(value: bigint): void {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
      throw new RangeError(`${value} is outside the unsigned 64-bit integers`);
    }
    this.#ensure(8);
    this.#view.setBigUint64(this.#length, value, true);
    this.#length += 8;
  }

  /** Signed, exact over all 64 bits. `RangeError` outside them. */
  i64(value: bigint): void {
    if (value !== BigInt.asIntN(64, value)) {
      throw new RangeError(`${value} is outside the signed 64-bit integers`);
    }
    this.#ensure(8);
    this.#view.setBigInt64(this.#length, value, true);
    this.#length += 8;
  }

  /** Unsigned 64 bits from a number. `RangeError` unless it is an integer from 0 to 2^53-1. */
  u64Number(value: number): void {
    if (!(value >= 0) || !Number.isSafeInteger(value)) {
      throw new RangeError(`${value} is not an integer from 0 to 2^53-1`);
    }
    this.#ensure(8);
    this.#view.setUint32(this.#length, value >>> 0, true);
    this.#view.setUint32(this.#length + 4, value / TWO_32, true);
    this.#length += 8;
  }

  /** Signed 64 bits from a number. `RangeError` unless it is a safe integer. */
  i64Number(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`);
    this.#ensure(8);
    this.#view.setUint32(this.#length, value >>> 0, true);
    this.#view.setInt32(this.#length + 4, Math.floor(value / TWO_32), true);
    this.#length += 8;
  }

  /** An IEEE 754 double. */
  f64(value: number): void {
    this.#ensure(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** One byte, 0 or 1. */
  bool(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  /** Copies `source[start, end)`. */
  raw(source: Uint8Array, start = 0, end = source.length): void {
    const count = end - start;
    this.#ensure(count);
    if (count <= 32) {
      const buffer = this.#buffer;
      for (let i = start, at = this.#length; i < end; i++, at++) buffer[at] = source[i];
    } else {
      this.#buffer.set(
        start === 0 && end === source.length ? source : source.subarray(start, end),
        this.#length,
      );
    }
    this.#length += count;
  }

  /** A container size in the body's width. */
  size(count: number): void {
    if (count > this.#largestSize) this.#largestSize = count;
    switch (this.#width) {
      case 1:
        return this.u8(count);
      case 2:
        return this.u16(count);
      case 4:
        return this.u32(count);
      case 8:
        return this.u64Number(count);
    }
  }

  /** A string of bytes: size, then `source[start, end)`. */
  blob(source: Uint8Array, start = 0, end = source.length): void {
    this.size(end - start);
    this.raw(source, start, end);
  }

  /** A string from text, as UTF-8. `TypeError` when it holds half a surrogate pair. */
  text(value: string): void {
    const count = value.length;
    if (count <= SHORT_TEXT && this.#shortAscii(value, count)) return;
    if (!value.isWellFormed()) {
      throw new TypeError("Cannot encode a string with a lone surrogate as UTF-8");
    }
    const width = this.#width;
    const start = this.reserve(width + 3 * count);
    const { written } = this.#encoder.encodeInto(value, this.#buffer.subarray(start + width));
    this.#length = start;
    this.size(written);
    this.#length = start + width + written;
  }

  #shortAscii(value: string, count: number): boolean {
    this.#ensure(this.#width + count);
    const start = this.#length + this.#width;
    const buffer = this.#buffer;
    for (let i = 0; i < count; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return false;
      buffer[start + i] = unit;
    }
    this.size(count);
    this.#length = start + count;
    return true;
  }

  #ensure(count: number): void {
    if (this.#length + count > this.#buffer.length) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + count));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}
