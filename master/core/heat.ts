/** How often keys are read, as rates that decay, in memory that does not grow with the keys. */
const COLUMN_BITS = 14;
const COLUMNS = 1 << COLUMN_BITS;
/** One odd multiplier for each row. */
const MULTIPLIERS = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f] as const;
/** Windows after which all numbers are brought back to the scale of now. */
const WINDOWS_PER_SCALE = 20;

/**
 * Reads per second of hashes, and of segments. A read counts as one, and for less the longer ago it
 * was: 1/e of it is left after one window. Hashes share 256 KB (count-min with conservative update),
 * so a rate can be too high when some hundred thousand keys are read in a window, never too low.
 */
export class HeatMeter {
  readonly #counts = new Float32Array(MULTIPLIERS.length * COLUMNS);
  #segments = new Float64Array(64);
  #scaledMs: number;
  #weightMs: number;
  #weight = 1;

  constructor(readonly windowMs: number, nowMs: number) {
    this.#scaledMs = nowMs;
    this.#weightMs = nowMs;
  }

  /** Counts a read of a hash; its rate with it, in reads per second. */
  note(hash: number, nowMs: number): number {
    const weight = this.#weigh(nowMs);
    const count = this.#least(hash) + weight;
    for (let row = 0; row < MULTIPLIERS.length; row++) {
      const at = cellOf(row, hash);
      if (this.#counts[at] < count) this.#counts[at] = count;
    }
    return count / weight * 1000 / this.windowMs;
  }

  /** Reads of a hash per second. */
  rate(hash: number, nowMs: number): number {
    return this.#least(hash) / this.#weigh(nowMs) * 1000 / this.windowMs;
  }

  /** Counts `reads` of a segment, by its index; less than 0 takes them away. */
  noteSegment(segment: number, reads: number, nowMs: number): void {
    if (segment >= this.#segments.length) {
      const grown = new Float64Array(2 * segment);
      grown.set(this.#segments);
      this.#segments = grown;
    }
    this.#segments[segment] += reads * this.#weigh(nowMs);
  }

  /** Reads of a segment per second, not below 0. */
  segmentRate(segment: number, nowMs: number): number {
    const count = this.#segments[segment] ?? 0;
    return Math.max(0, count / this.#weigh(nowMs) * 1000 / this.windowMs);
  }

  #least(hash: number): number {
    let least = Infinity;
    for (let row = 0; row < MULTIPLIERS.length; row++) {
      least = Math.min(least, this.#counts[cellOf(row, hash)]);
    }
    return least;
  }

  /** What a read counts now, so that older ones need not be touched for it. */
  #weigh(nowMs: number): number {
    if (nowMs === this.#weightMs) return this.#weight;
    const windows = (nowMs - this.#scaledMs) / this.windowMs;
    this.#weightMs = nowMs;
    this.#weight = Math.exp(windows);
    if (windows > WINDOWS_PER_SCALE) this.#rescale(Math.exp(-windows), nowMs);
    return this.#weight;
  }

  #rescale(factor: number, nowMs: number): void {
    for (let i = 0; i < this.#counts.length; i++) this.#counts[i] *= factor;
    for (let i = 0; i < this.#segments.length; i++) this.#segments[i] *= factor;
    this.#scaledMs = nowMs;
    this.#weight = 1;
  }
}

function cellOf(row: number, hash: number): number {
  return row * COLUMNS + (Math.imul(hash, MULTIPLIERS[row]) >>> 32 - COLUMN_BITS);
}
