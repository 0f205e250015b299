import type { StopSignal } from "./stop.ts";

/**
 * Time and timers, passed in so that a test can hold them still.
 *
 * @example
 * ```ts ignore
 * const client = await StoreClient.connect({ clock: new FakeClock() });
 * ```
 */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wallTime(): number;
  /** Calls `run` once after `ms`, soon when that is not above 0; the returned function cancels that. */
  after(ms: number, run: () => void): () => void;
}

/** The clock and the timers of this process. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.max(0, ms));
    return () => clearTimeout(timer);
  },
};

/** Has `resolve` called once, after `ms` or when `signal` is aborted; returns what calls it sooner. */
function due(clock: Clock, ms: number, signal: StopSignal | undefined, resolve: () => void) {
  const finish = () => {
    cancel();
    signal?.removeEventListener("abort", finish);
    resolve();
  };
  const cancel = clock.after(ms, finish);
  signal?.addEventListener("abort", finish);
  return finish;
}

/** Resolves after `ms`, or at once when `signal` is aborted. */
export function pause(clock: Clock, ms: number, signal?: StopSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => void due(clock, ms, signal, resolve));
}

/** Resolves when `work` has settled, after `ms` at the latest, or when `signal` is aborted. */
export function within(
  clock: Clock,
  ms: number,
  work: Promise<unknown>,
  signal?: StopSignal,
): Promise<void> {
  if (signal?.aborted) {
    work.catch(() => {}); // Nobody else looks at it.
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const finish = due(clock, ms, signal, resolve);
    work.then(finish, finish);
  });
}
