import { ErrorCode } from "../proto/error_code.ts";
import type { BufferDescriptor, ReplicaList } from "../proto/types.ts";
import { attemptOne } from "./attempt.ts";
import { attemptReads, type Elsewhere } from "./attempt_reads.ts";
import { failureOf, whyOver } from "./budget.ts";
import type { StoreContext } from "./context.ts";
import { answerValue, checkKey, objectError } from "./object_call.ts";
import type { ReadPiece } from "./read_piece.ts";
import { type EndpointOperation, UNKNOWN_PEER } from "./transfer/endpoint.ts";
import { Opcode, TransferCode } from "./transfer/engine.ts";

/** Says what to read of an object of a size; may throw `StoreError` when that size does not do. */
export type ReadPlan = (size: number) => readonly ReadPiece[];

/** How often an object is looked up when its lease runs out during the transfer. */
export const MAX_LEASES = 2;
/**
 * How often an object is looked up when its replicas have other bytes than were written: it may have
 * been replaced while it was read.
 */
export const MAX_WRONG = 2;

/** What became of reading the replicas that one look-up has named. */
const ReadOutcome = {
  DONE: 0,
  /** The lease ended before one was read. */
  EXPIRED: 1,
  /** No replica that could be read has the bytes that were written. */
  WRONG: 2,
} as const;
type ReadOutcome = (typeof ReadOutcome)[keyof typeof ReadOutcome];

/**
 * Share of a lease that a transfer may take. The rest is left to accept what did arrive when one of
 * many peers stays silent.
 */
const USABLE_LEASE = 0.9;

/**
 * Reads parts of an object. Resolves with false when there is no such object, and for one that is
 * read as a whole also when its bytes are not those that were written. `StoreError`:
 * `LEASE_EXPIRED` when the bytes came too late to be trusted, twice; `TRANSFER_FAIL` when no replica
 * could be read; `DEADLINE_EXCEEDED` when the call had no time left; `NOT_SUPPORTED` when none is in memory. Memory may hold anything after a failure.
 */
export async function readObject(
  store: StoreContext,
  key: Uint8Array,
  plan: ReadPlan,
): Promise<boolean> {
  checkKey(key, "read");
  const { master, clock, tenantId } = store;
  for (let expired = 0, wrong = 0; expired < MAX_LEASES;) {
    const askedAt = clock.now();
    const answer = await master.getReplicaList({ key, tenantId });
    if (isMissing(answer.code)) return false;
    const list = answerValue(answer, "read", key);
    const buffers = readableBuffers(store, list);
    if (buffers === null) {
      throw objectError(ErrorCode.NOT_SUPPORTED, "read", key, whyUnreadable(list));
    }
    const expected = store.checks.expected(list);
    const leaseEndsAt = askedAt + list.leaseTtlMs;
    const outcome = await readBuffers(store, buffers, leaseEndsAt, key, plan, expected);
    if (outcome === ReadOutcome.DONE) return true;
    if (outcome === ReadOutcome.EXPIRED) expired++;
    else if (++wrong === MAX_WRONG) return false;
  }
  const why = `its lease ran out before the bytes were there, ${MAX_LEASES} times`;
  throw objectError(ErrorCode.LEASE_EXPIRED, "read", key, why);
}

/** Why an object without a memory replica cannot be read. */
function whyUnreadable({ replicas }: ReplicaList): string {
  return replicas.some(({ location }) => location.kind === "nof")
    ? "its only replicas are on NVMe over fabrics, which this client cannot read"
    : "it has no replica in memory, and reading disks is not available yet";
}

/** Whether a code says that there is nothing to read (yet). */
export function isMissing(code: number): boolean {
  return code === ErrorCode.OBJECT_NOT_FOUND || code === ErrorCode.REPLICA_IS_NOT_READY;
}

/** Where an object can be read, best first; `null` when nowhere. */
export function readableBuffers(
  store: StoreContext,
  list: ReplicaList,
): BufferDescriptor[] | null {
  const buffers = store.choice.order(list.replicas, store.endpoint.name);
  return buffers.length > 0 ? buffers : null;
}

/** Milliseconds that a transfer may take which must end before a lease does; 0 = none are left. */
export function readTimeoutMs(store: StoreContext, leaseEndsAt: number): number {
  const usable = Math.floor((leaseEndsAt - store.clock.now()) * USABLE_LEASE);
  return Math.max(0, Math.min(store.transferTimeoutMs, usable));
}

/** Adds the operations that read pieces of a replica, and sum them if that is asked for. */
export function pushReads(
  ops: EndpointOperation[],
  buffer: BufferDescriptor,
  pieces: readonly ReadPiece[],
  sums: boolean,
): void {
  for (const { offset, length, local, localOffset } of pieces) {
    if (length === 0) continue;
    ops.push({
      opcode: Opcode.READ,
      endpoint: buffer.transportEndpoint,
      peer: UNKNOWN_PEER,
      remoteAddress: offset === 0 ? buffer.bufferAddress : buffer.bufferAddress + BigInt(offset),
      length,
      local,
      localOffset,
      sums,
    });
  }
}

/** Where the bytes of a read of the first of several replicas are, too. */
export function elsewhere(
  op: EndpointOperation,
  [buffer, next, third]: readonly BufferDescriptor[],
): Elsewhere | null {
  if (next === undefined) return null;
  return {
    endpoint: next.transportEndpoint,
    remoteAddress: next.bufferAddress + (op.remoteAddress - buffer.bufferAddress),
    isLast: third === undefined,
  };
}

/** Reads from one replica after the other, until one has the bytes that are `expected`. */
async function readBuffers(
  store: StoreContext,
  buffers: readonly BufferDescriptor[],
  leaseEndsAt: number,
  key: Uint8Array,
  plan: ReadPlan,
  expected: number,
): Promise<ReadOutcome> {
  let why = "";
  let wrong = false;
  let left: readonly BufferDescriptor[] = buffers;
  while (left.length > 0) {
    const buffer = left[0];
    const ops: EndpointOperation[] = [];
    const pieces = plan(buffer.size);
    const sums = store.checks.covers(pieces, buffer.size, expected);
    pushReads(ops, buffer, pieces, sums);
    const timeoutMs = readTimeoutMs(store, leaseEndsAt);
    if (timeoutMs === 0 && whyOver(store) === null) return ReadOutcome.EXPIRED;
    // Which of the replicas the bytes have come from.
    let at = 0;
    let code: number;
    if (ops.length === 1 && left.length === 1) {
      code = await attemptOne(store, ops[0], timeoutMs);
    } else {
      const among = left;
      const another = (at: number) => elsewhere(ops[at], among);
      const { codes, moved } = await attemptReads(store, ops, timeoutMs, another);
      code = codes.find((code) => code !== TransferCode.OK) ?? TransferCode.OK;
      if (moved.size > 0) at = 1;
    }
    if (code !== TransferCode.OK) {
      why = store.endpoint.explain(buffer.transportEndpoint, code);
      left = left.slice(1);
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
