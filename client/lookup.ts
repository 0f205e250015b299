import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { ReplicaDescriptor, ReplicaList } from "../proto/types.ts";
import { answers, cutBatch } from "./batch.ts";
import type { Result, StoreContext } from "./context.ts";
import { showKey } from "./key.ts";
import { valueOf } from "./master_client.ts";
import { isMissing } from "./read.ts";

/** The replicas of an object; `null` when there is none to read. Renews its lease. */
export async function lookUp(store: StoreContext, key: Uint8Array): Promise<ReplicaList | null> {
  const what = `Cannot look up ${showKey(key)}`;
  if (key.length === 0) throw new StoreError(ErrorCode.INVALID_PARAMS, `${what}: the key is empty`);
  const { master, tenantId } = store;
  const answer = await master.getReplicaList({ key, tenantId });
  return isMissing(answer.code) ? null : valueOf(answer, what);
}

/** Bytes of the object that a replica belongs to. */
export function sizeOf({ location }: ReplicaDescriptor): number {
  return "buffer" in location ? location.buffer.size : location.objectSize;
}

/** Whether an object can be read. Renews its lease. */
export async function exists(store: StoreContext, key: Uint8Array): Promise<boolean> {
  const what = `Cannot look for ${showKey(key)}`;
  if (key.length === 0) throw new StoreError(ErrorCode.INVALID_PARAMS, `${what}: the key is empty`);
  const { master, tenantId } = store;
  return valueOf(await master.existKey({ key, tenantId }), what);
}

/** Whether each of several objects can be read. Renews their leases. */
export async function existBatch(
  store: StoreContext,
  keys: readonly Uint8Array[],
): Promise<Result<boolean>[]> {
  const { master, tenantId } = store;
  const results: Result<boolean>[] = [];
  for (const [from, to] of cutBatch(keys)) {
    const run = keys.slice(from, to);
    results.push(...await answers(run.length, master.batchExistKey({ keys: run, tenantId })));
  }
  return results;
}
