import type { Elector } from "./elector.ts";
import { EngineError, LogRefusal } from "./fact_log.ts";
import type { Timers } from "./timers.ts";

export interface LeaseKeeperOptions {
  elector: Elector;
  timers: Timers;
  epoch: number;
  leaseMs: number;
  /** Until when the lease is good at first. */
  validUntilMs: number;
  onValid: (untilMs: number) => void;
  /** The epoch is over, or may be. */
  onEnd: (why: string) => void;
  /** Told what is no failure of the engine. */
  onFault: (error: unknown) => void;
}

/** Renews the lease of an epoch four times in its length, and as often as it takes when that fails. */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #validUntilMs: number;
  #cancel = () => {};
  #stopped = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#validUntilMs = options.validUntilMs;
    this.#after(options.leaseMs / 4);
  }

  get validUntilMs(): number {
    return this.#validUntilMs;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #after(ms: number): void {
    this.#cancel = this.#options.timers.after(ms, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { elector, timers, epoch, leaseMs, onValid, onEnd, onFault } = this.#options;
    try {
      const until = await elector.renew(epoch);
      if (this.#stopped) return;
      if (until === null) return onEnd("its lease has ended");
      this.#validUntilMs = until;
      onValid(until);
      this.#after(leaseMs / 4);
    } catch (error) {
      if (this.#stopped) return;
      if (!(error instanceof EngineError || error instanceof LogRefusal)) return onFault(error);
      if (timers.now() < this.#validUntilMs) return this.#after(leaseMs / 20);
      onEnd(`its lease could not be renewed: ${error.message}`);
    }
  }
}
