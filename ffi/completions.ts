import { LAYOUT } from "./layout.ts";

const WORDS = LAYOUT["sizeof mc_completion"] / 4;
const USER_DATA = LAYOUT["mc_completion.user_data"] / 4;
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

  /** 0 or `-errno`. */
  result(index: number): number {
    return this.#words[index * WORDS + RESULT];
  }
}
