/// <reference lib="deno.unstable" />
/**
 * The HTTP metadata documents in a Deno KV database.
 *
 * ```
 * ["document", id]                  { key, version, parts }; id = SHA-256 of the key, in hex
 * ["part", id, version, number]     bytes, at most 60 KiB
 * ```
 *
 * A value holds at most 64 KiB and a commit 800 KiB, so a document lies in parts of its own version;
 * the entry that names the version is written after them, and parts that no entry names are nobody's.
 */
import { Buffer } from "node:buffer";

const PART_BYTES = 60 * 1024;
const PARTS_PER_COMMIT = 12;
const DELETIONS_PER_COMMIT = 500;
/** Each after one more replacement by the owner. */
const READ_ATTEMPTS = 20;

interface Entry {
  key: Uint8Array;
  version: number;
  parts: number;
}

/** A stored document. */
export type Document = Uint8Array<ArrayBuffer>;

/** Where documents outlive the process. Changes of one document are made in the order of the calls. */
export interface DocumentKeeper {
  set(key: Uint8Array, value: Document): Promise<void>;
  delete(key: Uint8Array): Promise<void>;
}

/** Owns one database. */
export class DocumentTable implements DocumentKeeper, AsyncDisposable {
  readonly #kv: Deno.Kv;
  readonly #versions = new Map<string, Entry>();
  #nextVersion = 1;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  /** Whether this Deno was started with its database; without it nothing can be opened. */
  static get isAvailable(): boolean {
    return Deno.openKv !== undefined;
  }

  /** Opens a database, which is created if need be, and reads its documents into `each`. */
  static async open(
    path: string,
    each: (key: Uint8Array, value: Document) => void,
  ): Promise<DocumentTable> {
    const table = new DocumentTable(await Deno.openKv(path));
    try {
      await table.#load(each);
    } catch (error) {
      table.#kv.close();
      throw error;
    }
    return table;
  }

  set(key: Uint8Array, value: Document): Promise<void> {
    return this.#inTurn(async () => {
      const id = await idOf(key);
      const old = this.#versions.get(id);
      const version = this.#nextVersion++;
      const parts = Math.ceil(value.length / PART_BYTES);
      const entry = { key: key.slice(), version, parts };
      let commit = this.#kv.atomic();
      for (let i = 0; i < parts; i++) {
        if (i > 0 && i % PARTS_PER_COMMIT === 0) {
          await commit.commit();
          commit = this.#kv.atomic();
        }
        const part = value.slice(i * PART_BYTES, (i + 1) * PART_BYTES);
        commit.set(["part", id, version, i], part);
      }
      await commit.set(["document", id], entry).commit();
      this.#versions.set(id, entry);
      if (old !== undefined) await this.#deleteParts(id, old);
    });
  }

  delete(key: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const id = await idOf(key);
      const old = this.#versions.get(id);
      if (old === undefined) return;
      await this.#kv.delete(["document", id]);
      this.#versions.delete(id);
      await this.#deleteParts(id, old);
    });
  }

  /** Waits for what has been asked for. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    this.#kv.close();
  }

  async #load(each: (key: Uint8Array, value: Document) => void): Promise<void> {
    for await (const { key, value } of this.#kv.list<Entry>({ prefix: ["document"] })) {
      this.#versions.set(key[1] as string, value);
      this.#nextVersion = Math.max(this.#nextVersion, value.version + 1);
    }
    const orphans: Deno.KvKey[] = [];
    let collected: Uint8Array[] = [];
    for await (const { key, value } of this.#kv.list<Uint8Array>({ prefix: ["part"] })) {
      const [, id, version, number] = key as [string, string, number, number];
      const entry = this.#versions.get(id);
      this.#nextVersion = Math.max(this.#nextVersion, version + 1);
      if (entry?.version !== version) {
        orphans.push(key);
        continue;
      }
      collected[number] = value;
      if (number !== entry.parts - 1) continue;
      each(entry.key, new Uint8Array(Buffer.concat(collected)));
      collected = [];
    }
    for (const { key, parts } of this.#versions.values()) {
      if (parts === 0) each(key, new Uint8Array(0));
    }
    for (let i = 0; i < orphans.length; i += DELETIONS_PER_COMMIT) {
      const commit = this.#kv.atomic();
      for (const key of orphans.slice(i, i + DELETIONS_PER_COMMIT)) commit.delete(key);
      await commit.commit();
    }
  }

  async #deleteParts(id: string, { version, parts }: Entry): Promise<void> {
    const commit = this.#kv.atomic();
    for (let i = 0; i < parts; i++) commit.delete(["part", id, version, i]);
    await commit.commit();
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(change);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/**
 * The documents of a database that somebody else may be changing: each as it was at some moment. The
 * database is only read.
 */
export async function readDocuments(
  path: string,
): Promise<{ key: Uint8Array; value: Uint8Array }[]> {
  const kv = await Deno.openKv(path);
  try {
    const documents = [];
    for await (const { key: [, id] } of kv.list<Entry>({ prefix: ["document"] })) {
      const document = await readDocument(kv, id as string);
      if (document !== null) documents.push(document);
    }
    return documents;
  } finally {
    kv.close();
  }
}

/** `null` when it was deleted, or is replaced faster than it can be read. */
async function readDocument(
  kv: Deno.Kv,
  id: string,
): Promise<{ key: Uint8Array; value: Uint8Array } | null> {
  for (let left = READ_ATTEMPTS; left > 0; left--) {
    const { value: entry } = await kv.get<Entry>(["document", id]);
    if (entry === null) return null;
    const parts: Uint8Array[] = [];
    for (let i = 0; i < entry.parts; i++) {
      const { value } = await kv.get<Uint8Array>(["part", id, entry.version, i]);
      if (value !== null) parts.push(value);
    }
    if (parts.length === entry.parts) {
      return { key: entry.key, value: new Uint8Array(Buffer.concat(parts)) };
    }
  }
  return null;
}

async function idOf(key: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", key.slice());
  return Buffer.from(digest).toString("hex");
}
