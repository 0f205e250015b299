/** What transfers use of an `AbortSignal`. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", run: () => void): void;
  removeEventListener(type: "abort", run: () => void): void;
}

/**
 * As an `AbortController` and its signal, for transfers so small that making those and listening to
 * them would be a part of their time.
 */
export class Stop implements StopSignal {
  #aborted = false;
  #listeners: (() => void)[] = [];

  get aborted(): boolean {
    return this.#aborted;
  }

  addEventListener(_type: "abort", run: () => void): void {
    this.#listeners.push(run);
  }

  removeEventListener(_type: "abort", run: () => void): void {
    this.#listeners = this.#listeners.filter((one) => one !== run);
  }

  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    for (const run of this.#listeners.splice(0)) run();
  }
}
