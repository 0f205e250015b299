import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { StoreContext } from "./context.ts";
import { pause } from "./transfer/clock.ts";
import type { Traffic } from "./transfer/door.ts";

/**
 * The store for one call of a client, which has `opBudgetMs` in all from now on, or until its signal is
 * aborted. Calls to the master that are not answered by then reject with the code of
 * {@linkcode whyOver}, though they may yet be done; transfers get what is left.
 */
export function beginCall(store: StoreContext, traffic: Traffic = {}): StoreContext {
  const { clock, opBudgetMs, answerWithinMs } = store;
  const { signal } = traffic;
  const endsAt = clock.now() + opBudgetMs;
  const call: StoreContext = {
    ...store,
    traffic,
    master: store.master.bounded((answer, name) => {
      const leftMs = endsAt - clock.now();
      if (leftMs >= answerWithinMs && signal === undefined) return answer;
      return inTime(call, leftMs, answer, name);
    }),
    get transferTimeoutMs() {
      return Math.max(0, Math.min(store.transferTimeoutMs, Math.floor(endsAt - clock.now())));
    },
  };
  return call;
}

/** Why a call may not go on: `DEADLINE_EXCEEDED` or `CANCELLED`; `null` while it may. */
export function whyOver(
  { traffic, transferTimeoutMs }: StoreContext,
): ErrorCode | null {
  if (traffic?.signal?.aborted) return ErrorCode.CANCELLED;
  return transferTimeoutMs < 1 ? ErrorCode.DEADLINE_EXCEEDED : null;
}

/** The code of a call whose transfer failed. */
export function failureOf(store: StoreContext): ErrorCode {
  return whyOver(store) ?? ErrorCode.TRANSFER_FAIL;
}

/** Settles as `answer` does, or rejects when the call is over before. */
async function inTime<T>(
  call: StoreContext,
  ms: number,
  answer: Promise<T>,
  name: string,
): Promise<T> {
  const settled = new AbortController();
  const done = answer.finally(() => settled.abort());
  done.catch(() => {});
  const { signal } = call.traffic ?? {};
  const ends = signal === undefined ? settled.signal : AbortSignal.any([settled.signal, signal]);
  const over = Symbol();
  const first = await Promise.race([done, pause(call.clock, ms, ends).then(() => over)]);
  if (first !== over || settled.signal.aborted) return await done;
  const code = signal?.aborted ? ErrorCode.CANCELLED : ErrorCode.DEADLINE_EXCEEDED;
  const why = signal?.aborted
    ? "before the call was cancelled"
    : `within the ${call.opBudgetMs} ms that the call had`;
  throw new StoreError(code, `${name} was not answered ${why}`);
}
