/**
 * The values of the HTTP metadata server: small documents by key, in memory.
 *
 * A key that contains `rpc_meta` says where the node of that name listens. While that node answers,
 * nobody else may take its name; once it does not, its successor may.
 */

import type { DocumentKeeper } from "./document_table.ts";

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

/** A stored document. */
export type Document = Uint8Array<ArrayBuffer>;

/** What a store does with its documents so that they outlive the process; by default nothing. */
const forgetful: DocumentKeeper = { set: async () => {}, delete: async () => {} };

export class MetadataStore {
  readonly limits: MetadataLimits;
  readonly #probe: Probe;
  #keeper = forgetful;
  readonly #values = new Map<string, Document>();
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

  /** Takes in a document from an earlier life, if there is room. */
  restore(key: Uint8Array, value: Document): void {
    this.#set(textOf(key), value);
  }

  /**
   * Stores a value; keeps `value` itself. Waits for the probe of a name's present owner, and until
   * the document will outlive the process.
   */
  async put(key: Uint8Array, value: Document): Promise<PutOutcome> {
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
    const outcome = this.#set(name, value);
    if (outcome !== "updated") return outcome;
    try {
      await this.#keeper.set(key, value);
      return outcome;
    } catch {
      return "not kept";
    }
  }

  /**
   * Deletes a document. Returns whether there was one; rejects when that is so for this life of the
   * process only.
   */
  async delete(key: Uint8Array): Promise<boolean> {
    if (!this.#remove(textOf(key))) return false;
    await this.#keeper.delete(key);
    return true;
  }

  /** Deletes what a node publishes for the segment `name`. Returns how many documents there were. */
  forgetSegment(name: string): number {
    const text = textOf(new TextEncoder().encode(name));
    const keys = [`mooncake/ram/${text}`, `mooncake/rpc_meta/${text}`];
    if (text.includes("/")) keys.push(`mooncake/${text}`);
    const removed = keys.filter((key) => this.#remove(key));
    for (const key of removed) this.#keeper.delete(bytesOf(key)).catch(() => {});
    return removed.length;
  }

  #set(name: string, value: Document): PutOutcome {
    const old = this.#values.get(name);
    const grown = value.length - (old?.length ?? -name.length);
    if (old === undefined && this.#values.size >= this.limits.maxKeys) return "too many keys";
    if (this.#totalBytes + grown > this.limits.maxTotalBytes) return "full";
    this.#values.set(name, value);
    this.#totalBytes += grown;
    return "updated";
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
