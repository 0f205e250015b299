/** Its reactions run at the next microtask checkpoint; cheaper than `queueMicrotask`. */
export const SETTLED: Promise<void> = Promise.resolve();
