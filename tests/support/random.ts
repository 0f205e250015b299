/** A seeded source of random numbers; the same seed gives the same run on every machine. */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform unsigned 32-bit integer. */
  u32(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  }

  /** Uniform integer from 0 to `limit - 1`. */
  below(limit: number): number {
    return Math.floor(this.u32() / 0x1_0000_0000 * limit);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  /** True in one of `count` draws. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }
}

/** The seed of this run: `SEED` of the environment, or drawn from the clock. Print it on failure. */
export function chosenSeed(): number {
  const given = Deno.env.get("SEED");
  return given === undefined ? Date.now() >>> 0 : Number(given) >>> 0;
}
