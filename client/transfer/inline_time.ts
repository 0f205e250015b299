/** Milliseconds spent inline after which something has to go through the event loop. */
const BURST_MS = 2;

/**
 * What the parts of this thread share that sleep for results on it rather than in the event loop, so
 * that a chain of such sleeps starves neither timers nor each other.
 */
export class InlineTime {
  #spentMs = 0;
  /** Parts whose results come through the event loop. */
  #elsewhere = 0;

  /** Whether a part may still work on the thread before the event loop has turned. */
  get left(): boolean {
    return this.#spentMs < BURST_MS;
  }

  /** Whether nobody waits for the event loop. */
  get alone(): boolean {
    return this.#elsewhere === 0;
  }

  /** Adds what was spent on the thread. */
  spend(ms: number): void {
    this.#spentMs += ms;
  }

  /** A part waits for the event loop from now on. */
  enter(): void {
    this.#elsewhere++;
  }

  /** It does so no longer. */
  leave(): void {
    this.#elsewhere--;
  }

  /** The event loop has turned. */
  turned(): void {
    this.#spentMs = 0;
  }
}

/** The time of this thread. */
export const inlineTime: InlineTime = new InlineTime();
