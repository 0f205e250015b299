import { ErrorCode } from "../../proto/error_code.ts";

/** What a tenant may do in a second, `null` = as much as it likes. Whole numbers of at least 1. */
export interface Rates {
  /** Keys in calls. */
  readonly opsPerSecond: number | null;
  /** Bytes of the objects that it begins to write, and of those that it is told the place of. */
  readonly bytesPerSecond: number | null;
}

/** Largest rate that can be asked for. */
export const MAX_RATE = 2 ** 50;

/** Calls of a tenant that were refused, by what they were too much of. */
export interface LimitedCalls {
  ops: number;
  bytes: number;
}

interface Account extends LimitedCalls {
  opsBucket: Bucket | null;
  bytesBucket: Bucket | null;
}

/**
 * Rates of calls by tenant. A call is let in while there is a token, and takes what it needs, be it
 * more than there is; the next ones wait until that is paid. So a large batch is served as a whole, and
 * over a longer time nobody gets more than the rate. A bucket holds the tokens of one second.
 */
export class TenantLimits {
  readonly #accounts: (Account | undefined)[] = [];
  #isOn = false;

  /** Whether anybody has a limit. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Gives a tenant its rates; the bucket of a rate that is new is full. */
  set(tenant: number, { opsPerSecond, bytesPerSecond }: Rates): void {
    const account = this.#accounts[tenant] ??= {
      ...{ ops: 0, bytes: 0, opsBucket: null, bytesBucket: null },
    };
    account.opsBucket = bucketOf(opsPerSecond, account.opsBucket);
    account.bytesBucket = bucketOf(bytesPerSecond, account.bytesBucket);
    this.#isOn = this.#accounts.some((one) =>
      one !== undefined && (one.opsBucket !== null || one.bytesBucket !== null)
    );
  }

  /**
   * Lets a call about `keys` keys in, or RATE_LIMITED. `movesBytes` says whether the bytes of objects
   * are what it is about.
   */
  admit(tenant: number, keys: number, movesBytes: boolean, nowMs: number): ErrorCode {
    const account = this.#accounts[tenant];
    if (account === undefined) return ErrorCode.OK;
    if (movesBytes && account.bytesBucket?.isEmpty(nowMs)) {
      account.bytes++;
      return ErrorCode.RATE_LIMITED;
    }
    if (account.opsBucket?.isEmpty(nowMs)) {
      account.ops++;
      return ErrorCode.RATE_LIMITED;
    }
    account.opsBucket?.take(keys);
    return ErrorCode.OK;
  }

  /** Takes the bytes of an object from those of its tenant. */
  spend(tenant: number, bytes: number): void {
    this.#accounts[tenant]?.bytesBucket?.take(bytes);
  }

  /** The rates of a tenant as they were given. */
  rates(tenant: number): Rates {
    const { opsBucket = null, bytesBucket = null } = this.#accounts[tenant] ?? {};
    return {
      opsPerSecond: opsBucket?.perSecond ?? null,
      bytesPerSecond: bytesBucket?.perSecond ?? null,
    };
  }

  /** Calls that were refused since the start. */
  limited(tenant: number): LimitedCalls {
    const { ops = 0, bytes = 0 } = this.#accounts[tenant] ?? {};
    return { ops, bytes };
  }
}

function bucketOf(perSecond: number | null, before: Bucket | null): Bucket | null {
  if (perSecond === null) return null;
  return before?.perSecond === perSecond ? before : new Bucket(perSecond);
}

class Bucket {
  readonly perSecond: number;
  #tokens: number;
  #filledMs = -Infinity;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
    this.#tokens = perSecond;
  }

  isEmpty(nowMs: number): boolean {
    const gained = (nowMs - this.#filledMs) * this.perSecond / 1000;
    this.#tokens = Math.min(this.perSecond, this.#tokens + gained);
    this.#filledMs = nowMs;
    return this.#tokens < 1;
  }

  take(count: number): void {
    this.#tokens -= count;
  }
}
