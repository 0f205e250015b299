import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Expected } from "../proto/messages.ts";
import type { BufferDescriptor, ReplicaList } from "../proto/types.ts";
import { attemptOne } from "./attempt.ts";
import { attemptReads } from "./attempt_reads.ts";
import { failureOf, whyOver } from "./budget.ts";
import type { StoreContext } from "./context.ts";
import { earlyReadOf, EarlyReads } from "./early_reads.ts";
import { isAt, type Place } from "./known_places.ts";
import { checkKey, objectError } from "./object_call.ts";
import type { ReadPiece } from "./read_piece.ts";
import {
  elsewhere,
  isMissing,
  MAX_LEASES,
  MAX_WRONG,
  pushReads,
  readableBuffers,
  readTimeoutMs,
} from "./replica_reads.ts";
import { pause } from "./transfer/clock.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import { TransferCode } from "./transfer/engine.ts";

/** Says what to read of an object of a size; may throw `StoreError` when that size does not do. */
export type ReadPlan = (size: number) => readonly ReadPiece[];

/** What became of reading the replicas that one look-up has named. */
const ReadOutcome = {
  DONE: 0,
  /** The lease ended before one was read. */
  EXPIRED: 1,
  /** No replica that could be read has the bytes that were written. */
  WRONG: 2,
} as const;
type ReadOutcome = (typeof ReadOutcome)[keyof typeof ReadOutcome];

/** A read that has begun before the master was heard, at the first of `buffers`. */
interface Early {
  readonly place: Place;
  readonly op: EndpointOperation;
  readonly buffers: readonly BufferDescriptor[];
  readonly reads: EarlyReads;
}

/**
 * Reads parts of an object: without asking the master while the object is held, else from where it
 * was at once when this client knows that, while it asks whether it is there. Resolves with false when there is no such object, and for one that is
 * read as a whole also when its bytes are not those that were written. `StoreError`:
 * `LEASE_EXPIRED` when the bytes came too late to be trusted, twice; `TRANSFER_FAIL` when no replica
 * could be read; `DEADLINE_EXCEEDED` when the call had no time left; `NOT_SUPPORTED` when none is in
 * memory. Memory may hold anything unless it resolves with true. Unless it `mayBegin` early, it waits
 * for the answer.
 */
export async function readObject(
  store: StoreContext,
  key: Uint8Array,
  plan: ReadPlan,
  mayBegin = true,
): Promise<boolean> {
  checkKey(key, "read");
  const { master, clock, places, tenantId } = store;
  const name = places.nameOf(key);
  const nowMs = clock.now();
  const held = places.findHeld(name, nowMs);
  let wrong = 0;
  if (held !== undefined) {
    if (places.needsTurn(nowMs)) await pause(clock, 0);
    const outcome = await readHeld(store, held, key, plan);
    if (outcome === ReadOutcome.DONE) return true;
    if (outcome === ReadOutcome.WRONG) wrong++;
    places.release(name);
  }
  for (let expired = 0; expired < MAX_LEASES;) {
    const askedAt = clock.now();
    const asked = master.getReplicaList({ key, tenantId }, places.takesHolds);
    const place = places.find(name);
    const begins = mayBegin && place !== undefined && places.mayRead && expired + wrong === 0 &&
      places.isSlow && places.isWorth(place);
    // The request leaves first.
    if (begins) await null;
    const early = begins ? beginEarly(store, place, askedAt, plan) : null;
    let answer: Expected<ReplicaList>;
    try {
      answer = await asked;
    } catch (error) {
      await early?.reads.drop();
      throw error;
    }
    if (early === null && places.listens) places.answered(clock.now() - askedAt);
    const list = answer.code === ErrorCode.OK ? answer.value as ReplicaList : null;
    const isGone = isMissing(answer.code);
    let confirmed: Early | null = null;
    if (early !== null) {
      if (list !== null && isAt(early.place, list.replicas, list.objectChecksum)) confirmed = early;
      else await early.reads.drop();
      if (list !== null || isGone) places.note(confirmed !== null);
    }
    if (isGone) {
      places.forget(name);
      return false;
    }
    if (list === null) throw objectError(answer.code, "read", key);
    places.leaseTtlMs = list.leaseTtlMs;
    if (confirmed === null) places.learn(name, list.replicas, list.objectChecksum, place);
    places.hold(name, list, askedAt);
    const buffers = confirmed?.buffers ?? readableBuffers(store, list);
    if (buffers === null) {
      throw objectError(ErrorCode.NOT_SUPPORTED, "read", key, whyUnreadable(list));
    }
    const expected = store.checks.expected(list);
    const leaseEndsAt = askedAt + list.leaseTtlMs;
    const outcome = await readBuffers(store, buffers, leaseEndsAt, key, plan, expected, confirmed);
    if (outcome === ReadOutcome.DONE) return true;
    if (outcome === ReadOutcome.EXPIRED) expired++;
    else if (++wrong === MAX_WRONG) return false;
  }
  const why = `its lease ran out before the bytes were there, ${MAX_LEASES} times`;
  throw objectError(ErrorCode.LEASE_EXPIRED, "read", key, why);
}

/**
 * Reads an object whose key has this version at a time since the call began, as the master has
 * promised. Unless that is DONE, the master has to be asked.
 */
async function readHeld(
  store: StoreContext,
  held: Place,
  key: Uint8Array,
  plan: ReadPlan,
): Promise<ReadOutcome> {
  const { checks, choice, clock, endpoint, places } = store;
  const buffers = choice.order(held.replicas, endpoint.name);
  const expected = checks.expectedOf(held.crc);
  try {
    const { leaseEndsAtMs } = held;
    const outcome = await readBuffers(store, buffers, leaseEndsAtMs, key, plan, expected, null);
    if (outcome === ReadOutcome.DONE) places.readHeld(1, clock.now());
    return outcome;
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== ErrorCode.TRANSFER_FAIL) throw error;
    return ReadOutcome.EXPIRED;
  }
}

/** Begins to read a whole object where it was; `null` when that is not to be. */
function beginEarly(
  store: StoreContext,
  place: Place,
  askedAt: number,
  plan: ReadPlan,
): Early | null {
  const read = earlyReadOf(store, place, plan);
  if (read === null) return null;
  const { op, buffers } = read;
  return { place, op, buffers, reads: new EarlyReads(store, [op], askedAt, buffers.length > 1) };
}

/** Why an object without a memory replica cannot be read. */
function whyUnreadable({ replicas }: ReplicaList): string {
  return replicas.some(({ location }) => location.kind === "nof")
    ? "its only replicas are on NVMe over fabrics, which this client cannot read"
    : "it has no replica in memory, and reading disks is not available yet";
}

/**
 * Reads from one replica after the other, until one has the bytes that are `expected`. The first one
 * may have been `begun`.
 */
async function readBuffers(
  store: StoreContext,
  buffers: readonly BufferDescriptor[],
  leaseEndsAt: number,
  key: Uint8Array,
  plan: ReadPlan,
  expected: number,
  begun: Early | null,
): Promise<ReadOutcome> {
  let why = "";
  let wrong = false;
  let left: readonly BufferDescriptor[] = buffers;
  for (let early = begun?.reads; left.length > 0; early = undefined) {
    const buffer = left[0];
    const ops: EndpointOperation[] = [];
    let sums = true;
    if (early !== undefined) ops.push(begun!.op);
    else {
      const pieces = plan(buffer.size);
      sums = store.checks.covers(pieces, buffer.size, expected);
      pushReads(ops, buffer, pieces, sums);
    }
    const timeoutMs = readTimeoutMs(store, leaseEndsAt);
    if (timeoutMs === 0) {
      await early?.drop();
      if (whyOver(store) === null) return ReadOutcome.EXPIRED;
    }
    // Which of the replicas the bytes have come from.
    let at = 0;
    let code: number;
    if (ops.length === 1 && left.length === 1) {
      code = await attemptOne(store, ops[0], timeoutMs, early);
    } else {
      const among = left;
      const another = (at: number) => elsewhere(ops[at], among);
      const { codes, moved } = await attemptReads(store, ops, timeoutMs, another, early);
      code = codes.find((code) => code !== TransferCode.OK) ?? TransferCode.OK;
      if (moved.size > 0) at = 1;
    }
    if (code !== TransferCode.OK) {
      why = store.endpoint.explain(buffer.transportEndpoint, code);
      if (!early?.isShort || code !== TransferCode.TIMEOUT) left = left.slice(1);
      continue;
    }
    if (store.clock.now() >= leaseEndsAt) return ReadOutcome.EXPIRED;
    if (!sums || store.checks.isRight(key, left[at], expected, ops)) return ReadOutcome.DONE;
    wrong = true;
    left = left.toSpliced(at, 1);
  }
  if (wrong && whyOver(store) === null) return ReadOutcome.WRONG;
  throw objectError(failureOf(store), "read", key, why);
}
