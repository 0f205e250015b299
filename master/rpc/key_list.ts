import type { Reader } from "../../proto/struct_pack/reader.ts";

const FIRST_CAPACITY = 1024;
/** Lists that have grown beyond this are given up at the next short batch. */
const KEPT_CAPACITY = 64 * 1024;

/**
 * Where the keys of a batch lie in the request buffer, with what else a batch says of each key. Kept
 * from call to call, so that reading a batch allocates nothing.
 */
export class KeyList {
  count = 0;
  starts = new Uint32Array(FIRST_CAPACITY);
  ends = new Uint32Array(FIRST_CAPACITY);
  /** Whether a key has a checksum, and its halves. Set by {@linkcode KeyList.readMetas}. */
  summed = new Uint8Array(FIRST_CAPACITY);
  sumLows = new Uint32Array(FIRST_CAPACITY);
  sumHighs = new Uint32Array(FIRST_CAPACITY);
  /** Set by {@linkcode KeyList.readSizes}, `sizeCount` of them. */
  sizes = new Float64Array(FIRST_CAPACITY);
  sizeCount = 0;

  /** Takes a `string` as a list of one key. */
  readKey(reader: Reader): void {
    this.#begin(1);
    this.#readBlob(reader, 0);
  }

  /** Takes a `vector<string>`. */
  readKeys(reader: Reader): void {
    const count = this.#begin(reader.size(1));
    for (let i = 0; i < count; i++) this.#readBlob(reader, i);
  }

  /** Takes an `ObjectMeta` as a list of one. */
  readMeta(reader: Reader): void {
    this.#begin(1);
    this.#readMeta(reader, 0);
  }

  /** Takes a `vector<ObjectMeta>`. */
  readMetas(reader: Reader): void {
    const count = this.#begin(reader.size(2));
    for (let i = 0; i < count; i++) this.#readMeta(reader, i);
  }

  /** Takes a `u64` as a list of one size. */
  readSize(reader: Reader): void {
    this.sizes[0] = reader.u64Number();
    this.sizeCount = 1;
  }

  /** Takes a `vector<u64>`, which need not be as long as the list of keys. */
  readSizes(reader: Reader): void {
    const count = reader.size(8);
    const capacity = fit(this.sizes.length, count);
    if (capacity !== this.sizes.length) this.sizes = new Float64Array(capacity);
    for (let i = 0; i < count; i++) this.sizes[i] = reader.u64Number();
    this.sizeCount = count;
  }

  /** Whether key `i` has come before in the list, the last one read from `bytes`. */
  isRepeated(bytes: Uint8Array, i: number): boolean {
    const length = this.ends[i] - this.starts[i];
    for (let j = 0; j < i; j++) {
      if (this.ends[j] - this.starts[j] !== length) continue;
      let at = 0;
      while (at < length && bytes[this.starts[j] + at] === bytes[this.starts[i] + at]) at++;
      if (at === length) return true;
    }
    return false;
  }

  #begin(count: number): number {
    const capacity = fit(this.starts.length, count);
    if (capacity !== this.starts.length) {
      this.starts = new Uint32Array(capacity);
      this.ends = new Uint32Array(capacity);
      this.summed = new Uint8Array(capacity);
      this.sumLows = new Uint32Array(capacity);
      this.sumHighs = new Uint32Array(capacity);
    }
    this.count = count;
    return count;
  }

  #readMeta(reader: Reader, i: number): void {
    this.#readBlob(reader, i);
    if (!reader.bool()) return void (this.summed[i] = 0);
    this.summed[i] = 1;
    this.sumLows[i] = reader.u32();
    this.sumHighs[i] = reader.u32();
  }

  #readBlob(reader: Reader, i: number): void {
    const length = reader.length();
    const start = reader.skip(length);
    this.starts[i] = start;
    this.ends[i] = start + length;
  }
}

/** The capacity of a list that is to hold `count`: what it has, unless that is too little or a lot. */
function fit(capacity: number, count: number): number {
  if (count > capacity) return count * 2;
  return capacity > KEPT_CAPACITY && count <= FIRST_CAPACITY ? FIRST_CAPACITY : capacity;
}
