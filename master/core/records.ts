import { ordinaryPages, type PageSource } from "./pages.ts";

/** Records per page of every {@linkcode RecordPool}: 2^14. */
export const PAGE_SHIFT = 14;
export const PAGE_RECORDS = 1 << PAGE_SHIFT;
export const PAGE_MASK = PAGE_RECORDS - 1;

/**
 * Fixed-size records in pages of typed arrays, so that millions of them cost the garbage collector
 * nothing and growing never copies. An index is stable for the life of its record; 0 is "none".
 *
 * A page is seen as 32-bit words and, for records of an even size, as doubles. The first word of a
 * free record links the free list.
 */
export class RecordPool {
  readonly words: Int32Array[] = [];
  readonly floats: Float64Array[] = [];
  readonly #pages: PageSource;
  #free = 0;
  #next = 1;
  #live = 0;

  /** `stride` is the size of a record in 32-bit words; `pages` serves all pages but the first. */
  constructor(readonly stride: number, pages: PageSource = ordinaryPages) {
    this.#pages = pages;
  }

  /** Records in use. */
  get live(): number {
    return this.#live;
  }

  /** Every index ever handed out is below this. */
  get limit(): number {
    return this.#next;
  }

  /** Bytes of all pages. */
  get reservedBytes(): number {
    return this.words.length * PAGE_RECORDS * this.stride * 4;
  }

  /** A record whose words are all 0. */
  allocate(): number {
    this.#live++;
    const reused = this.#free;
    if (reused !== 0) {
      const page = this.words[reused >>> PAGE_SHIFT];
      const at = (reused & PAGE_MASK) * this.stride;
      this.#free = page[at];
      page[at] = 0;
      return reused;
    }
    const index = this.#next++;
    if (index >>> PAGE_SHIFT >= this.words.length) {
      const pages = this.words.length === 0 ? ordinaryPages : this.#pages;
      const page = pages.take(PAGE_RECORDS * this.stride * 4);
      this.words.push(new Int32Array(page));
      if (this.stride % 2 === 0) this.floats.push(new Float64Array(page));
    }
    return index;
  }

  /** Takes a record back; it must be in use. */
  release(index: number): void {
    const page = this.words[index >>> PAGE_SHIFT];
    const at = (index & PAGE_MASK) * this.stride;
    page.fill(0, at, at + this.stride);
    page[at] = this.#free;
    this.#free = index;
    this.#live--;
  }

  word(index: number, field: number): number {
    return this.words[index >>> PAGE_SHIFT][(index & PAGE_MASK) * this.stride + field];
  }

  setWord(index: number, field: number, value: number): void {
    this.words[index >>> PAGE_SHIFT][(index & PAGE_MASK) * this.stride + field] = value;
  }

  /** The double that starts at word `field`, an even number. */
  float(index: number, field: number): number {
    return this.floats[index >>> PAGE_SHIFT][
      ((index & PAGE_MASK) * this.stride + field) >>> 1
    ];
  }

  setFloat(index: number, field: number, value: number): void {
    this.floats[index >>> PAGE_SHIFT][((index & PAGE_MASK) * this.stride + field) >>> 1] = value;
  }
}
