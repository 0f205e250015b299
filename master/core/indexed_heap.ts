/** Small whole numbers ordered by a key each, smallest first; any of them can be changed in place. */
export class IndexedHeap {
  #items = new Int32Array(16);
  #keys = new Float64Array(16);
  /** Position + 1 of an item in `#items`, 0 = it is not there. */
  #places = new Int32Array(16);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The item with the smallest key; the heap must not be empty. */
  get first(): number {
    return this.#items[0];
  }

  /** The smallest key, `Infinity` when there is none. */
  get firstKey(): number {
    return this.#size === 0 ? Infinity : this.#keys[0];
  }

  has(item: number): boolean {
    return item < this.#places.length && this.#places[item] !== 0;
  }

  /** Enters an item, or changes its key. */
  set(item: number, key: number): void {
    if (item >= this.#places.length) this.#places = grown(this.#places, item + 1);
    let at = this.#places[item] - 1;
    if (at < 0) {
      at = this.#size++;
      if (at >= this.#items.length) {
        this.#items = grown(this.#items, this.#size);
        const keys = new Float64Array(this.#items.length);
        keys.set(this.#keys);
        this.#keys = keys;
      }
    }
    this.#settle(at, item, key);
  }

  /** Takes an item out, if it is there. */
  remove(item: number): void {
    if (!this.has(item)) return;
    const at = this.#places[item] - 1;
    this.#places[item] = 0;
    this.#size--;
    if (at < this.#size) this.#settle(at, this.#items[this.#size], this.#keys[this.#size]);
  }

  /** Finds the place of an item, starting from a position that is free. */
  #settle(at: number, item: number, key: number): void {
    while (at > 0) {
      const parent = at - 1 >> 1;
      if (this.#keys[parent] <= key) break;
      this.#put(at, this.#items[parent], this.#keys[parent]);
      at = parent;
    }
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#keys[child + 1] < this.#keys[child]) child++;
      if (this.#keys[child] >= key) break;
      this.#put(at, this.#items[child], this.#keys[child]);
      at = child;
    }
    this.#put(at, item, key);
  }

  #put(at: number, item: number, key: number): void {
    this.#items[at] = item;
    this.#keys[at] = key;
    this.#places[item] = at + 1;
  }
}

function grown(list: Int32Array, least: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(least, list.length * 2));
  larger.set(list);
  return larger;
}
