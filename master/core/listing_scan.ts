import { ErrorCode } from "../../proto/error_code.ts";
import type { MatchSink } from "./api.ts";
import { describeReadable } from "./describe.ts";
import { KeyScan } from "./key_scan.ts";
import { grantLease } from "./leases.ts";
import type { Work } from "./pattern/matcher.ts";
import { firstReadable } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** Work for an object that is described. */
const DESCRIPTION_WORK = 512;

/**
 * Describes the readable replicas of the objects that a {@linkcode KeyScan} finds, in slices. The
 * lease of each is renewed when it is described.
 */
export class ListingScan {
  /** Objects described so far. */
  matches = 0;
  readonly #state: CoreState;
  readonly #keys: KeyScan;
  readonly #sink: MatchSink;

  constructor(state: CoreState, tenant: number, pattern: Uint8Array, sink: MatchSink) {
    this.#state = state;
    this.#keys = new KeyScan(state, tenant, pattern, isReadableObject);
    this.#sink = sink;
  }

  /** INVALID_PARAMS when the pattern was refused. */
  get code(): ErrorCode {
    return this.refusal === null ? ErrorCode.OK : ErrorCode.INVALID_PARAMS;
  }

  /** Why the pattern was refused, or `null`. */
  get refusal(): string | null {
    return this.#keys.refusal;
  }

  /** Describes objects until the work has run out. Returns whether the listing is over. */
  step(work: Work, nowMs: number): boolean {
    const { objects } = this.#state;
    for (let slot = this.#keys.next(work); slot !== 0; slot = this.#keys.next(work)) {
      work.left -= DESCRIPTION_WORK;
      grantLease(this.#state, slot, nowMs);
      const at = objects.keyOffset(slot);
      this.#sink.key(objects.keyPage(slot), at, at + objects.keyLength(slot));
      describeReadable(this.#state, slot, this.#sink);
      this.matches++;
    }
    return this.#keys.isOver;
  }
}

function isReadableObject(state: CoreState, slot: number): boolean {
  return firstReadable(state, slot) !== 0;
}
