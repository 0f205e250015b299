import { LAYOUT } from "./layout.ts";

const WORDS = LAYOUT["sizeof mc_completion"] / 4;
const USER_DATA = LAYOUT["mc_completion.user_data"] / 4;
const CRC32C = LAYOUT["mc_completion.crc32c"] / 4;
const RESULT = LAYOUT["mc_completion.result"] / 4;

/** Completions as the shim writes them (`struct mc_completion`); valid until it writes again. */
export class Completions {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #words: Int32Array;

  constructor(readonly capacity: number) {
    this.bytes = new Uint8Array(capacity * WORDS * 4);
    this.#words = new Int32Array(this.bytes.buffer);
  }

  /** Low half of the operation's `user_data`. */
  userLow(index: number): number {
    return this.#words[index * WORDS + USER_DATA] >>> 0;
  }

  /** High half of the operation's `user_data`. */
  userHigh(index: number): number {
    return this.#words[index * WORDS + USER_DATA + 1] >>> 0;
  }

  /** CRC-32C of the operation's bytes, if it was asked for and the result is 0. */
  crc32c(index: number): number {
    return this.#words[index * WORDS + CRC32C] >>> 0;
  }

  /** 0 or `-errno`. */
  result(index: number): number {
    return this.#words[index * WORDS + RESULT];
  }
}
