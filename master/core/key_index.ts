import { ordinaryPages, type PageSource } from "./pages.ts";

/** A bucket is one cache line: seven pairs of hash and slot, and the bucket that goes on with it. */
const BUCKET_SHIFT = 4;
const PAIRS_END = 14;
const LINK = 14;
const PAGE_SHIFT = 14;
const PAGE_MASK = (1 << PAGE_SHIFT) - 1;
const PAGE_BYTES = 1 << PAGE_SHIFT + BUCKET_SHIFT + 2;
const FIRST_BUCKETS = 8;
/** A bucket is split when there are more than 4.5 entries for each. */
const ENTRIES_PER_TWO = 9;

/** Buckets in pages, by number. */
class Buckets {
  readonly pages: Int32Array[] = [];
  readonly #source: PageSource;

  constructor(source: PageSource) {
    this.#source = source;
  }

  /** Makes room for bucket `index`, if those before it have room. */
  reach(index: number): void {
    if (index >>> PAGE_SHIFT < this.pages.length) return;
    const source = this.pages.length === 0 ? ordinaryPages : this.#source;
    this.pages.push(new Int32Array(source.take(PAGE_BYTES)));
  }
}

/**
 * Map from a 32-bit hash to slots that grows by one bucket at a time (linear hashing, Litwin 1980): no
 * insertion moves more than the entries of one bucket. A lookup reads one cache line, and a second one
 * where a bucket has overflowed.
 *
 * Entries with equal hashes are told apart by the caller: {@linkcode KeyIndex.seek} and
 * {@linkcode KeyIndex.seekNext} walk over them.
 */
export class KeyIndex {
  readonly #buckets: Buckets;
  /** Buckets with what did not fit, by number from 1; those not in use are linked. */
  readonly #spill: Buckets;
  #spillLimit = 1;
  #freeSpill = 0;
  #count = FIRST_BUCKETS;
  /** Masks of hashes: of all buckets as many as a power of two, and of twice as many. */
  #narrow = FIRST_BUCKETS - 1;
  #wide = 2 * FIRST_BUCKETS - 1;
  #size = 0;
  /** Where the last seek found something. */
  #page: Int32Array;
  #bucket = 0;
  #at = 0;
  #hash = 0;
  /** Pairs of the bucket that is being split. */
  #moving = new Int32Array(2 * PAIRS_END);

  /** `pages` serves all pages but the first. */
  constructor(pages: PageSource = ordinaryPages) {
    this.#buckets = new Buckets(pages);
    this.#spill = new Buckets(pages);
    this.#buckets.reach(0);
    this.#page = this.#buckets.pages[0];
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of all tables. */
  get reservedBytes(): number {
    return (this.#buckets.pages.length + this.#spill.pages.length) * PAGE_BYTES;
  }

  /** Reads the bucket of a hash, so that it is near when the search comes. */
  touch(hash: number): number {
    const bucket = this.#bucketOf(hash);
    return this.#buckets.pages[bucket >>> PAGE_SHIFT][(bucket & PAGE_MASK) << BUCKET_SHIFT];
  }

  /** The first slot stored under `hash`, or 0. */
  seek(hash: number): number {
    const bucket = this.#bucketOf(hash);
    this.#hash = hash;
    const page = this.#buckets.pages[bucket >>> PAGE_SHIFT];
    return this.#walk(page, (bucket & PAGE_MASK) << BUCKET_SHIFT, 0);
  }

  /** The next slot under the hash of the last seek, which must have found one; or 0. */
  seekNext(): number {
    return this.#walk(this.#page, this.#bucket, this.#at + 2);
  }

  /** Adds a slot. The same pair must not be there yet. */
  insert(hash: number, slot: number): void {
    this.#size++;
    if (this.#size * 2 > this.#count * ENTRIES_PER_TWO) this.#split();
    this.#place(this.#bucketOf(hash), hash, slot);
  }

  /** Removes a pair that is there. */
  remove(hash: number, slot: number): void {
    let found = this.seek(hash);
    while (found !== slot && found !== 0) found = this.seekNext();
    if (found === 0) throw new Error(`slot ${slot} is not in the index`);
    const home = this.#bucketOf(hash);
    let page = this.#buckets.pages[home >>> PAGE_SHIFT];
    let bucket = (home & PAGE_MASK) << BUCKET_SHIFT;
    let before: Int32Array | null = null;
    let beforeAt = 0;
    for (let link = page[bucket + LINK]; link !== 0; link = page[bucket + LINK]) {
      before = page;
      beforeAt = bucket + LINK;
      page = this.#spill.pages[link >>> PAGE_SHIFT];
      bucket = (link & PAGE_MASK) << BUCKET_SHIFT;
    }
    let last = PAIRS_END - 2;
    while (page[bucket + last + 1] === 0) last -= 2;
    this.#page[this.#bucket + this.#at] = page[bucket + last];
    this.#page[this.#bucket + this.#at + 1] = page[bucket + last + 1];
    page[bucket + last] = 0;
    page[bucket + last + 1] = 0;
    if (last === 0 && before !== null) this.#freeChain(before, beforeAt);
    this.#size--;
  }

  #bucketOf(hash: number): number {
    const bucket = hash & this.#wide;
    // Without a branch, which would be foreseen for every second key only.
    const beyond = (this.#count - 1 - bucket) >> 31;
    return bucket & (this.#narrow | ~beyond);
  }

  #walk(page: Int32Array, bucket: number, at: number): number {
    const hash = this.#hash;
    for (;;) {
      for (; at < PAIRS_END; at += 2) {
        const slot = page[bucket + at + 1];
        if (slot === 0) return 0;
        if (page[bucket + at] === hash) {
          this.#page = page;
          this.#bucket = bucket;
          this.#at = at;
          return slot;
        }
      }
      const link = page[bucket + LINK];
      if (link === 0) return 0;
      page = this.#spill.pages[link >>> PAGE_SHIFT];
      bucket = (link & PAGE_MASK) << BUCKET_SHIFT;
      at = 0;
    }
  }

  #place(index: number, hash: number, slot: number): void {
    let page = this.#buckets.pages[index >>> PAGE_SHIFT];
    let bucket = (index & PAGE_MASK) << BUCKET_SHIFT;
    for (;;) {
      for (let at = 0; at < PAIRS_END; at += 2) {
        if (page[bucket + at + 1] !== 0) continue;
        page[bucket + at] = hash;
        page[bucket + at + 1] = slot;
        return;
      }
      const link = page[bucket + LINK] || this.#takeSpill();
      page[bucket + LINK] = link;
      page = this.#spill.pages[link >>> PAGE_SHIFT];
      bucket = (link & PAGE_MASK) << BUCKET_SHIFT;
    }
  }

  /** Adds a bucket, with those entries of one other that belong into it now. */
  #split(): void {
    const from = this.#count & this.#narrow;
    const page = this.#buckets.pages[from >>> PAGE_SHIFT];
    const bucket = (from & PAGE_MASK) << BUCKET_SHIFT;
    const length = this.#takeOut(page, bucket);
    this.#buckets.reach(this.#count);
    if (this.#count++ === this.#wide) {
      this.#narrow = this.#wide;
      this.#wide = 2 * this.#wide + 1;
    }
    const moving = this.#moving;
    for (let i = 0; i < length; i += 2) {
      this.#place(this.#bucketOf(moving[i]), moving[i], moving[i + 1]);
    }
  }

  /** Empties a bucket and those that go on with it; returns how many words `#moving` has. */
  #takeOut(page: Int32Array, bucket: number): number {
    const firstPage = page;
    const first = bucket;
    let length = 0;
    for (;;) {
      if (length + PAIRS_END > this.#moving.length) {
        const larger = new Int32Array(2 * this.#moving.length);
        larger.set(this.#moving);
        this.#moving = larger;
      }
      for (let at = 0; at < PAIRS_END && page[bucket + at + 1] !== 0; at += 2) {
        this.#moving[length++] = page[bucket + at];
        this.#moving[length++] = page[bucket + at + 1];
        page[bucket + at] = 0;
        page[bucket + at + 1] = 0;
      }
      const link = page[bucket + LINK];
      if (link === 0) break;
      page = this.#spill.pages[link >>> PAGE_SHIFT];
      bucket = (link & PAGE_MASK) << BUCKET_SHIFT;
    }
    this.#freeChain(firstPage, first + LINK);
    return length;
  }

  #takeSpill(): number {
    const free = this.#freeSpill;
    if (free === 0) {
      this.#spill.reach(this.#spillLimit);
      return this.#spillLimit++;
    }
    const page = this.#spill.pages[free >>> PAGE_SHIFT];
    const at = ((free & PAGE_MASK) << BUCKET_SHIFT) + LINK;
    this.#freeSpill = page[at];
    page[at] = 0;
    return free;
  }

  /** Gives back the empty buckets that are linked at `page[at]`. */
  #freeChain(page: Int32Array, at: number): void {
    let index = page[at];
    page[at] = 0;
    while (index !== 0) {
      const spill = this.#spill.pages[index >>> PAGE_SHIFT];
      const link = ((index & PAGE_MASK) << BUCKET_SHIFT) + LINK;
      const next = spill[link];
      spill[link] = this.#freeSpill;
      this.#freeSpill = index;
      index = next;
    }
  }
}
