/** Milliseconds that may be spent inline before the event loop has to have a turn. */
export const INLINE_BURST_MS = 2;

/**
 * Bounds what is waited for inline, on the thread of the event loop. A chain of calls that all end
 * inline never leaves the microtask queue, so timers and sockets would stand still: once the budget is
 * spent, whoever asks goes through the event loop and renews it. Node's `setImmediate` is no such
 * turn: in Deno sockets get none while there are immediates.
 */
export class InlineBudget {
  #spentMs = 0;
  /** Parts whose results come through the event loop. */
  #elsewhere = 0;

  /** Whether nobody waits for the event loop. */
  get isAlone(): boolean {
    return this.#elsewhere === 0;
  }

  /** A part waits for the event loop from now on. */
  enter(): void {
    this.#elsewhere++;
  }

  /** It does so no longer. */
  leave(): void {
    this.#elsewhere--;
  }

  /** Whether the next wait has to go through the event loop. */
  get isSpent(): boolean {
    return this.#spentMs >= INLINE_BURST_MS;
  }

  /** Notes milliseconds that the event loop stood still for. */
  spend(ms: number): void {
    this.#spentMs += ms;
  }

  /** The event loop has had a turn: a call that does not block has come back through it. */
  renew(): void {
    this.#spentMs = 0;
  }
}

/** The budget of this thread: it has one event loop, whoever holds it up. */
export const inlineBudget = new InlineBudget();
