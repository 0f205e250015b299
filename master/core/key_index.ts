const SHARD_SHIFT = 22;
const SHARDS = 1 << (32 - SHARD_SHIFT);
const FIRST_ENTRIES = 8;

/**
 * Open-addressed map from a 32-bit hash to slots, split into 1024 tables by the upper bits of the
 * hash. Each table grows by itself, so no insertion moves more than a thousandth of the entries.
 *
 * Entries with equal hashes are told apart by the caller: {@linkcode KeyIndex.seek} and
 * {@linkcode KeyIndex.seekNext} walk over them.
 */
export class KeyIndex {
  /** Pairs of words: hash, slot. Slot 0 marks an empty place. */
  readonly #shards: Int32Array[] = [];
  readonly #counts = new Int32Array(SHARDS);
  #size = 0;
  #table: Int32Array;
  #mask = 0;
  #at = 0;
  #hash = 0;

  constructor() {
    for (let i = 0; i < SHARDS; i++) this.#shards.push(new Int32Array(FIRST_ENTRIES * 2));
    this.#table = this.#shards[0];
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of all tables. */
  get reservedBytes(): number {
    return this.#shards.reduce((bytes, table) => bytes + table.byteLength, 0);
  }

  /** Reads the place where a search for `hash` begins, so that it is near when the search comes. */
  touch(hash: number): number {
    const table = this.#shards[hash >>> SHARD_SHIFT];
    return table[(hash << 1) & (table.length - 1)];
  }

  /** The first slot stored under `hash`, or 0. */
  seek(hash: number): number {
    const table = this.#shards[hash >>> SHARD_SHIFT];
    const mask = table.length - 1;
    let at = (hash << 1) & mask;
    for (;;) {
      const slot = table[at + 1];
      if (slot === 0) return 0;
      if (table[at] === hash) {
        this.#table = table;
        this.#mask = mask;
        this.#at = at;
        this.#hash = hash;
        return slot;
      }
      at = (at + 2) & mask;
    }
  }

  /** The next slot under the hash of the last successful seek, or 0. */
  seekNext(): number {
    const table = this.#table;
    let at = this.#at;
    for (;;) {
      at = (at + 2) & this.#mask;
      const slot = table[at + 1];
      if (slot === 0) return 0;
      if (table[at] === this.#hash) {
        this.#at = at;
        return slot;
      }
    }
  }

  /** Adds a slot. The same pair must not be there yet. */
  insert(hash: number, slot: number): void {
    const shard = hash >>> SHARD_SHIFT;
    let table = this.#shards[shard];
    if ((this.#counts[shard] + 1) * 8 > table.length * 3) {
      table = grown(table);
      this.#shards[shard] = table;
    }
    place(table, hash, slot);
    this.#counts[shard]++;
    this.#size++;
  }

  /** Removes a pair that is there. */
  remove(hash: number, slot: number): void {
    const shard = hash >>> SHARD_SHIFT;
    const table = this.#shards[shard];
    const mask = table.length - 1;
    let hole = (hash << 1) & mask;
    while (table[hole + 1] !== slot) {
      if (table[hole + 1] === 0) throw new Error(`slot ${slot} is not in the index`);
      hole = (hole + 2) & mask;
    }
    let at = hole;
    for (;;) {
      at = (at + 2) & mask;
      if (table[at + 1] === 0) break;
      const home = (table[at] << 1) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        table[hole] = table[at];
        table[hole + 1] = table[at + 1];
        hole = at;
      }
    }
    table[hole] = 0;
    table[hole + 1] = 0;
    this.#counts[shard]--;
    this.#size--;
  }
}

function place(table: Int32Array, hash: number, slot: number): void {
  const mask = table.length - 1;
  let at = (hash << 1) & mask;
  while (table[at + 1] !== 0) at = (at + 2) & mask;
  table[at] = hash;
  table[at + 1] = slot;
}

function grown(table: Int32Array): Int32Array {
  const larger = new Int32Array(table.length * 2);
  for (let at = 0; at < table.length; at += 2) {
    if (table[at + 1] !== 0) place(larger, table[at], table[at + 1]);
  }
  return larger;
}
