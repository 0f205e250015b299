/** `[start, end)` in units, from which writers are kept out in all windows up to one. */
export interface FencedRange {
  readonly start: number;
  readonly end: number;
  readonly window: number;
  /** From then on nobody has an address of it from before. */
  readonly untilMs: number;
}

/** Ranges of one segment that writers were kept out of. There are few, and for minutes only. */
export class FencedRanges {
  #ranges: FencedRange[] = [];

  get all(): readonly FencedRange[] {
    return this.#ranges;
  }

  add(range: FencedRange): void {
    this.#ranges.push(range);
  }

  /** The first window of `[start, end)` from which nobody is kept out. */
  windowFor(start: number, end: number): number {
    let window = 0;
    for (const range of this.#ranges) {
      if (range.start < end && range.end > start) window = Math.max(window, range.window + 1);
    }
    return window;
  }

  /** Forgets ranges whose time has come; returns whether any is left. */
  dropDue(nowMs: number): boolean {
    if (this.#ranges.some(({ untilMs }) => untilMs <= nowMs)) {
      this.#ranges = this.#ranges.filter(({ untilMs }) => untilMs > nowMs);
    }
    return this.#ranges.length > 0;
  }
}
