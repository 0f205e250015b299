import type { Rng } from "./api.ts";

/**
 * A small, fast generator with 128 bits of state (sfc32). The same seed gives the same sequence on
 * every machine. Not for secrets that outlive the process.
 */
export class SeededRng implements Rng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed` is up to three 32-bit words; missing ones are derived from the first. */
  constructor(...seed: number[]) {
    this.#a = (seed[0] ?? 0) | 0;
    this.#b = (seed[1] ?? this.#a ^ 0x9e3779b9) | 0;
    this.#c = (seed[2] ?? this.#a ^ 0x85ebca6b) | 0;
    for (let i = 0; i < 15; i++) this.u32();
  }

  u32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21 | this.#c >>> 11) + sum) | 0;
    return sum >>> 0;
  }
}

/** A uniform integer in `[0, bound)`; `bound` is 1 to 2^32. */
export function randomBelow(rng: Rng, bound: number): number {
  return Math.floor(rng.u32() / 0x1_0000_0000 * bound);
}
