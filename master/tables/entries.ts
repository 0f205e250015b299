/** Keys and settings as entries of the small tables that the masters of a cluster share. */
import { Buffer } from "node:buffer";
import type { KeyRecord } from "../auth/api_key.ts";
import { SmallTable, type TableChange } from "../core/small_tables.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A change that keeps a key. */
export function keyChange(record: KeyRecord): TableChange {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  const document = { ...record, salt: base64(record.salt), hash: base64(record.hash) };
  return entry(SmallTable.KEY, record.id, JSON.stringify(document));
}

/** A change that drops a key. */
export function keyDropped(id: string): TableChange {
  return entry(SmallTable.KEY, id, null);
}

/** The key of an entry. */
export function keyRecord(value: Uint8Array): KeyRecord {
  const bytes = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"));
  const document = JSON.parse(decoder.decode(value));
  return { ...document, salt: bytes(document.salt), hash: bytes(document.hash) };
}

/** A change that keeps a setting as the text of its flag, or (`null`) forgets it. */
export function settingChange(name: string, text: string | null): TableChange {
  return entry(SmallTable.SETTING, name, text);
}

/** Name or text of an entry. */
export function entryText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

function entry(table: SmallTable, key: string, value: string | null): TableChange {
  return {
    ...{ table, key: encoder.encode(key) },
    value: value === null ? null : encoder.encode(value),
  };
}
