import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Uuid } from "../proto/types.ts";
import { type MasterClient, valueOf } from "./master_client.ts";
import type { Clock } from "./transfer/clock.ts";

/** How much longer than the grace period the master may take before it is told "at once". */
const LATEST_MS = 60_000;
/** For how long a request that was not answered may still reach the master. */
const LATE_REQUEST_MS = 60_000;

/** Whether nobody knows if a call has been served, now or later. */
export function isLost(error: unknown): error is StoreError {
  return error instanceof StoreError &&
    (error.code === ErrorCode.RPC_FAIL || error.code === ErrorCode.RPC_TIMEOUT);
}

export interface DepartureOptions {
  master: MasterClient;
  clock: Clock;
  clientId: Uuid;
  id: Uuid;
  /** For how long the segment is to stay readable; 0 = it goes at once. */
  graceMs: number;
  /**
   * Its mount was not answered. The master may be told of it after it was told the opposite, on
   * another connection, so it is told the opposite for as long as that can be.
   */
  mayMountLate: boolean;
}

/**
 * A segment on its way out of the pool. Once the master may have heard of that there is no way back:
 * it is asked again until it has answered for certain.
 */
export class Departure {
  /** Somebody waits for it, and takes the steps. */
  awaited = false;
  readonly #options: DepartureOptions;
  readonly #what: string;
  readonly #lateUntilMs: number;
  #graceMs: number;
  /** The master may have heard of it. */
  #bound = false;
  #agreed = false;
  #goneAtMs = 0;

  constructor(options: DepartureOptions) {
    const { clock, id, graceMs, mayMountLate } = options;
    this.#options = options;
    this.#what = `Cannot unmount segment ${id}`;
    this.#graceMs = graceMs;
    this.#lateUntilMs = mayMountLate ? clock.now() + LATE_REQUEST_MS : -Infinity;
  }

  /** How long to wait for the next step, `pollMs` if nothing else is known. */
  waitMs(pollMs: number): number {
    return Math.max(pollMs, this.#agreed ? this.#goneAtMs - this.#options.clock.now() : 0);
  }

  /** Has it go at once, whatever was asked for before. */
  hurry(): void {
    this.#graceMs = 0;
    this.#agreed = false;
  }

  /**
   * Does what is next. Returns whether the segment is out of the pool. `StoreError`: `RPC_FAIL` and
   * `RPC_TIMEOUT` when the master did not answer; another code when it refuses, and has not been
   * asked before.
   */
  async step(): Promise<boolean> {
    const { clock } = this.#options;
    if (!this.#agreed && await this.#ask()) return clock.now() >= this.#lateUntilMs;
    if (!this.#agreed || clock.now() < this.#goneAtMs) return false;
    if (await this.#isGone()) return true;
    if (clock.now() > this.#goneAtMs + LATEST_MS) this.hurry();
    return false;
  }

  /** Asks the master. Returns whether the segment is out of the pool by now. */
  async #ask(): Promise<boolean> {
    const { master, clock, clientId, id } = this.#options;
    const gracePeriodMs = this.#graceMs;
    let answer;
    try {
      answer = gracePeriodMs > 0
        ? await master.gracefulUnmountSegment({ segmentId: id, clientId, gracePeriodMs })
        : await master.unmountSegment({ segmentId: id, clientId });
    } catch (error) {
      this.#bound = true;
      throw error;
    }
    if (answer.code === ErrorCode.SEGMENT_NOT_FOUND) return true;
    if (!this.#bound) valueOf(answer, this.#what);
    this.#bound = true;
    const forgotten = answer.code === ErrorCode.INVALID_PARAMS;
    if (answer.code !== ErrorCode.OK && !forgotten) return false;
    if (gracePeriodMs === 0) return true;
    this.#agreed = true;
    this.#goneAtMs = clock.now() + (forgotten ? 0 : gracePeriodMs);
    return false;
  }

  async #isGone(): Promise<boolean> {
    const { master, id } = this.#options;
    try {
      const { code } = await master.querySegmentStatusById({ segmentId: id });
      return code === ErrorCode.SEGMENT_NOT_FOUND;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return false;
    }
  }
}
