/**
 * The small tables of a master of a cluster, as its HTTP side sees them: changes are asked of the
 * thread of the core, and come back from there, on every master, once the log holds them.
 */
import { KeyTable } from "../auth/key_table.ts";
import { SmallTable, type TableChange } from "../core/small_tables.ts";
import { entryText, keyChange, keyDropped, keyRecord, settingChange } from "../tables/entries.ts";
import type { AdminBackend } from "./backend.ts";
import type { DocumentKeeper } from "./document_table.ts";
import type { MetadataStore } from "./metadata_store.ts";
import type { SettingsKeeper } from "./settings_table.ts";

export class SharedTables {
  readonly keys: KeyTable;
  readonly documents: DocumentKeeper;
  readonly settings: SettingsKeeper;

  constructor(backend: Pick<AdminBackend, "changeTables">) {
    const change = (...changes: TableChange[]) => backend.changeTables(changes);
    const document = (key: Uint8Array, value: Uint8Array | null) =>
      change({ table: SmallTable.DOCUMENT, key, value });
    this.keys = new KeyTable({
      set: (records) => change(...records.map(keyChange)),
      delete: (id) => change(keyDropped(id)),
    });
    this.documents = { set: document, delete: (key) => document(key, null) };
    this.settings = {
      keep: (changes) =>
        change(...Object.entries(changes).map(([name, text]) => settingChange(name, text))),
    };
  }

  /** Takes changes in that the log holds. Returns whether there are keys among them. */
  take(changes: readonly TableChange[], metadata: MetadataStore): boolean {
    let keys = false;
    for (const { table, key, value } of changes) {
      if (table === SmallTable.DOCUMENT) {
        metadata.take(key, value === null ? null : new Uint8Array(value));
      } else if (table === SmallTable.KEY) {
        this.keys.take(entryText(key), value === null ? null : keyRecord(value));
        keys = true;
      }
    }
    return keys;
  }
}
