import {
  EarlyGroupError,
  EngineError,
  type FactLog,
  FencedError,
  type LogGroup,
  LogRefusal,
} from "./fact_log.ts";
import type { Timers } from "./timers.ts";

/** Groups on their way at a time; more would only crowd out the renewals of the lease. */
const MAX_UNDER_WAY = 8;
/** Between two attempts to append a group that was refused, or got no answer. */
const RETRY_MS = 300;

export interface AppenderOptions {
  log: FactLog;
  epoch: number;
  timers: Timers;
  /** Told each group that is kept, in order. */
  onKept: (group: LogGroup) => void;
  /** Told why the engine keeps nothing at present, and `null` when it does again. */
  onRefused: (why: string | null) => void;
  /** Another epoch has begun. */
  onFenced: () => void;
  /** Told what nobody expected. */
  onFault: (error: unknown) => void;
}

/**
 * Appends the groups of one epoch, several at once and each until it is kept. Groups are handed back in
 * their order, whatever the order in which the engine has kept them.
 */
export class Appender {
  readonly #options: AppenderOptions;
  /** Groups that are not handed back yet; `true` = kept. */
  readonly #open = new Map<LogGroup, boolean>();
  readonly #queue: LogGroup[] = [];
  /** By its number: has a group that came too early try again. */
  readonly #early = new Map<number, () => void>();
  #underWay = 0;
  #refusal: string | null = null;
  #stopped = false;

  constructor(options: AppenderOptions) {
    this.#options = options;
  }

  /** Groups that are not kept, or wait for one before them. */
  get pending(): number {
    return this.#open.size;
  }

  push(group: LogGroup): void {
    this.#open.set(group, false);
    this.#queue.push(group);
    this.#next();
  }

  #next(): void {
    while (this.#underWay < MAX_UNDER_WAY && this.#queue.length > 0 && !this.#stopped) {
      this.#underWay++;
      void this.#append(this.#queue.shift()!).finally(() => {
        this.#underWay--;
        this.#next();
      });
    }
  }

  /** Begins nothing more and hands nothing back. */
  stop(): void {
    this.#stopped = true;
  }

  async #append(group: LogGroup): Promise<void> {
    const { log, epoch, timers, onFenced, onFault } = this.#options;
    while (!this.#stopped) {
      try {
        await log.append(epoch, group);
        if (!this.#stopped) this.#kept(group);
        return;
      } catch (error) {
        if (this.#stopped) return;
        if (error instanceof FencedError) {
          this.stop();
          return onFenced();
        }
        if (error instanceof LogRefusal) this.#refused(error.message);
        else if (!(error instanceof EngineError)) return onFault(error);
        if (error instanceof EarlyGroupError) {
          await this.#othersKept(group);
          continue;
        }
      }
      await new Promise<void>((resolve) => timers.after(RETRY_MS, resolve));
    }
  }

  /**
   * Waits until another group is kept, as the one before this may be then. With a time to wait instead,
   * groups that follow each other would go on missing each other, long after the one that was lost.
   */
  async #othersKept({ sequence }: LogGroup): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#options.timers.after(RETRY_MS, resolve);
      this.#early.set(sequence, () => {
        cancel();
        resolve();
      });
    });
    this.#early.delete(sequence);
  }

  #kept(group: LogGroup): void {
    this.#open.set(group, true);
    for (const sequence of [...this.#early.keys()].sort((a, b) => a - b)) {
      this.#early.get(sequence)!();
    }
    for (const [first, kept] of this.#open) {
      if (!kept) break;
      this.#open.delete(first);
      this.#options.onKept(first);
    }
    if (this.#refusal !== null && this.#open.size === 0) {
      this.#refusal = null;
      this.#options.onRefused(null);
    }
  }

  #refused(why: string): void {
    if (this.#refusal === why) return;
    this.#refusal = why;
    this.#options.onRefused(why);
  }
}
