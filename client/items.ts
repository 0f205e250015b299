/** What calls of the client about several objects take for each, and how objects are removed. */
import { describe, type Key } from "./key.ts";
import type { Memory, Value } from "./memory.ts";

/**
 * One object of a batch to store.
 *
 * @example
 * ```ts ignore
 * const items: PutItem[] = [{ key: "layer/0", value: new Uint8Array(4096) }];
 * await client.batchPut(items);
 * ```
 */
export interface PutItem {
  /** The object's name. */
  key: Key;
  /** Its bytes. */
  value: Value;
}

/**
 * One object of a batch to read, and where it goes.
 *
 * @example
 * ```ts ignore
 * const items: GetIntoItem[] = [{ key: "layer/0", target: new Uint8Array(4096) }];
 * const [{ code, value }] = await client.batchGetInto(items);
 * ```
 */
export interface GetIntoItem {
  /** The object's name. */
  key: Key;
  /** At least as long as the object. */
  target: Memory;
}

/**
 * How objects are removed.
 *
 * @example
 * ```ts ignore
 * const options: RemoveOptions = { force: true };
 * await client.remove("layer/0", options);
 * ```
 */
export interface RemoveOptions {
  /** Remove objects although somebody has a lease on them; default false. */
  force?: boolean;
}

/** Checks that a batch is an array of objects; `TypeError` if not. */
export function checkItems(items: readonly unknown[]): void {
  if (!Array.isArray(items)) throw new TypeError(`Items are an array, not ${describe(items)}`);
  for (const item of items) {
    if (typeof item !== "object" || item === null) {
      throw new TypeError(`An item is an object, not ${describe(item)}`);
    }
  }
}
