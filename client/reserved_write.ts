/**
 * Puts into memory that was reserved ahead: the transfer, then one call that gives the memory its key
 * and reserves the next. See `docs/decisions/0015-puts-into-reserved-memory.md`.
 */
import { ErrorCode } from "../proto/error_code.ts";
import type {
  EndAndReserveRequest,
  EndRequest,
  Expected,
  ReservedMemory,
} from "../proto/messages.ts";
import { failureOf, whyOver } from "./budget.ts";
import type { StoreContext } from "./context.ts";
import { answerValue, objectError } from "./object_call.ts";
import type { PutShape, Reservation } from "./reserved_puts.ts";
import { orRevoke } from "./revoke.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import type { WriteOutcome } from "./write.ts";

/** Answers of a master that does not know a reservation, or whose memory has gone. */
const GONE: readonly number[] = [
  ErrorCode.INVALID_WRITE,
  ErrorCode.OBJECT_NOT_FOUND,
  ErrorCode.ILLEGAL_CLIENT,
  ErrorCode.REPLICA_IS_GONE,
];

const NOTHING: ReservedMemory = { replicas: [], useWithinMs: 0 };

/** Writes a value into a reservation with `ops`; resolves with why that failed, or `null`. */
type Fill = (ops: EndpointOperation[], reservation: Reservation) => Promise<string | null>;

/**
 * Puts a value into reserved memory. `null` when nothing of it is stored and it has to be put as ever:
 * there is no such memory, it could not be written, or the master does not know it any more.
 */
export async function writeReserved(
  store: StoreContext,
  shape: PutShape,
  key: Uint8Array,
  fill: Fill,
): Promise<WriteOutcome | null> {
  const { reserved } = store;
  const reservation = reserved.take(shape);
  if (reservation === null) return null;
  const { replicas, writeId } = reservation;
  const ops: EndpointOperation[] = [];
  let why: string | null;
  try {
    const tooFew = store.placing?.take(0, replicas) ?? null;
    if (tooFew !== null) throw objectError(ErrorCode.NO_AVAILABLE_HANDLE, "store", key, tooFew);
    reservation.written = true;
    why = await fill(ops, reservation);
  } catch (error) {
    reserved.giveBack([reservation]);
    throw error;
  }
  if (why !== null) {
    reserved.giveBack([reservation]);
    if (whyOver(store) === null) return null;
    throw objectError(failureOf(store), "store", key, why);
  }
  const { clientId, tenantId } = store;
  const checksum = store.checks.checksumOf(ops);
  const end = { clientId, tenantId, objectMeta: { key, objectChecksum: checksum } };
  let answer: Expected<unknown>;
  try {
    answer = await orRevoke(store, "put", key, writeId, endReserved(store, shape, end, writeId));
  } catch (error) {
    reserved.giveBack([reservation]);
    if (reserved.isUnknown(error)) return null;
    throw error;
  }
  const { code } = answer;
  if (GONE.includes(code)) return null;
  if (code !== ErrorCode.OK) {
    // Late bytes of a write that was repeated must not meet those of another put.
    if (ops.some(({ isRepeated }) => isRepeated)) reserved.giveBack([reservation]);
    else reserved.keep(shape, reservation);
  }
  if (code === ErrorCode.OBJECT_ALREADY_EXISTS) {
    reserved.note(true, false);
    return "exists";
  }
  answerValue(answer, "store", key);
  reserved.note(true, true);
  store.places.wrote(key, replicas, checksum);
  store.placing?.stored(0);
  return "stored";
}

/**
 * Ends a put that was begun as ever, and reserves memory for the next one like it where that is worth
 * it. When the call fails nobody knows what became of either.
 */
export async function endStarted(
  store: StoreContext,
  shape: PutShape,
  end: EndRequest,
  writeId: number,
): Promise<Expected<unknown>> {
  const { master, reserved } = store;
  if (!reserved.wants(shape)) return await master.putEnd(end, writeId);
  try {
    return await ask(store, shape, { ...end, reserved: false }, writeId, true);
  } catch (error) {
    if (!reserved.isUnknown(error)) throw error;
    return await master.putEnd(end, writeId);
  }
}

/** Ends a put into reserved memory; the same otherwise. */
function endReserved(
  store: StoreContext,
  shape: PutShape,
  end: PutEnd,
  writeId: number,
): Promise<Expected<unknown>> {
  return ask(store, shape, { ...end, reserved: true }, writeId, store.reserved.wants(shape));
}

/** What both calls say of the put that they end. */
type PutEnd = Pick<EndAndReserveRequest, "clientId" | "objectMeta" | "tenantId">;

async function ask(
  store: StoreContext,
  shape: PutShape,
  { clientId, objectMeta, tenantId, reserved }: PutEnd & { reserved: boolean },
  writeId: number,
  wants: boolean,
): Promise<Expected<unknown>> {
  const { size: sliceLength, config } = shape;
  const nextWriteId = wants ? store.nextWriteId() : 0;
  const next = { nextWriteId, sliceLength, config };
  const askedAt = store.clock.now();
  let memory: ReservedMemory | null = null;
  try {
    const request = { clientId, objectMeta, reserved, ...next, tenantId };
    const answer = await store.master.endAndReserve(request, writeId);
    memory = answer.value ?? NOTHING;
    return answer;
  } catch (error) {
    if (store.reserved.isUnknown(error)) memory = NOTHING;
    throw error;
  } finally {
    if (wants) store.reserved.took(shape, nextWriteId, askedAt, memory);
  }
}
