import { RangeMap, type TimedRange } from "./range_map.ts";

/** Ranges that are remembered, of all endpoints. */
const MAX_RANGES = 65_536;
/** From so many on, a segment is remembered as one range. */
const CROWDED = MAX_RANGES / 2;
/** Ranges whose time has come are looked for when there are at least so many. */
const FEW = 1024;

/**
 * Memory that left the pool while somebody could still read or write it, by endpoint and address:
 * when it is lent again, nobody is given it before its time.
 *
 * What does not fit is remembered for everybody together: until the latest of those times all memory
 * that is mounted waits.
 */
export class PromisedMemory {
  readonly #byEndpoint = new Map<string, RangeMap>();
  #size = 0;
  #lookAt = FEW;
  #everywhereUntilMs = 0;

  /** Ranges, those whose time has come included. */
  get size(): number {
    return this.#size;
  }

  /** Whether there are so many ranges that further ones should be few. */
  get crowded(): boolean {
    return this.#size >= CROWDED;
  }

  /** Until when all memory that is mounted waits, 0 = does not. */
  get everywhereUntilMs(): number {
    return this.#everywhereUntilMs;
  }

  /** Remembers `[start, end)` of an endpoint; an empty range stands for all memory there is. */
  add(endpoint: string, start: bigint, end: bigint, untilMs: number, nowMs: number): void {
    if (this.#size >= this.#lookAt) {
      this.#dropDue(nowMs);
      this.#lookAt = Math.max(FEW, Math.min(2 * this.#size, MAX_RANGES));
    }
    if (start === end || this.#size >= MAX_RANGES) {
      this.#everywhereUntilMs = Math.max(this.#everywhereUntilMs, untilMs);
      return;
    }
    let ranges = this.#byEndpoint.get(endpoint);
    if (ranges === undefined) this.#byEndpoint.set(endpoint, ranges = new RangeMap());
    this.#size -= ranges.size;
    ranges.add(start, end, untilMs);
    this.#size += ranges.size;
  }

  /** What is remembered of `[start, end)`, in order. Times may have come. */
  within(endpoint: string, start: bigint, end: bigint): readonly TimedRange[] {
    const known = this.#byEndpoint.get(endpoint)?.within(start, end) ?? [];
    if (this.#everywhereUntilMs === 0) return known;
    const all = new RangeMap();
    all.add(start, end, this.#everywhereUntilMs);
    for (const { start, end, untilMs } of known) all.add(start, end, untilMs);
    return all.all;
  }

  /** Every range with its endpoint. */
  *each(): Iterable<[string, TimedRange]> {
    for (const [endpoint, ranges] of this.#byEndpoint) {
      for (const range of ranges.all) yield [endpoint, range];
    }
  }

  #dropDue(nowMs: number): void {
    if (this.#everywhereUntilMs <= nowMs) this.#everywhereUntilMs = 0;
    for (const [endpoint, ranges] of this.#byEndpoint) {
      this.#size -= ranges.size;
      ranges.dropDue(nowMs);
      this.#size += ranges.size;
      if (ranges.size === 0) this.#byEndpoint.delete(endpoint);
    }
  }
}
