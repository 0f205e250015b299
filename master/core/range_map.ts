/** `[start, end)`, and the time until which nobody new may be given it. */
export interface TimedRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly untilMs: number;
}

/** Ranges with a time each, in order and without overlaps: where two meet, the later time counts. */
export class RangeMap {
  #ranges: TimedRange[] = [];

  get size(): number {
    return this.#ranges.length;
  }

  /** The latest of all times, 0 when there is none. */
  get latestMs(): number {
    return this.#ranges.reduce((latest, { untilMs }) => Math.max(latest, untilMs), 0);
  }

  /** All ranges in order. Do not change the array. */
  get all(): readonly TimedRange[] {
    return this.#ranges;
  }

  add(start: bigint, end: bigint, untilMs: number): void {
    if (start >= end) return;
    const first = this.#seek(start);
    const merged: TimedRange[] = [];
    let at = start;
    let next = first;
    for (; next < this.#ranges.length && this.#ranges[next].start <= end; next++) {
      const known = this.#ranges[next];
      append(merged, known.start, least(known.end, start), known.untilMs);
      append(merged, at, least(known.start, end), untilMs);
      const from = most(known.start, start);
      append(merged, from, least(known.end, end), Math.max(known.untilMs, untilMs));
      append(merged, most(known.start, end), known.end, known.untilMs);
      at = most(at, known.end);
    }
    append(merged, at, end, untilMs);
    this.#ranges.splice(first, next - first, ...merged);
  }

  /** What lies in `[start, end)`, cut to it, in order. */
  within(start: bigint, end: bigint): TimedRange[] {
    const found: TimedRange[] = [];
    for (let i = this.#seek(start); i < this.#ranges.length && this.#ranges[i].start < end; i++) {
      const { start: from, end: to, untilMs } = this.#ranges[i];
      append(found, most(from, start), least(to, end), untilMs);
    }
    return found;
  }

  /** Makes one range of all, from the first byte to the last, with the latest time. */
  coalesce(): void {
    if (this.#ranges.length < 2) return;
    const { start } = this.#ranges[0];
    const { end } = this.#ranges[this.#ranges.length - 1];
    this.#ranges = [{ start, end, untilMs: this.latestMs }];
  }

  /** Forgets ranges whose time has come. */
  dropDue(nowMs: number): void {
    this.#ranges = this.#ranges.filter(({ untilMs }) => untilMs > nowMs);
  }

  /** The first range that ends at `start` or behind it. */
  #seek(start: bigint): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ranges[middle].end < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Appends a range unless it is empty, as part of the one before it if that goes on in it. */
function append(list: TimedRange[], start: bigint, end: bigint, untilMs: number): void {
  if (start >= end) return;
  const last = list.at(-1);
  if (last !== undefined && last.end === start && last.untilMs === untilMs) {
    list[list.length - 1] = { start: last.start, end, untilMs };
  } else {
    list.push({ start, end, untilMs });
  }
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function most(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
