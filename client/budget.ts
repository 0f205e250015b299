import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { StoreContext } from "./context.ts";
import { type Clock, pause } from "./transfer/clock.ts";

/**
 * The store for one call of a client, which has `opBudgetMs` in all from now on. Calls to the master
 * that are not answered by then reject with `DEADLINE_EXCEEDED`, though they may yet be done; transfers
 * get what is left, and {@linkcode isSpent} tells when that is nothing.
 */
export function beginCall(store: StoreContext): StoreContext {
  const { clock, opBudgetMs } = store;
  const endsAt = clock.now() + opBudgetMs;
  return {
    ...store,
    master: store.master.bounded((answer, name) => {
      const leftMs = endsAt - clock.now();
      return leftMs >= store.answerWithinMs ? answer : inTime(clock, leftMs, answer, () => {
        const message = `${name} was not answered within the ${opBudgetMs} ms that the call had`;
        return new StoreError(ErrorCode.DEADLINE_EXCEEDED, message);
      });
    }),
    get transferTimeoutMs() {
      return Math.max(0, Math.min(store.transferTimeoutMs, Math.floor(endsAt - clock.now())));
    },
  };
}

/** Whether the call of {@linkcode beginCall} has no time left. */
export function isSpent(store: StoreContext): boolean {
  return store.transferTimeoutMs < 1;
}

/** Settles as `work` does, or rejects with `late()` after `ms`. */
async function inTime<T>(
  clock: Clock,
  ms: number,
  work: Promise<T>,
  late: () => Error,
): Promise<T> {
  const settled = new AbortController();
  const done = work.finally(() => settled.abort());
  done.catch(() => {});
  const expired = Symbol();
  const first = await Promise.race([
    done,
    pause(clock, ms, settled.signal).then(() => expired),
  ]);
  if (first !== expired || settled.signal.aborted) return await done;
  throw late();
}
