import { describe } from "./key.ts";
import { PRIORITIES, type Traffic } from "./transfer/door.ts";

/** Of a call without options. */
const NO_TRAFFIC: Traffic = {};
const NO_OPTIONS = { traffic: NO_TRAFFIC, rest: undefined };

/**
 * Takes what a call's options say about its transfers out of them: `TypeError` or `RangeError` for a
 * bad priority or signal.
 */
export function splitTraffic<T extends Traffic>(
  options: T | undefined,
): { traffic: Traffic; rest: Omit<T, keyof Traffic> | undefined } {
  if (options === undefined) return NO_OPTIONS;
  const { priority, signal, ...rest } = options;
  if (priority !== undefined && !PRIORITIES.includes(priority)) {
    throw new RangeError(
      `priority=${JSON.stringify(priority)} is refused; allowed: ${PRIORITIES.join(", ")}`,
    );
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`signal is ${describe(signal)}; allowed: an AbortSignal`);
  }
  return { traffic: { ...(priority && { priority }), ...(signal && { signal }) }, rest };
}

/** As {@linkcode splitTraffic}, for calls that have no other options: those are a `TypeError`. */
export function onlyTraffic(options: Traffic | undefined): Traffic {
  if (options === undefined) return NO_TRAFFIC;
  const { traffic, rest } = splitTraffic(options);
  const [unknown] = Object.keys(rest ?? {});
  if (unknown !== undefined) throw new TypeError(`There is no option ${unknown} of this call`);
  return traffic;
}

/** Settles as `call` does; what it rejects with is the reason of `signal` once that is aborted. */
export async function orAborted<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  try {
    return await call();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
