/** Users of keys: a name of a tenant, or of none, that keys belong to. A user is there while keys are. */
import type { KeyRecord } from "./api_key.ts";

/** A user; structured-cloneable. */
export interface User {
  readonly name: string;
  /** `null` = its keys are not for one tenant. */
  readonly tenant: string | null;
  readonly isDisabled: boolean;
  /** Its keys, those that have ended too. */
  readonly keys: readonly KeyRecord[];
}

/** Longest name of a user, in characters. */
export const MAX_USER_LENGTH = 256;

/** Whether something can name a user: a text that is not empty, without control characters. */
export function isUserName(name: unknown): name is string {
  return typeof name === "string" && name.isWellFormed() && name !== "" &&
    name.length <= MAX_USER_LENGTH && !/\p{Cc}/u.test(name);
}

/** The users that keys belong to, by tenant and name. */
export function usersOf(records: Iterable<KeyRecord>): User[] {
  const groups = new Map<string, [KeyRecord, ...KeyRecord[]]>();
  for (const record of records) {
    if (record.user == null) continue;
    const id = JSON.stringify([record.tenant ?? "", record.user]);
    const group = groups.get(id);
    if (group === undefined) groups.set(id, [record]);
    else group.push(record);
  }
  return Array.from(groups)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([_, keys]) => ({
      ...{ name: keys[0].user!, tenant: keys[0].tenant, keys },
      isDisabled: keys.some(isDisabled),
    }));
}

/** The user of that name, `null` = it has no keys. */
export function userOf(
  records: Iterable<KeyRecord>,
  tenant: string | null,
  name: string,
): User | null {
  return usersOf(records).find((user) => user.tenant === tenant && user.name === name) ?? null;
}

/** Whether the user of a key is disabled, so that the key is not taken. */
export function isDisabled({ isDisabled = false }: KeyRecord): boolean {
  return isDisabled;
}
