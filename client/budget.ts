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
export function beginCall(store: StoreContext, traffic: Traffic = NO_TRAFFIC): StoreContext {
  return new CallContext(store, traffic);
}

const NO_TRAFFIC: Traffic = {};

/** A class, as an object with a getter of its own is slow to make and to read. */
class CallContext implements StoreContext {
  readonly master: StoreContext["master"];
  readonly endpoint: StoreContext["endpoint"];
  readonly choice: StoreContext["choice"];
  readonly hedges: StoreContext["hedges"];
  readonly checks: StoreContext["checks"];
  readonly places: StoreContext["places"];
  readonly reserved: StoreContext["reserved"];
  readonly clock: StoreContext["clock"];
  readonly clientId: StoreContext["clientId"];
  readonly tenantId: StoreContext["tenantId"];
  readonly defaultConfig: StoreContext["defaultConfig"];
  readonly placing: StoreContext["placing"];
  readonly replicaPatienceMs: number;
  readonly opBudgetMs: number;
  readonly answerWithinMs: number;
  readonly beginWithinMs: number;
  readonly nextWriteId: StoreContext["nextWriteId"];
  /** Fields and no private ones: what `placed` makes inherits the getter. */
  readonly store: StoreContext;
  readonly endsAt: number;

  constructor(store: StoreContext, readonly traffic: Traffic) {
    const { clock, opBudgetMs, answerWithinMs } = store;
    const { signal } = traffic;
    const endsAt = clock.now() + opBudgetMs;
    this.master = store.master.bounded((answer, name) => {
      const leftMs = endsAt - clock.now();
      if (leftMs >= answerWithinMs && signal === undefined) return answer;
      return inTime(this, leftMs, answer, name);
    });
    this.endpoint = store.endpoint;
    this.choice = store.choice;
    this.hedges = store.hedges;
    this.checks = store.checks;
    this.places = store.places;
    this.reserved = store.reserved;
    this.clock = clock;
    this.clientId = store.clientId;
    this.tenantId = store.tenantId;
    this.defaultConfig = store.defaultConfig;
    this.placing = store.placing;
    this.replicaPatienceMs = store.replicaPatienceMs;
    this.opBudgetMs = opBudgetMs;
    this.answerWithinMs = answerWithinMs;
    this.beginWithinMs = store.beginWithinMs;
    this.nextWriteId = store.nextWriteId;
    this.store = store;
    this.endsAt = endsAt;
  }

  get transferTimeoutMs(): number {
    const leftMs = Math.floor(this.endsAt - this.clock.now());
    return Math.max(0, Math.min(this.store.transferTimeoutMs, leftMs));
  }
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
