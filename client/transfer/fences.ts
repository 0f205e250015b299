interface Fence {
  readonly start: number;
  readonly end: number;
  readonly untilMs: number;
}

/**
 * Ranges of remote addresses, windows included, that are refused until their time. Addresses of our
 * nodes are below 2^52, so numbers hold them exactly.
 */
export class Fences {
  #fences: Fence[] = [];
  readonly #now: () => number;

  /** `now` tells milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(address: number, length: number, keepMs: number): void {
    const nowMs = this.#now();
    this.#fences = this.#fences.filter(({ untilMs }) => untilMs > nowMs);
    this.#fences.push({ start: address, end: address + length, untilMs: nowMs + keepMs });
  }

  /** Whether a byte of the range is refused now. */
  meet(address: number, length: number): boolean {
    if (this.#fences.length === 0) return false;
    const nowMs = this.#now();
    return this.#fences.some(({ start, end, untilMs }) =>
      start < address + length && end > address && untilMs > nowMs
    );
  }
}
