import type { KeyRecord } from "../auth/api_key.ts";
import type { KeyRing } from "../auth/key_ring.ts";
import type { MasterCore } from "../core/core.ts";
import { SmallTable, type TableChange } from "../core/small_tables.ts";
import { warnOfModels } from "../tenants/load_policies.ts";
import { entryText, keyRecord } from "./entries.ts";
import { type OwnTables, takeIn } from "./handover.ts";
import { dropOfflineKeys } from "./local_tables.ts";
import { type LogPosition, TableFeed } from "./table_feed.ts";

/** How long a leader waits, before it serves, for keys that were made while no master ran. */
const OFFLINE_KEYS_MS = 2000;
const POLL_MS = 5;

export interface ClusterTablesOptions {
  core: MasterCore;
  log: LogPosition;
  /** The keys that RPCs may carry. */
  keys: KeyRing;
  own: OwnTables;
  tablesPath: string;
  /** Puts a setting into force as the text of its flag; `null` = as it was at the start. */
  follow: (name: string, text: string | null) => void;
  /** Hands changes to the HTTP side. */
  publish: (changes: TableChange[]) => void;
  /** Told the text of the admin key that was made because there was none, once. */
  onFirstKey: (text: string) => void;
}

/** The small tables of a master of a cluster, in the thread of the core: whoever uses them is told. */
export class ClusterTables {
  readonly #options: ClusterTablesOptions;
  readonly #feed: TableFeed;
  readonly #records = new Map<string, KeyRecord>();
  /** This master leads, and has not shown yet all that the cluster has taken in. */
  #begins = false;
  #first: { text: string; id: string } | null = null;

  constructor(options: ClusterTablesOptions) {
    this.#options = options;
    this.#feed = new TableFeed(options.core.tables.view, options.log, (changes) => {
      this.#publish(changes);
    });
  }

  /** Tells everybody what the log has come to hold. */
  flush(): void {
    this.#feed.flush();
    if (!this.#begins || !this.#feed.isEmpty) return;
    this.#begins = false;
    const { core, own } = this.#options;
    warnOfModels(core, own.warn);
  }

  /**
   * This master leads: the cluster takes in what it has not got yet, before clients are served.
   * `turn` sends what was told and takes in what the log says; `false` = this master leads no more.
   * Throws a `PolicyError` for quotas that cannot be.
   */
  async lead(nowMs: number, turn: () => boolean): Promise<void> {
    const { core, own, tablesPath } = this.#options;
    this.flush();
    this.#first = takeIn(core, own, nowMs);
    this.#begins = true;
    this.flush();
    const ids = own.local.offlineKeys.map(({ id }) => id);
    const deadlineMs = nowMs + OFFLINE_KEYS_MS;
    while (!ids.every((id) => this.#records.has(id))) {
      if (!turn() || Date.now() > deadlineMs) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    await dropOfflineKeys(tablesPath, ids);
  }

  #publish(changes: TableChange[]): void {
    const { keys, follow, publish, onFirstKey } = this.#options;
    let keysChanged = false;
    let told: string | null = null;
    for (const { table, key, value } of changes) {
      const name = entryText(key);
      if (table === SmallTable.SETTING) follow(name, value === null ? null : entryText(value));
      if (table !== SmallTable.KEY) continue;
      if (value === null) this.#records.delete(name);
      else this.#records.set(name, keyRecord(value));
      keysChanged = true;
      if (name !== this.#first?.id) continue;
      told = this.#first.text;
      this.#first = null;
    }
    if (keysChanged) keys.replace(this.#records.values());
    publish(changes);
    if (told !== null) onFirstKey(told);
  }
}
