/// <reference lib="deno.unstable" />
import { createKey, type KeyRecord, type KeyWish } from "./api_key.ts";

/** Records of one commit; Deno KV takes a thousand changes, of 800 KiB in all. */
const MOST_AT_ONCE = 200;

/** Where keys outlive the process. Both reject when the change was not kept. */
export interface KeyKeeper {
  /** Keeps records in place of those with their ids, all or none up to some hundred. */
  set(records: readonly KeyRecord[]): Promise<void>;
  delete(id: string): Promise<void>;
}

/** All keys, those that have ended too. */
export class KeyTable implements AsyncDisposable {
  readonly #keeper: KeyKeeper & Partial<Disposable>;
  readonly #records: Map<string, KeyRecord>;

  constructor(keeper: KeyKeeper & Partial<Disposable>, records: Iterable<KeyRecord> = []) {
    this.#keeper = keeper;
    this.#records = new Map(Array.from(records, (record) => [record.id, record]));
  }

  /** Opens the table of a database, which is created if need be. */
  static async open(path: string): Promise<KeyTable> {
    const database = await KeyDatabase.open(path);
    try {
      await database.takeOffline();
      return new KeyTable(database, await database.records());
    } catch (error) {
      database[Symbol.dispose]();
      throw error;
    }
  }

  get records(): KeyRecord[] {
    return Array.from(this.#records.values());
  }

  get(id: string): KeyRecord | null {
    return this.#records.get(id) ?? null;
  }

  /** Makes a key and keeps it; the text is its only copy. */
  async create(wish: KeyWish, nowMs: number): Promise<{ text: string; record: KeyRecord }> {
    const made = createKey(wish, nowMs);
    await this.set(made.record);
    return made;
  }

  /** Keeps a record in place of the one with its id. */
  async set(record: KeyRecord): Promise<void> {
    await this.setAll([record]);
  }

  /** The same with several, all or none up to some hundred. */
  async setAll(records: readonly KeyRecord[]): Promise<void> {
    await this.#keeper.set(records);
    for (const record of records) this.take(record.id, record);
  }

  /** Forgets a key. */
  async delete(id: string): Promise<void> {
    await this.#keeper.delete(id);
    this.take(id, null);
  }

  /** Takes in a change that is kept already; `null` = there is no such key any more. */
  take(id: string, record: KeyRecord | null): void {
    if (record === null) this.#records.delete(id);
    else this.#records.set(id, record);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#keeper[Symbol.dispose]?.();
    return Promise.resolve();
  }
}

/**
 * Keys in a Deno KV database: `["api_key", id]`, and `["offline_key", id]` for those that were made
 * while no master ran, which the next one takes in.
 */
export class KeyDatabase implements KeyKeeper, Disposable {
  readonly #kv: Deno.Kv;

  private constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  /** Opens a database, which is created if need be. */
  static async open(path: string): Promise<KeyDatabase> {
    return new KeyDatabase(await Deno.openKv(path));
  }

  records(): Promise<KeyRecord[]> {
    return this.#list("api_key");
  }

  /** Keys that no master has taken in yet. */
  offlineRecords(): Promise<KeyRecord[]> {
    return this.#list("offline_key");
  }

  async set(records: readonly KeyRecord[]): Promise<void> {
    for (let at = 0; at < records.length; at += MOST_AT_ONCE) {
      const commit = this.#kv.atomic();
      for (const record of records.slice(at, at + MOST_AT_ONCE)) {
        commit.set(["api_key", record.id], record);
      }
      await commit.commit();
    }
  }

  async delete(id: string): Promise<void> {
    await this.#kv.delete(["api_key", id]);
  }

  /** Leaves a key to the next master that starts here. */
  async addOffline(record: KeyRecord): Promise<void> {
    await this.#kv.set(["offline_key", record.id], record);
  }

  /** Makes the keys that were left to this master ordinary ones. */
  async takeOffline(): Promise<void> {
    for (const record of await this.offlineRecords()) {
      await this.#kv.atomic().set(["api_key", record.id], record)
        .delete(["offline_key", record.id]).commit();
    }
  }

  /** Forgets keys that were left to this master, and are kept elsewhere. */
  async dropOffline(ids: Iterable<string>): Promise<void> {
    for (const id of ids) await this.#kv.delete(["offline_key", id]);
  }

  [Symbol.dispose](): void {
    this.#kv.close();
  }

  async #list(prefix: string): Promise<KeyRecord[]> {
    const records: KeyRecord[] = [];
    for await (const { value } of this.#kv.list<KeyRecord>({ prefix: [prefix] })) {
      records.push(value);
    }
    return records;
  }
}
