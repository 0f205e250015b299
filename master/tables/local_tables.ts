/// <reference lib="deno.unstable" />
/** The small tables of a lone master, in `tables.kv`, on their way into a cluster and back. */
import type { KeyRecord } from "../auth/api_key.ts";
import { KeyDatabase } from "../auth/key_table.ts";
import { DocumentTable, readDocuments } from "../http/document_table.ts";
import { SettingsTable } from "../http/settings_table.ts";

/** What a database holds. */
export interface LocalTables {
  readonly keys: readonly KeyRecord[];
  readonly documents: readonly { key: Uint8Array; value: Uint8Array }[];
  /** Texts by the name of the flag. */
  readonly settings: Readonly<Record<string, string>>;
}

const nothing: LocalTables & { offlineKeys: KeyRecord[] } = {
  ...{ keys: [], offlineKeys: [], documents: [], settings: {} },
};

/**
 * Reads the database of a data directory, and the keys that were made while no master ran; all of it
 * is empty when there is none. With `all` false only those keys are read. Throws an `Error` when there
 * is a database and this Deno cannot read it.
 */
export async function readLocalTables(
  path: string,
  all: boolean,
): Promise<LocalTables & { offlineKeys: KeyRecord[] }> {
  try {
    Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return nothing;
    throw error;
  }
  if (!DocumentTable.isAvailable) {
    throw new Error(`${path} cannot be read: start the master with --unstable-kv`);
  }
  using keys = await KeyDatabase.open(path);
  const offlineKeys = await keys.offlineRecords();
  if (!all) return { ...nothing, offlineKeys };
  const documents = await readDocuments(path);
  using settings = await SettingsTable.open(path);
  return {
    ...{ documents, offlineKeys },
    settings: await settings.load(),
    keys: await keys.records(),
  };
}

/** Makes the database of a data directory hold these tables, and nothing else of their kind. */
export async function replaceLocalTables(path: string, tables: LocalTables): Promise<void> {
  if (!DocumentTable.isAvailable) {
    throw new Error(`${path} cannot be written: start the master with --unstable-kv`);
  }
  const ids = new Set(tables.keys.map(({ id }) => id));
  using keys = await KeyDatabase.open(path);
  for (const { id } of await keys.records()) if (!ids.has(id)) await keys.delete(id);
  await keys.set(tables.keys);

  using settings = await SettingsTable.open(path);
  const stale = Object.keys(await settings.load()).map((name) => [name, null]);
  await settings.keep({ ...Object.fromEntries(stale), ...tables.settings });

  const old: Uint8Array[] = [];
  await using documents = await DocumentTable.open(path, (key) => void old.push(key));
  const kept = new Set(tables.documents.map(({ key }) => key.join()));
  for (const key of old) if (!kept.has(key.join())) await documents.delete(key);
  for (const { key, value } of tables.documents) {
    await documents.set(key, new Uint8Array(value));
  }
}

/** Forgets keys made while no master ran, which the cluster has now. */
export async function dropOfflineKeys(path: string, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  using keys = await KeyDatabase.open(path);
  await keys.dropOffline(ids);
}
