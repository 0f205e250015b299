import type { ExtentPool } from "./allocator.ts";
import { DeadlineQueue } from "./deadline_queue.ts";

/**
 * Extents that were given back while somebody may still use them, by the time at which nobody can
 * any more: readers until their leases end, writers that vanished until their time-out.
 */
export class Quarantine {
  readonly #queue = new DeadlineQueue();
  #ticket = 0;
  #allUntilMs = -Infinity;

  /** Entries, dead ones included. */
  get size(): number {
    return this.#queue.size;
  }

  /** When the next extent can be freed, `Infinity` when there is none. */
  get firstTime(): number {
    return Math.max(this.#queue.firstTime, this.#allUntilMs);
  }

  /** Frees nothing before `untilMs`, whatever the extents' own times: those were of another clock. */
  holdAll(untilMs: number): void {
    this.#allUntilMs = untilMs;
  }

  /** Enters an extent and returns the ticket to mark it with. */
  add(extent: number, untilMs: number): number {
    this.#ticket = (this.#ticket + 1) | 0;
    this.#queue.push(untilMs, extent, this.#ticket);
    return this.#ticket;
  }

  /** Calls `visit` with every extent that is held, and until when. */
  each(extents: ExtentPool, visit: (extent: number, untilMs: number) => void): void {
    this.#queue.each((untilMs, extent, ticket) => {
      if (extents.isHeld(extent) && extents.ticket(extent) === ticket) visit(extent, untilMs);
    });
  }

  /** The next extent whose time has come and that has been held since it was entered, or 0. */
  next(nowMs: number, extents: ExtentPool): number {
    while (this.firstTime <= nowMs) {
      const extent = this.#queue.firstItem;
      const ticket = this.#queue.firstTicket;
      this.#queue.pop();
      if (extents.isHeld(extent) && extents.ticket(extent) === ticket) return extent;
    }
    return 0;
  }
}
