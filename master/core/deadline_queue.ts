/**
 * A heap of times, each with an item and a ticket (both 32-bit), earliest first. There is no removal
 * from the middle: owners leave dead entries in and tell by the ticket when they come up.
 */
export class DeadlineQueue {
  #times = new Float64Array(16);
  #payload = new Int32Array(32);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The earliest time, `Infinity` when there is none. */
  get firstTime(): number {
    return this.#size === 0 ? Infinity : this.#times[0];
  }

  get firstItem(): number {
    return this.#payload[0];
  }

  get firstTicket(): number {
    return this.#payload[1];
  }

  push(timeMs: number, item: number, ticket: number): void {
    if (this.#size === this.#times.length) this.#grow();
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (this.#times[parent] <= timeMs) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#set(at, timeMs, item, ticket);
  }

  /** Calls `visit` with every entry, in no order. */
  each(visit: (timeMs: number, item: number, ticket: number) => void): void {
    for (let i = 0; i < this.#size; i++) {
      visit(this.#times[i], this.#payload[2 * i], this.#payload[2 * i + 1]);
    }
  }

  /** Removes the earliest entry; there must be one. */
  pop(): void {
    const last = --this.#size;
    const timeMs = this.#times[last];
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#times[child + 1] < this.#times[child]) child++;
      if (this.#times[child] >= timeMs) break;
      this.#move(child, at);
      at = child;
    }
    this.#set(at, timeMs, this.#payload[2 * last], this.#payload[2 * last + 1]);
  }

  #set(at: number, timeMs: number, item: number, ticket: number): void {
    this.#times[at] = timeMs;
    this.#payload[2 * at] = item;
    this.#payload[2 * at + 1] = ticket;
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#times[from], this.#payload[2 * from], this.#payload[2 * from + 1]);
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    times.set(this.#times);
    this.#times = times;
    const payload = new Int32Array(this.#payload.length * 2);
    payload.set(this.#payload);
    this.#payload = payload;
  }
}
