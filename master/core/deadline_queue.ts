const PAGE_SHIFT = 12;
const PAGE_ENTRIES = 1 << PAGE_SHIFT;
const PAGE_MASK = PAGE_ENTRIES - 1;

/**
 * A heap of times, each with an item and a ticket (both 32-bit), earliest first, in pages, so that
 * growing copies nothing. There is no removal from the middle: owners leave dead entries in and tell
 * by the ticket when they come up.
 */
export class DeadlineQueue {
  readonly #times: Float64Array[] = [new Float64Array(PAGE_ENTRIES)];
  /** Item and ticket of each entry. */
  readonly #payload: Int32Array[] = [new Int32Array(2 * PAGE_ENTRIES)];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The earliest time, `Infinity` when there is none. */
  get firstTime(): number {
    return this.#size === 0 ? Infinity : this.#time(0);
  }

  get firstItem(): number {
    return this.#payload[0][0];
  }

  get firstTicket(): number {
    return this.#payload[0][1];
  }

  push(timeMs: number, item: number, ticket: number): void {
    let at = this.#size++;
    if (at >>> PAGE_SHIFT === this.#times.length) {
      this.#times.push(new Float64Array(PAGE_ENTRIES));
      this.#payload.push(new Int32Array(2 * PAGE_ENTRIES));
    }
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (this.#time(parent) <= timeMs) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#set(at, timeMs, item, ticket);
  }

  /** Calls `visit` with every entry, in no order. */
  each(visit: (timeMs: number, item: number, ticket: number) => void): void {
    for (let i = 0; i < this.#size; i++) {
      const payload = this.#payload[i >>> PAGE_SHIFT];
      const at = 2 * (i & PAGE_MASK);
      visit(this.#time(i), payload[at], payload[at + 1]);
    }
  }

  /** Removes the earliest entry; there must be one. */
  pop(): void {
    const last = --this.#size;
    const timeMs = this.#time(last);
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#time(child + 1) < this.#time(child)) child++;
      if (this.#time(child) >= timeMs) break;
      this.#move(child, at);
      at = child;
    }
    this.#move(last, at);
  }

  #time(at: number): number {
    return this.#times[at >>> PAGE_SHIFT][at & PAGE_MASK];
  }

  #set(at: number, timeMs: number, item: number, ticket: number): void {
    this.#times[at >>> PAGE_SHIFT][at & PAGE_MASK] = timeMs;
    const payload = this.#payload[at >>> PAGE_SHIFT];
    payload[2 * (at & PAGE_MASK)] = item;
    payload[2 * (at & PAGE_MASK) + 1] = ticket;
  }

  #move(from: number, to: number): void {
    const payload = this.#payload[from >>> PAGE_SHIFT];
    const at = 2 * (from & PAGE_MASK);
    this.#set(to, this.#time(from), payload[at], payload[at + 1]);
  }
}
