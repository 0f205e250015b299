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
  #run: (() => void) | null = null;
  /** Listeners besides the first one. */
  #others: (() => void)[] | null = null;

  get aborted(): boolean {
    return this.#aborted;
  }

  addEventListener(_type: "abort", run: () => void): void {
    if (this.#run === null) this.#run = run;
    else (this.#others ??= []).push(run);
  }

  removeEventListener(_type: "abort", run: () => void): void {
    if (this.#run === run) this.#run = null;
    else this.#others = this.#others?.filter((one) => one !== run) ?? null;
  }

  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    const others = this.#others;
    this.#run?.();
    others?.forEach((run) => run());
  }
}
