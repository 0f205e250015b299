/// <reference lib="deno.unstable" />
import { createKey, type KeyRecord, type KeyWish } from "./api_key.ts";

/** Records of one commit; Deno KV takes a thousand changes. */
const MOST_AT_ONCE = 500;

/** Where keys outlive the process: `["api_key", id]` in a Deno KV database. */
export class KeyTable implements AsyncDisposable {
  readonly #kv: Deno.Kv;
  readonly #records = new Map<string, KeyRecord>();

  private constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  /** Opens a database, which is created if need be. */
  static async open(path: string): Promise<KeyTable> {
    const table = new KeyTable(await Deno.openKv(path));
    try {
      for await (const { value } of table.#kv.list<KeyRecord>({ prefix: ["api_key"] })) {
        table.#records.set(value.id, value);
      }
    } catch (error) {
      table.#kv.close();
      throw error;
    }
    return table;
  }

  /** All keys, those that have ended too. */
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
    await this.#kv.set(["api_key", record.id], record);
    this.#records.set(record.id, record);
  }

  /** Keeps records in place of those with their ids, all or none up to some hundred. */
  async setAll(records: readonly KeyRecord[]): Promise<void> {
    for (let at = 0; at < records.length; at += MOST_AT_ONCE) {
      const some = records.slice(at, at + MOST_AT_ONCE);
      const commit = this.#kv.atomic();
      for (const record of some) commit.set(["api_key", record.id], record);
      await commit.commit();
      for (const record of some) this.#records.set(record.id, record);
    }
  }

  /** Forgets a key. */
  async delete(id: string): Promise<void> {
    await this.#kv.delete(["api_key", id]);
    this.#records.delete(id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#kv.close();
    return Promise.resolve();
  }
}
