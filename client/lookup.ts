import type { ReplicaDescriptor, ReplicaList } from "../proto/types.ts";
import { callForKeys } from "./batch.ts";
import type { Result, StoreContext } from "./context.ts";
import { answerValue, checkKey } from "./object_call.ts";
import { isMissing } from "./replica_reads.ts";

/** The replicas of an object; `null` when there is none to read. Renews its lease. */
export async function lookUp(store: StoreContext, key: Uint8Array): Promise<ReplicaList | null> {
  checkKey(key, "look up");
  const { master, places, tenantId } = store;
  const answer = await master.getReplicaList({ key, tenantId });
  if (isMissing(answer.code)) {
    places.forget(places.nameOf(key));
    return null;
  }
  const list = answerValue(answer, "look up", key);
  places.learn(places.nameOf(key), list.replicas, list.objectChecksum);
  return list;
}

/** Bytes of the object that a replica belongs to. */
export function sizeOf({ location }: ReplicaDescriptor): number {
  return "buffer" in location ? location.buffer.size : location.objectSize;
}

/** Whether an object can be read. Renews its lease. */
export async function exists(store: StoreContext, key: Uint8Array): Promise<boolean> {
  checkKey(key, "look for");
  const { master, tenantId } = store;
  return answerValue(await master.existKey({ key, tenantId }), "look for", key);
}

/** Whether each of several objects can be read. Renews their leases. */
export async function existBatch(
  store: StoreContext,
  keys: readonly Uint8Array[],
): Promise<Result<boolean>[]> {
  const { master, tenantId } = store;
  return await callForKeys(keys, (keys) => master.batchExistKey({ keys, tenantId }));
}
