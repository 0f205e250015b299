import type { PeerId } from "./engine.ts";

/** What a wait may grow to, in terms of the first one. */
const GROWTH = 8;
/** Waits of full length that may run out in a row. */
const MISSES = 2;
/** Transfers that are not waited for after that. */
const PAUSE = 64;

/** Of one size. */
interface Limit {
  us: number;
  misses: number;
  pause: number;
}

/**
 * How long to sleep inline for transfers with one peer, by their size. Waits that run out double, up
 * to eight times the first; where that is too short as well, the next transfers are left to the poll
 * from the start, and then it is tried again. A wait ends with the transfer, so only those that run
 * out cost anything.
 */
export class InlineWait {
  readonly #firstUs: number;
  /** By the binary logarithm of the bytes. */
  readonly #limits: Limit[] = [];

  /** `firstUs` = 0: never waits. */
  constructor(firstUs: number) {
    this.#firstUs = firstUs;
  }

  /** Microseconds to sleep at most for that many bytes. */
  limitUs(bytes: number): number {
    const limit = this.#limitOf(bytes);
    if (limit.pause === 0) return limit.us;
    limit.pause--;
    return 0;
  }

  /** Notes whether transfers of that many bytes were over when the wait was. */
  waited(bytes: number, over: boolean): void {
    const limit = this.#limitOf(bytes);
    if (over) {
      limit.misses = 0;
    } else if (limit.us < this.#firstUs * GROWTH) {
      limit.us *= 2;
    } else if (++limit.misses === MISSES) {
      limit.us = this.#firstUs;
      limit.misses = 0;
      limit.pause = PAUSE;
    }
  }

  #limitOf(bytes: number): Limit {
    const size = bytes < 0x8000_0000 ? 31 - Math.clz32(bytes) : 31;
    return this.#limits[size] ??= { us: this.#firstUs, misses: 0, pause: 0 };
  }
}

/** An {@linkcode InlineWait} for each peer. */
export class InlineWaits {
  readonly #firstUs: number;
  readonly #waits = new Map<PeerId, InlineWait>();

  /** As {@linkcode InlineWait}. */
  constructor(firstUs: number) {
    this.#firstUs = firstUs;
  }

  of(peer: PeerId): InlineWait {
    let wait = this.#waits.get(peer);
    if (wait === undefined) this.#waits.set(peer, wait = new InlineWait(this.#firstUs));
    return wait;
  }

  forget(peer: PeerId): void {
    this.#waits.delete(peer);
  }
}
