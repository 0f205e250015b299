/**
 * The values of the HTTP metadata server: small documents by key, in memory.
 *
 * A key that contains `rpc_meta` says where the node of that name listens. While that node answers,
 * nobody else may take its name; once it does not, its successor may.
 */

import type { Document, DocumentKeeper } from "./document_table.ts";

/** Keys and values are bounded, because anybody may write. Bytes. */
export interface MetadataLimits {
  maxKeys: number;
  maxKeyBytes: number;
  maxValueBytes: number;
  /** Keys and values together. */
  maxTotalBytes: number;
}

export const DEFAULT_METADATA_LIMITS: MetadataLimits = {
  maxKeys: 100_000,
  maxKeyBytes: 4096,
  maxValueBytes: 1 << 20,
  maxTotalBytes: 256 << 20,
};

/** What became of a put. */
export type PutOutcome =
  | "updated"
  | "unchanged"
  | "name in use"
  | "key too long"
  | "value too large"
  | "too many keys"
  | "full"
  /** It is stored, but will not outlive the master. */
  | "not kept";

/** Whether a node answers at an address. Never rejects. */
export type Probe = (host: string, port: number) => Promise<boolean>;

const MAX_PROBES = 16;

/** What a store does with its documents so that they outlive the process; by default nothing. */
const forgetful: DocumentKeeper = { set: async () => {}, delete: async () => {} };

export class MetadataStore {
  readonly limits: MetadataLimits;
  readonly #probe: Probe;
  #keeper = forgetful;
  /** Whether changes come back through `take` once they are kept. */
  #shared = false;
  readonly #values = new Map<string, Document>();
  /** The last put of a name that has not ended, in a cluster. */
  readonly #turns = new Map<string, Promise<PutOutcome>>();
  #totalBytes = 0;
  #probes = 0;

  constructor(probe: Probe, limits: MetadataLimits = DEFAULT_METADATA_LIMITS) {
    this.#probe = probe;
    this.limits = limits;
  }

  /** Documents held. */
  get size(): number {
    return this.#values.size;
  }

  /** Bytes of keys and values. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  get(key: Uint8Array): Document | null {
    return this.#values.get(textOf(key)) ?? null;
  }

  /** Keys that begin with `prefix`, in order, as texts. */
  keys(prefix: Uint8Array): string[] {
    const start = textOf(prefix);
    const found = [...this.#values.keys()].filter((key) => key.startsWith(start));
    return found.sort().map((key) => new TextDecoder().decode(bytesOf(key)));
  }

  /** From now on `keeper` is told of every change. */
  keepWith(keeper: DocumentKeeper): void {
    this.#keeper = keeper;
  }

  /**
   * From now on the documents are those of a cluster: a change is asked of `keeper`, and is made when
   * it comes back through {@linkcode MetadataStore.take}.
   */
  shareThrough(keeper: DocumentKeeper): void {
    this.#keeper = keeper;
    this.#shared = true;
  }

  /** Makes a change that the cluster has kept; `null` = the document is gone. */
  take(key: Uint8Array, value: Document | null): void {
    if (value === null) this.#remove(textOf(key));
    else this.#store(textOf(key), value);
  }

  /** Takes in a document from an earlier life, if there is room. */
  restore(key: Uint8Array, value: Document): void {
    if (this.#room(textOf(key), value) === "updated") this.#store(textOf(key), value);
  }

  /**
   * Stores a value; keeps `value` itself. Waits for the probe of a name's present owner, and until
   * the document will outlive the process. Rejects with what the keeper of a cluster says.
   */
  put(key: Uint8Array, value: Document): Promise<PutOutcome> {
    const put = () => this.#put(key, value);
    if (!this.#shared) return put();
    // A change is seen when it comes back: the next put of that name must not decide before.
    const name = textOf(key);
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(put, put);
    this.#turns.set(name, turn);
    const over = () => {
      if (this.#turns.get(name) === turn) this.#turns.delete(name);
    };
    turn.then(over, over);
    return turn;
  }

  async #put(key: Uint8Array, value: Document): Promise<PutOutcome> {
    const { maxKeyBytes, maxValueBytes } = this.limits;
    if (key.length > maxKeyBytes) return "key too long";
    if (value.length > maxValueBytes) return "value too large";
    const name = textOf(key);
    if (name.includes("rpc_meta")) {
      let old = this.#values.get(name);
      while (old !== undefined) {
        if (equal(old, value)) return "unchanged";
        if (await this.#answers(old, value)) return "name in use";
        const now = this.#values.get(name);
        if (now === old) break;
        old = now;
      }
    }
    const outcome = this.#room(name, value);
    if (outcome !== "updated") return outcome;
    if (this.#shared) {
      await this.#keeper.set(key, value);
      return outcome;
    }
    this.#store(name, value);
    try {
      await this.#keeper.set(key, value);
      return outcome;
    } catch {
      return "not kept";
    }
  }

  /**
   * Deletes a document. Returns whether there was one; rejects when that is so for this life of the
   * process only, or with what the keeper of a cluster says.
   */
  async delete(key: Uint8Array): Promise<boolean> {
    const name = textOf(key);
    if (this.#shared ? !this.#values.has(name) : !this.#remove(name)) return false;
    await this.#keeper.delete(key);
    return true;
  }

  /** Deletes what a node publishes for the segment `name`. Returns how many documents there were. */
  forgetSegment(name: string): number {
    const text = textOf(new TextEncoder().encode(name));
    const keys = [`mooncake/ram/${text}`, `mooncake/rpc_meta/${text}`];
    if (text.includes("/")) keys.push(`mooncake/${text}`);
    const removed = keys.filter((key) => this.#shared ? this.#values.has(key) : this.#remove(key));
    for (const key of removed) this.#keeper.delete(bytesOf(key)).catch(() => {});
    return removed.length;
  }

  /** "updated" when there is room for a document, else what there is too much of. */
  #room(name: string, value: Document): PutOutcome {
    const isNew = !this.#values.has(name);
    if (isNew && this.#values.size >= this.limits.maxKeys) return "too many keys";
    const bytes = this.#totalBytes + this.#growth(name, value);
    return bytes > this.limits.maxTotalBytes ? "full" : "updated";
  }

  #store(name: string, value: Document): void {
    this.#totalBytes += this.#growth(name, value);
    this.#values.set(name, value);
  }

  #growth(name: string, value: Document): number {
    return value.length - (this.#values.get(name)?.length ?? -name.length);
  }

  #remove(name: string): boolean {
    const old = this.#values.get(name);
    if (old === undefined) return false;
    this.#totalBytes -= name.length + old.length;
    return this.#values.delete(name);
  }

  /** Whether the owner named in `old` is there and is not the one named in `value`. */
  async #answers(old: Uint8Array, value: Uint8Array): Promise<boolean> {
    const owner = addressIn(old);
    if (owner === null) return false;
    const successor = addressIn(value);
    if (successor?.host === owner.host && successor.port === owner.port) return false;
    if (this.#probes >= MAX_PROBES) return true;
    this.#probes++;
    try {
      return await this.#probe(owner.host, owner.port);
    } finally {
      this.#probes--;
    }
  }
}

/** One character per byte, so that any key is a text. */
function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The address in an `rpc_meta` document: `{"ip_or_host_name": text, "rpc_port": number}`. */
function addressIn(document: Uint8Array): { host: string; port: number } | null {
  try {
    const parsed = JSON.parse(new TextDecoder().decode(document));
    const { ip_or_host_name: host, rpc_port: port } = parsed;
    if (typeof host !== "string" || host === "") return null;
    return Number.isInteger(port) && port > 0 && port < 65_536 ? { host, port } : null;
  } catch {
    return null;
  }
}
