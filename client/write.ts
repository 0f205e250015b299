import { ErrorCode } from "../proto/error_code.ts";
import { type ReplicaDescriptor, type ReplicateConfig, ReplicaType } from "../proto/types.ts";
import { attempt, attemptOne } from "./attempt.ts";
import { failureOf } from "./budget.ts";
import type { StoreContext } from "./context.ts";
import { type Slice, totalLength } from "./memory.ts";
import { answerValue, checkKey, objectError } from "./object_call.ts";
import { endStarted, writeReserved } from "./reserved_write.ts";
import { orRevoke, revoke } from "./revoke.ts";
import { type EndpointOperation, UNKNOWN_PEER } from "./transfer/endpoint.ts";
import { Opcode, TransferCode } from "./transfer/engine.ts";

/** Whether an existing object stands in the way or is replaced. */
export type WriteKind = "put" | "upsert";

/**
 * What became of a write: `exists` means that the key had a value, or was being written by somebody
 * else, and was left as it was.
 *
 * @example
 * ```ts ignore
 * const outcome: WriteOutcome = await client.put("layer/0", value);
 * ```
 */
export type WriteOutcome = "stored" | "exists";

/** Stores one object. `StoreError` when it could not be stored; nothing of it is readable then. */
export async function writeObject(
  store: StoreContext,
  kind: WriteKind,
  key: Uint8Array,
  slices: readonly Slice[],
  config: ReplicateConfig,
): Promise<WriteOutcome> {
  const length = totalLength(slices);
  checkKey(key, "store");
  if (length === 0) {
    throw objectError(ErrorCode.INVALID_PARAMS, "store", key, "the value is empty");
  }
  const { master, clientId, tenantId, reserved } = store;
  store.places.releaseKey(key);
  const shape = kind === "put" ? reserved.begin(length, config, store.defaultConfig) : null;
  if (shape !== null) {
    const outcome = await writeReserved(
      store,
      shape,
      key,
      (ops, { replicas, askedAt, useWithinMs }) =>
        fill(store, ops, replicas, slices, length, askedAt, useWithinMs),
    );
    if (outcome !== null) return outcome;
  }
  const writeId = store.nextWriteId();
  const askedAt = store.clock.now();
  const request = { clientId, key, sliceLength: length, config, tenantId };
  const started = await orRevoke(
    store,
    kind,
    key,
    writeId,
    kind === "put" ? master.putStart(request, writeId) : master.upsertStart(request, writeId),
  );
  if (started.code === ErrorCode.OBJECT_ALREADY_EXISTS && kind === "put") return "exists";
  const replicas = answerValue(started, "store", key);

  const ops: EndpointOperation[] = [];
  try {
    const tooFew = store.placing?.take(0, replicas) ?? null;
    if (tooFew !== null) throw objectError(ErrorCode.NO_AVAILABLE_HANDLE, "store", key, tooFew);
    const why = await fill(store, ops, replicas, slices, length, askedAt, store.beginWithinMs);
    if (why !== null) throw objectError(failureOf(store), "store", key, why);
  } catch (error) {
    await revoke(store, kind, key, writeId, ReplicaType.ALL);
    throw error;
  }
  if (replicas.some(({ location }) => location.kind === "disk")) {
    await revoke(store, kind, key, writeId, ReplicaType.DISK);
  }
  const end = {
    clientId,
    objectMeta: { key, objectChecksum: store.checks.checksumOf(ops) },
    replicaType: ReplicaType.ALL,
    tenantId,
  };
  const ended = await orRevoke(
    store,
    kind,
    key,
    writeId,
    shape !== null
      ? endStarted(store, shape, end, writeId)
      : kind === "put"
      ? master.putEnd(end, writeId)
      : master.upsertEnd(end, writeId),
  );
  answerValue(ended, "store", key);
  if (shape !== null) reserved.note(false, true);
  store.places.wrote(key, replicas, end.objectMeta.objectChecksum);
  store.placing?.stored(0);
  return "stored";
}

/**
 * Adds the operations that fill an object's memory replicas, and returns why that is not possible,
 * or `null`. Those of the first one sum if that is asked for.
 */
export function pushWrites(
  ops: EndpointOperation[],
  replicas: readonly ReplicaDescriptor[],
  slices: readonly Slice[],
  length: number,
  sums = false,
): string | null {
  let filled = 0;
  for (const { location } of replicas) {
    if (location.kind === "disk") continue;
    if (location.kind !== "memory") return `this client cannot write ${location.kind} replicas`;
    const { size, bufferAddress, transportEndpoint } = location.buffer;
    if (size !== length) return `the master allocated ${size} bytes for ${length}`;
    let remoteAddress = bufferAddress;
    for (const { local, localOffset, length } of slices) {
      ops.push({
        opcode: Opcode.WRITE,
        endpoint: transportEndpoint,
        peer: UNKNOWN_PEER,
        remoteAddress,
        length,
        local,
        localOffset,
        sums: sums && filled === 0,
      });
      remoteAddress += BigInt(length);
    }
    filled++;
  }
  return filled > 0 ? null : "the master allocated no replica in memory";
}

/**
 * Whether memory that was asked for at a time of the clock must not be written to any more: the
 * process stood still, and the master may have given the memory to somebody else meanwhile.
 */
export function isTooLate(
  { clock, beginWithinMs }: StoreContext,
  askedAt: number,
  withinMs: number = beginWithinMs,
): boolean {
  return clock.now() - askedAt >= withinMs;
}

/** Runs a batch of writes and notes for later reads which peers work. */
export function transferAll(
  store: StoreContext,
  ops: readonly EndpointOperation[],
): Promise<Int32Array> {
  return attempt(store, ops, store.transferTimeoutMs, () => false);
}

/** Writes a value into all of its replicas, with `ops`; resolves with why that failed, or `null`. */
async function fill(
  store: StoreContext,
  ops: EndpointOperation[],
  replicas: readonly ReplicaDescriptor[],
  slices: readonly Slice[],
  length: number,
  askedAt: number,
  withinMs: number,
): Promise<string | null> {
  const why = pushWrites(ops, replicas, slices, length, store.checks.enabled);
  if (why !== null) return why;
  if (isTooLate(store, askedAt, withinMs)) return `the write did not begin within ${withinMs} ms`;
  if (ops.length === 1) {
    const code = await attemptOne(store, ops[0], store.transferTimeoutMs);
    return code === TransferCode.OK ? null : store.endpoint.explain(ops[0].endpoint, code);
  }
  const codes = await transferAll(store, ops);
  const at = codes.findIndex((code) => code !== TransferCode.OK);
  return at < 0 ? null : store.endpoint.explain(ops[at].endpoint, codes[at]);
}
