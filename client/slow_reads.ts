import type { Clock } from "./transfer/clock.ts";

/** How late a slow read may be noticed. */
const TICK_MS = 5;

interface Waiting {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** Wakes those who wait for reads that are slow. One timer serves all: most reads end before it. */
export class SlowReads {
  readonly #waiting = new Set<Waiting>();
  /** Of the timer; `null` = there is none. */
  #cancel: (() => void) | null = null;

  /** Resolves when `work` has settled, or when it is noticed that it takes longer than `ms`. */
  wait(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const waiting = { dueMs: clock.now() + ms, wake: resolve };
      const settled = () => {
        this.#waiting.delete(waiting);
        resolve();
      };
      this.#waiting.add(waiting);
      work.then(settled, settled);
      if (this.#cancel === null) this.#tickLater(clock);
    });
  }

  /** Gives the timer up; whoever waits is woken by the end of the read. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #tickLater(clock: Clock): void {
    this.#cancel = clock.after(TICK_MS, () => {
      this.#cancel = null;
      const now = clock.now();
      for (const waiting of this.#waiting) {
        if (waiting.dueMs > now) continue;
        this.#waiting.delete(waiting);
        waiting.wake();
      }
      if (this.#waiting.size > 0) this.#tickLater(clock);
    });
  }
}
