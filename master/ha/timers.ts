/** Time and timers, so that tests can hold them. */
export interface Timers {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Calls `fire` in `ms` milliseconds; the returned function prevents that. */
  after(ms: number, fire: () => void): () => void;
}

/** Those of this thread. */
export const threadTimers: Timers = {
  now: () => performance.now(),
  after(ms, fire) {
    const timer = setTimeout(fire, ms);
    return () => clearTimeout(timer);
  },
};
