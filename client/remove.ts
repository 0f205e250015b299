import { ErrorCode } from "../proto/error_code.ts";
import { callForKeys } from "./batch.ts";
import type { Result, StoreContext } from "./context.ts";
import { valueOf } from "./master_client.ts";
import { answerValue, checkKey } from "./object_call.ts";

/** Removes one object. */
export async function removeObject(
  store: StoreContext,
  key: Uint8Array,
  force: boolean,
): Promise<void> {
  checkKey(key, "remove");
  const { master, places, tenantId } = store;
  places.releaseKey(key);
  answerValue(await master.remove({ key, force, tenantId }), "remove", key);
  places.forget(places.nameOf(key));
}

/** Removes several objects. */
export async function removeBatch(
  store: StoreContext,
  keys: readonly Uint8Array[],
  force: boolean,
): Promise<Result<null>[]> {
  const { master, places, tenantId } = store;
  for (const key of keys) places.releaseKey(key);
  const results = await callForKeys(
    keys,
    (keys) => master.batchRemove({ keys, force, tenantId }),
  );
  for (const [i, { code }] of results.entries()) {
    if (code === ErrorCode.OK) places.forget(places.nameOf(keys[i]));
  }
  return results;
}

/** Removes the objects whose key an ECMAScript pattern is found in; resolves with how many. */
export async function removeByRegex(
  store: StoreContext,
  regex: string,
  force: boolean,
): Promise<number> {
  const { master, places, tenantId } = store;
  places.forgetAll();
  const answer = await master.removeByRegex({ regex, force, tenantId });
  return valueOf(answer, `Cannot remove by ${JSON.stringify(regex)}`);
}

/** Removes every object that is not leased, or every object; resolves with how many. */
export function removeAll(store: StoreContext, force: boolean): Promise<number> {
  const { master, places, tenantId } = store;
  places.forgetAll();
  return master.removeAll({ force, tenantId });
}
