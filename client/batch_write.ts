import { ErrorCode } from "../proto/error_code.ts";
import { type ReplicaDescriptor, type ReplicateConfig, ReplicaType } from "../proto/types.ts";
import { answers, cutBatch } from "./batch.ts";
import { failureOf, whyOver } from "./budget.ts";
import type { Result, StoreContext } from "./context.ts";
import { type Slice, totalLength } from "./memory.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import { TransferCode } from "./transfer/engine.ts";
import { isTooLate, pushWrites, transferAll, type WriteKind, type WriteOutcome } from "./write.ts";

/** One object of a batch. */
export interface WriteItem {
  readonly key: Uint8Array;
  readonly slices: readonly Slice[];
}

interface PlacedItem extends WriteItem {
  /** Where the master has put it. */
  replicas: readonly ReplicaDescriptor[];
  /** Of its value, once it has been written. */
  objectChecksum: bigint | null;
  /** Position in the caller's batch. */
  readonly index: number;
  readonly length: number;
  /** Which operations of its run write it. */
  ops: { start: number; end: number };
}

/**
 * Stores several objects: for each run of the batch one start, one batch of transfers and one end.
 * Resolves with one result per item, in order; rejects for no failure of an item or a call.
 */
export async function writeBatch(
  store: StoreContext,
  kind: WriteKind,
  items: readonly WriteItem[],
  config: ReplicateConfig,
): Promise<Result<WriteOutcome>[]> {
  const results: Result<WriteOutcome>[] = new Array(items.length);
  const placed: PlacedItem[] = [];
  for (const [index, { key, slices }] of items.entries()) {
    const length = totalLength(slices);
    if (key.length > 0 && length > 0) {
      placed.push({
        ...{ key, slices, index, length, replicas: [], objectChecksum: null },
        ops: { start: 0, end: 0 },
      });
    } else results[index] = { code: ErrorCode.INVALID_PARAMS, value: null };
  }
  const distinct = kind === "upsert";
  const runs = cutBatch(placed.map(({ key }) => key), (i) => placed[i].length, distinct);
  for (const [from, to] of runs) {
    const code = whyOver(store);
    if (code !== null) {
      for (const { index } of placed.slice(from)) results[index] = { code, value: null };
      break;
    }
    await writeRun(store, kind, placed.slice(from, to), config, results);
  }
  return results;
}

async function writeRun(
  store: StoreContext,
  kind: WriteKind,
  items: readonly PlacedItem[],
  config: ReplicateConfig,
  results: Result<WriteOutcome>[],
): Promise<void> {
  const { master, checks, clientId, tenantId } = store;
  const request = {
    clientId,
    keys: items.map(({ key }) => key),
    sliceLengths: items.map(({ length }) => length),
    config: configOf(config, items),
    tenantId,
  };
  for (const { key } of items) store.places.releaseKey(key);
  const writeId = store.nextWriteId();
  const askedAt = store.clock.now();
  const started = await answers(
    items.length,
    kind === "put"
      ? master.batchPutStart(request, writeId)
      : master.batchUpsertStart(request, writeId),
  );
  if (writeId !== 0 && isUnanswered(started)) void revoke(store, kind, items, writeId);

  const late = isTooLate(store, askedAt);
  const ops: EndpointOperation[] = [];
  const owners: number[] = [];
  const ready: PlacedItem[] = [];
  const failed: PlacedItem[] = [];
  const tooFew = new Set<PlacedItem>();
  for (const [i, item] of items.entries()) {
    const { code, value: replicas } = started[i];
    if (code === ErrorCode.OBJECT_ALREADY_EXISTS && kind === "put") {
      results[item.index] = { code: ErrorCode.OK, value: "exists" };
    } else if (code !== ErrorCode.OK) {
      results[item.index] = { code, value: null };
    } else if (isTooFew(store, item, replicas)) {
      tooFew.add(item);
      failed.push(item);
    } else if (
      late || pushWrites(ops, replicas ?? [], item.slices, item.length, checks.enabled) !== null
    ) {
      failed.push(item);
    } else {
      item.replicas = replicas ?? [];
      item.ops = { start: owners.length, end: ops.length };
      while (owners.length < ops.length) owners.push(ready.length);
      ready.push(item);
    }
    ops.length = owners.length;
  }

  const broken = new Set<number>();
  const codes = await transferAll(store, ops);
  for (let i = 0; i < codes.length; i++) if (codes[i] !== TransferCode.OK) broken.add(owners[i]);
  const whole = ready.filter((_, i) => !broken.has(i));
  for (const item of whole) {
    item.objectChecksum = checks.checksumOf(ops, item.ops.start, item.ops.end);
  }
  failed.push(...ready.filter((_, i) => broken.has(i)));
  const failure = { code: failureOf(store), value: null };
  const partial = { code: ErrorCode.NO_AVAILABLE_HANDLE, value: null };
  for (const item of failed) results[item.index] = tooFew.has(item) ? partial : failure;
  await Promise.all([
    end(store, kind, whole, writeId, results),
    revoke(store, kind, failed, writeId),
  ]);
}

function isTooFew(
  { placing }: StoreContext,
  { index }: PlacedItem,
  replicas: readonly ReplicaDescriptor[] | null,
): boolean {
  return placing !== undefined && placing.take(index, replicas ?? []) !== null;
}

/**
 * Whether a call failed as a whole: nobody knows then whether the writes go on at the master, and
 * they are revoked, so that they do not stand in the way of others.
 */
function isUnanswered(answered: readonly { code: number }[]): boolean {
  const { code } = answered[0];
  return code === ErrorCode.RPC_FAIL || code === ErrorCode.RPC_TIMEOUT ||
    code === ErrorCode.DEADLINE_EXCEEDED || code === ErrorCode.CANCELLED;
}

/** The groups of a batch belong to its items one by one, so a run takes its own. */
function configOf(config: ReplicateConfig, items: readonly PlacedItem[]): ReplicateConfig {
  const { groupIds } = config;
  return groupIds === null
    ? config
    : { ...config, groupIds: items.map(({ index }) => groupIds[index]) };
}

async function end(
  store: StoreContext,
  kind: WriteKind,
  items: readonly PlacedItem[],
  writeId: number,
  results: Result<WriteOutcome>[],
): Promise<void> {
  if (items.length === 0) return;
  const { master, clientId, tenantId } = store;
  const objectMetas = items.map(({ key, objectChecksum }) => ({ key, objectChecksum }));
  const ended = await answers(
    items.length,
    kind === "put"
      ? master.batchPutEnd(
        { clientId, objectMetas, replicaType: ReplicaType.ALL, tenantId },
        writeId,
      )
      : master.batchUpsertEnd({ clientId, objectMetas, tenantId }, writeId),
  );
  if (writeId !== 0 && isUnanswered(ended)) void revoke(store, kind, items, writeId);
  for (const [i, { index, key, replicas, objectChecksum }] of items.entries()) {
    const { code } = ended[i];
    results[index] = { code, value: code === ErrorCode.OK ? "stored" : null };
    if (code !== ErrorCode.OK) continue;
    store.places.wrote(key, replicas, objectChecksum);
    store.placing?.stored(index);
  }
}

async function revoke(
  store: StoreContext,
  kind: WriteKind,
  items: readonly PlacedItem[],
  writeId: number,
): Promise<void> {
  if (items.length === 0) return;
  const { master, clientId, tenantId } = store;
  const keys = items.map(({ key }) => key);
  await answers(
    items.length,
    kind === "put"
      ? master.batchPutRevoke({ clientId, keys, replicaType: ReplicaType.ALL, tenantId }, writeId)
      : master.batchUpsertRevoke({ clientId, keys, tenantId }, writeId),
  );
}
