/** Short texts with an index each, found by their bytes; looking one up allocates nothing. */
export class NameTable {
  readonly #names: Uint8Array[] = [];
  /** Pairs of a hash and an index + 1, at most half of them in use. */
  #table = new Int32Array(32);

  get count(): number {
    return this.#names.length;
  }

  /** The index of `bytes[start, end)`, -1 when it is not there. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const table = this.#table;
    const mask = table.length - 1;
    const hash = hashOf(bytes, start, end);
    for (let at = (hash << 1) & mask;; at = (at + 2) & mask) {
      const index = table[at + 1] - 1;
      if (index < 0) return -1;
      if (table[at] === hash && isSame(this.#names[index], bytes, start, end)) return index;
    }
  }

  /** Gives a text that is not there the next index; its bytes are copied. */
  add(bytes: Uint8Array, start: number, end: number): number {
    const index = this.#names.push(bytes.slice(start, end)) - 1;
    if (this.#names.length * 4 > this.#table.length) {
      this.#table = new Int32Array(this.#table.length * 2);
      this.#names.forEach((name, i) => this.#enter(hashOf(name, 0, name.length), i));
    } else {
      this.#enter(hashOf(bytes, start, end), index);
    }
    return index;
  }

  /** The text as given. Do not change it. */
  name(index: number): Uint8Array {
    return this.#names[index];
  }

  #enter(hash: number, index: number): void {
    const mask = this.#table.length - 1;
    let at = (hash << 1) & mask;
    while (this.#table[at + 1] !== 0) at = (at + 2) & mask;
    this.#table[at] = hash;
    this.#table[at + 1] = index + 1;
  }
}

/** FNV-1a; tables are small, so that little is gained by collisions. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  return hash;
}

function isSame(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}
