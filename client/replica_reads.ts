/** What reads of one object and of batches have in common. */
import { ErrorCode } from "../proto/error_code.ts";
import type { BufferDescriptor, ReplicaList } from "../proto/types.ts";
import type { Elsewhere } from "./attempt_reads.ts";
import type { StoreContext } from "./context.ts";
import type { ReadPiece } from "./read_piece.ts";
import { type EndpointOperation, UNKNOWN_PEER } from "./transfer/endpoint.ts";
import { Opcode } from "./transfer/engine.ts";

/** How often an object is looked up when its lease runs out during the transfer. */
export const MAX_LEASES = 2;
/**
 * How often an object is looked up when its replicas have other bytes than were written: it may have
 * been replaced while it was read.
 */
export const MAX_WRONG = 2;

/**
 * Share of a lease that a transfer may take. The rest is left to accept what did arrive when one of
 * many peers stays silent.
 */
const USABLE_LEASE = 0.9;

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
  return usableMs(store, leaseEndsAt - store.clock.now());
}

/** As {@linkcode readTimeoutMs}, for a lease of which so much is left. */
export function usableMs(store: StoreContext, leaseMs: number): number {
  return Math.max(0, Math.min(store.transferTimeoutMs, Math.floor(leaseMs * USABLE_LEASE)));
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
