const ROWS = 4;
const COLUMNS = 1 << 14;
/** After this many increments all counts are halved, so that what was popular once does not stay so. */
const AGE_AFTER = COLUMNS * 8;

/** Approximate counts of how often hashes were seen lately (count-min), never too low before aging. */
export class FrequencySketch {
  readonly #counts = new Uint8Array(ROWS * COLUMNS);
  #increments = 0;

  /** Counts one more occurrence of a hash and returns the estimate, at most 255. */
  increment(hash: number): number {
    if (++this.#increments >= AGE_AFTER) this.#age();
    let estimate = 255;
    for (let row = 0; row < ROWS; row++) {
      const column = Math.imul(hash ^ row * 0x3c6ef372, 0x9e3779b1) >>> 18;
      const at = row * COLUMNS + column;
      if (this.#counts[at] < 255) this.#counts[at]++;
      estimate = Math.min(estimate, this.#counts[at]);
    }
    return estimate;
  }

  #age(): void {
    this.#increments = 0;
    for (let i = 0; i < this.#counts.length; i++) this.#counts[i] >>>= 1;
  }
}
