const MAX_REMEMBERED = 4096;

/**
 * What failed and is left alone for a while: the first time for `firstMs`, twice as long with each
 * failure that follows, up to `maxMs`. Who works again, or has not failed for as long as it was last
 * left alone, begins anew.
 */
export class CoolDowns {
  readonly #now: () => number;
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #failed = new Map<string, { untilMs: number; coolDownMs: number }>();

  /** `now` is in milliseconds and never goes back. */
  constructor(now: () => number, firstMs: number, maxMs: number) {
    this.#now = now;
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
  }

  /** Notes a failure; one during a cool-down does not prolong it. */
  failed(name: string): void {
    if (this.#failed.size >= MAX_REMEMBERED) this.#failed.clear();
    const before = this.#failed.get(name);
    const now = this.#now();
    if (before !== undefined && now < before.untilMs) return;
    const again = before !== undefined && now < before.untilMs + before.coolDownMs;
    const coolDownMs = again ? Math.min(before.coolDownMs * 2, this.#maxMs) : this.#firstMs;
    this.#failed.set(name, { untilMs: now + coolDownMs, coolDownMs });
  }

  worked(name: string): void {
    if (this.#failed.size > 0) this.#failed.delete(name);
  }

  /** Milliseconds that it is left alone yet; 0 = it may be used. */
  restMs(name: string): number {
    const failed = this.#failed.size === 0 ? undefined : this.#failed.get(name);
    return failed === undefined ? 0 : Math.max(0, failed.untilMs - this.#now());
  }
}
