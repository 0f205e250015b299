import type { ServedFunction } from "./call.ts";
import type { SizeWidth } from "../../proto/struct_pack/writer.ts";

/** A request that waits for space, or for a write to end, with the part of its reply that is already written. */
export interface WaitingRequest {
  readonly connection: number;
  readonly seq: number;
  readonly served: ServedFunction;
  readonly body: Uint8Array;
  readonly writeId: number;
  /** Until when it waits, in milliseconds. */
  readonly untilMs: number;
  /** Body of the reply so far, and the width of the sizes in it. */
  reply: Uint8Array;
  width: SizeWidth;
  resumeAt: number;
  items: number;
  failedItems: number;
}

export interface WaitingLimits {
  /** Requests that may wait at the same time. */
  requests: number;
  /** Bytes of a request that may wait, and of all of them together. */
  bodyBytes: number;
  totalBytes: number;
}

/** What one round may cost, in bytes of requests to be read again, with a fixed part for each. */
const ROUND_COST = 32 * 1024;
const FIXED_COST = 256;

/**
 * The requests that wait for space, in order of arrival. All of them wait for the same time, so the
 * first is also the first whose time is over.
 */
export class WaitingLine {
  readonly #limits: WaitingLimits;
  readonly #line = new Set<WaitingRequest>();
  #bytes = 0;
  /** Where a round that was cut short goes on; new requests join behind it. */
  #rest: Iterator<WaitingRequest> | null = null;

  constructor(limits: WaitingLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#line.size;
  }

  /** Whether a request with a body of so many bytes may wait. */
  admits(bytes: number): boolean {
    const { requests, bodyBytes, totalBytes } = this.#limits;
    return this.#line.size < requests && bytes <= bodyBytes && this.#bytes + bytes <= totalBytes;
  }

  add(request: WaitingRequest): void {
    this.#line.add(request);
    this.#bytes += request.body.length;
  }

  /**
   * Hands every request whose time is over to `attempt`, then as many others as one round may cost,
   * each at most once. A request leaves the line when `attempt` answers true. Returns whether one of
   * the others did.
   */
  round(nowMs: number, attempt: (request: WaitingRequest) => boolean): boolean {
    for (const request of this.#line) {
      if (request.untilMs > nowMs) break;
      if (attempt(request)) this.#leave(request);
    }
    let progress = false;
    let budget = ROUND_COST;
    let requests = this.#rest ?? this.#line.values();
    for (let left = this.#line.size; left > 0; left--) {
      if (budget <= 0) {
        this.#rest = requests;
        return progress;
      }
      let step = requests.next();
      if (step.done) {
        requests = this.#line.values();
        step = requests.next();
      }
      const request = step.value as WaitingRequest;
      budget -= FIXED_COST + request.body.length;
      if (!attempt(request)) continue;
      this.#leave(request);
      progress = true;
    }
    this.#rest = null;
    return progress;
  }

  #leave(request: WaitingRequest): void {
    this.#line.delete(request);
    this.#bytes -= request.body.length;
  }
}
