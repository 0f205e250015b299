import { ordinaryPages, type PageSource } from "./pages.ts";

const PAGE_BYTES = 1 << 20;
const BLOCK_BYTES = 1 << 14;
const GRANULE_SHIFT = 3;
const PAGE_GRANULE_SHIFT = 17;
const PAGE_GRANULE_MASK = (1 << PAGE_GRANULE_SHIFT) - 1;
/** Keys up to here have a size class of their own every 8 bytes, then every 64 up to `MAX_PAGED`. */
const MAX_FINE = 512;
const FINE_CLASSES = MAX_FINE >>> 3;
const MAX_PAGED = 4096;
const CLASSES = FINE_CLASSES + ((MAX_PAGED - MAX_FINE) >>> 6) + 1;
const LARGE = 0x8000_0000 | 0;

function sizeClass(length: number): number {
  return length <= MAX_FINE ? (length + 7) >>> 3 : FINE_CLASSES + ((length - MAX_FINE + 63) >>> 6);
}

function classBytes(index: number): number {
  return index <= FINE_CLASSES ? index << 3 : MAX_FINE + ((index - FINE_CLASSES) << 6);
}

/**
 * Stores byte strings in 1 MiB pages and hands out 32-bit references to them. Space of a released
 * string is used again by one of the same size class; strings over 4 KiB lie outside the pages.
 * A reference does not hold the length: its owner keeps that.
 */
export class KeyArena {
  readonly #source: PageSource;
  readonly #pages: Uint8Array[] = [];
  readonly #views: DataView[] = [];
  /** Head of the free list of each class, as reference + 1. */
  readonly #free = new Int32Array(CLASSES);
  /** Bump position and end of the block each class is carving, in granules. */
  readonly #position = new Int32Array(CLASSES);
  readonly #end = new Int32Array(CLASSES);
  #pagePosition = PAGE_BYTES;
  readonly #large: (Uint8Array | null)[] = [];
  readonly #largeViews: (DataView | null)[] = [];
  readonly #freeLarge: number[] = [];
  #largeBytes = 0;

  /** `source` serves all pages but the first. */
  constructor(source: PageSource = ordinaryPages) {
    this.#source = source;
  }

  /** Bytes held for keys, used or not. */
  get reservedBytes(): number {
    return this.#pages.length * PAGE_BYTES + this.#largeBytes;
  }

  /** Copies bytes `[start, end)`, at least one, and returns their reference. */
  store(bytes: DataView, start: number, end: number): number {
    const length = end - start;
    if (length > MAX_PAGED) {
      const copy = new Uint8Array(bytes.buffer, bytes.byteOffset + start, length).slice();
      return this.#storeLarge(copy);
    }
    const reference = this.#take(sizeClass(length));
    const page = this.#views[reference >>> PAGE_GRANULE_SHIFT];
    const at = (reference & PAGE_GRANULE_MASK) << GRANULE_SHIFT;
    const whole = length & ~3;
    let i = 0;
    for (; i < whole; i += 4) page.setInt32(at + i, bytes.getInt32(start + i, true), true);
    for (; i < length; i++) page.setUint8(at + i, bytes.getUint8(start + i));
    return reference;
  }

  release(reference: number, length: number): void {
    if (reference < 0) {
      const index = reference & ~LARGE;
      this.#largeBytes -= length;
      this.#large[index] = null;
      this.#largeViews[index] = null;
      this.#freeLarge.push(index);
      return;
    }
    const index = sizeClass(length);
    const at = (reference & PAGE_GRANULE_MASK) << GRANULE_SHIFT;
    this.#views[reference >>> PAGE_GRANULE_SHIFT].setInt32(at, this.#free[index], true);
    this.#free[index] = reference + 1;
  }

  /** Reads the first word of a string, as {@linkcode KeyIndex.touch}. */
  touch(reference: number): number {
    return reference < 0 ? 0 : this.#views[reference >>> PAGE_GRANULE_SHIFT].getInt32(
      (reference & PAGE_GRANULE_MASK) << GRANULE_SHIFT,
      true,
    );
  }

  /** Whether the string of `length` bytes at `reference` equals the bytes from `start` on. */
  equals(reference: number, length: number, bytes: DataView, start: number): boolean {
    const page = reference < 0
      ? this.#largeViews[reference & ~LARGE]!
      : this.#views[reference >>> PAGE_GRANULE_SHIFT];
    const at = this.offset(reference);
    const whole = length & ~3;
    let i = 0;
    for (; i < whole; i += 4) {
      if (page.getInt32(at + i, true) !== bytes.getInt32(start + i, true)) return false;
    }
    for (; i < length; i++) {
      if (page.getUint8(at + i) !== bytes.getUint8(start + i)) return false;
    }
    return true;
  }

  /** The array that holds the string; it starts at {@linkcode KeyArena.offset}. Do not keep it. */
  page(reference: number): Uint8Array {
    return reference < 0
      ? this.#large[reference & ~LARGE]!
      : this.#pages[reference >>> PAGE_GRANULE_SHIFT];
  }

  offset(reference: number): number {
    return reference < 0 ? 0 : (reference & PAGE_GRANULE_MASK) << GRANULE_SHIFT;
  }

  #storeLarge(copy: Uint8Array<ArrayBuffer>): number {
    const index = this.#freeLarge.pop() ?? this.#large.length;
    this.#large[index] = copy;
    this.#largeViews[index] = new DataView(copy.buffer);
    this.#largeBytes += copy.length;
    return index | LARGE;
  }

  #take(index: number): number {
    const head = this.#free[index];
    if (head !== 0) {
      const reference = head - 1;
      const at = (reference & PAGE_GRANULE_MASK) << GRANULE_SHIFT;
      this.#free[index] = this.#views[reference >>> PAGE_GRANULE_SHIFT].getInt32(at, true);
      return reference;
    }
    const granules = classBytes(index) >>> GRANULE_SHIFT;
    if (this.#position[index] + granules > this.#end[index]) this.#openBlock(index);
    const reference = this.#position[index];
    this.#position[index] = reference + granules;
    return reference;
  }

  #openBlock(index: number): void {
    if (this.#pagePosition === PAGE_BYTES) {
      const pages = this.#pages.length === 0 ? ordinaryPages : this.#source;
      const page = pages.take(PAGE_BYTES);
      this.#pages.push(new Uint8Array(page));
      this.#views.push(new DataView(page));
      this.#pagePosition = 0;
    }
    const first = ((this.#pages.length - 1) << PAGE_GRANULE_SHIFT) +
      (this.#pagePosition >>> GRANULE_SHIFT);
    this.#position[index] = first;
    this.#end[index] = first + (BLOCK_BYTES >>> GRANULE_SHIFT);
    this.#pagePosition += BLOCK_BYTES;
  }
}
