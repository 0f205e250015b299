/** Outcomes that are remembered for those who asked. */
const REMEMBERED = 64;

/** Numbers for things that were asked for, under which their outcome can be looked up. */
export class Tickets<Outcome> {
  readonly #outcomes = new Map<number, Outcome>();
  #last = 0;

  issue(): number {
    return ++this.#last;
  }

  settle(ticket: number, outcome: Outcome): void {
    this.#outcomes.set(ticket, outcome);
    for (const oldest of this.#outcomes.keys()) {
      if (this.#outcomes.size <= REMEMBERED) return;
      this.#outcomes.delete(oldest);
    }
  }

  /** `null` = it is not over, or long forgotten. */
  outcome(ticket: number): Outcome | null {
    return this.#outcomes.get(ticket) ?? null;
  }
}
