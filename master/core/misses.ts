import { causeOf, type LifeLog, MISS_CAUSES, type MissCause } from "./life_log.ts";
import type { Lookups } from "./lookups.ts";

/** Misses that wait to be explained. More between two ticks are counted, but not explained. */
const CAPACITY = 8192;
const WORDS = 4;
const INDEX_OF = new Map(MISS_CAUSES.map((cause, index) => [cause, index]));

/**
 * Keys that were looked up in vain, by hash, until the next tick finds out why. So a miss costs a
 * write to a short list, and not a search in a large one.
 */
export class Misses {
  readonly #log: LifeLog;
  readonly #lookups: Lookups;
  readonly #waiting: Int32Array;
  #count = 0;

  constructor(log: LifeLog, lookups: Lookups) {
    this.#log = log;
    this.#lookups = lookups;
    this.#waiting = new Int32Array(log.capacity === 0 ? 0 : CAPACITY * WORDS);
  }

  /** Notes a key that is not in the table; its tenant is the one of `Lookups.begin`. */
  note(hash: number, keyLength: number): void {
    const at = this.#count * WORDS;
    if (at >= this.#waiting.length) return;
    this.#count++;
    this.#waiting[at] = hash;
    this.#waiting[at + 1] = keyLength;
    this.#waiting[at + 2] = this.#log.next;
    this.#waiting[at + 3] = this.#lookups.row;
  }

  /** Counts a miss whose cause is known. */
  explained(cause: MissCause): void {
    if (this.#log.capacity > 0) this.#lookups.cause(this.#lookups.row, INDEX_OF.get(cause)!);
  }

  /** Finds the causes of the misses that wait. */
  explain(): void {
    const waiting = this.#waiting;
    for (let at = 0; at < this.#count * WORDS; at += WORDS) {
      const event = this.#log.lastEvent(waiting[at], waiting[at + 1], waiting[at + 2]);
      this.#lookups.cause(waiting[at + 3], INDEX_OF.get(causeOf(event))!);
    }
    this.#count = 0;
  }
}
