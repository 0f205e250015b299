import type { ReplicateConfig, Uuid } from "../proto/types.ts";
import type { MasterClient } from "./master_client.ts";
import type { Hedges } from "./hedges.ts";
import type { KnownPlaces } from "./known_places.ts";
import type { Placing } from "./placing.ts";
import type { ReplicaChoice } from "./replica_choice.ts";
import type { ReservedPuts } from "./reserved_puts.ts";
import type { Clock } from "./transfer/clock.ts";
import type { Traffic } from "./transfer/door.ts";
import type { TransferEndpoint } from "./transfer/endpoint.ts";
import type { ValueChecks } from "./value_checks.ts";

/** A source of numbers for the writes of one client, from 1. */
export function writeNumbers(): () => number {
  let last = 0;
  return () => ++last;
}

/** What the operations of one client work with. */
export interface StoreContext {
  readonly master: MasterClient;
  readonly endpoint: TransferEndpoint;
  readonly choice: ReplicaChoice;
  /** When a read is begun a second time, at another replica. */
  readonly hedges: Hedges;
  readonly checks: ValueChecks;
  /** Where objects were, so that reads need not wait for the master. */
  readonly places: KnownPlaces;
  /** Memory for puts to come. */
  readonly reserved: ReservedPuts;
  readonly clock: Clock;
  readonly clientId: Uuid;
  readonly tenantId: Uint8Array;
  readonly defaultConfig: ReplicateConfig;
  /** Milliseconds for one batch of transfers. */
  readonly transferTimeoutMs: number;
  /** How transfers are treated beside others; absent = as normal ones. */
  readonly traffic?: Traffic;
  /** Of the call, when its caller wants to know or to have something of its replicas. */
  readonly placing?: Placing | undefined;
  /** Milliseconds that one replica is waited for where there is another one; see `attempt.ts`. */
  readonly replicaPatienceMs: number;
  /** Milliseconds of one call of the client in all; see `budget.ts`. */
  readonly opBudgetMs: number;
  /** Milliseconds after which every call to the master has settled by itself. */
  readonly answerWithinMs: number;
  /**
   * Milliseconds from the request for memory within which a write must begin. After a standstill it is
   * given up, for the memory may be somebody else's.
   */
  readonly beginWithinMs: number;
  /**
   * Numbers the writes, copies and moves of this client, so that the master can tell them apart; see
   * `write_id.ts`. With 0 it cannot: a write that was not answered is not revoked, and an end of a copy
   * or move is not repeated, for it might be another one.
   */
  readonly nextWriteId: () => number;
}

/**
 * What became of one item of a batch: code 0 and a value, or another code and `null`.
 *
 * @example
 * ```ts ignore
 * const results: Result<Uint8Array>[] = await client.batchGet(["a", "b"]);
 * const found = results.filter(({ code }) => code === ErrorCode.OK);
 * ```
 */
export interface Result<T> {
  /** One of `ErrorCode`. */
  readonly code: number;
  /** What the operation is for, such as the bytes of an object. */
  readonly value: T | null;
}
