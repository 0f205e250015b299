import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { JsonValue } from "../../proto/json_exact.ts";
import { rpcMetaKey, segmentKey } from "../../proto/metadata/keys.ts";
import { formatRpcMeta, parseRpcMeta, type RpcMeta } from "../../proto/metadata/rpc_meta.ts";
import {
  formatSegmentDocument,
  parseSegmentDocument,
  type SegmentDocument,
} from "../../proto/metadata/segment_document.ts";
import { isFilesName } from "../../proto/metadata/segment_files.ts";
import { formatHostPort } from "./address.ts";
import type { FileDocuments, MetadataStore, PeerDocument } from "./metadata_store.ts";

/**
 * A service that keeps texts under keys. Every call rejects with `StoreError` `RPC_FAIL` when the
 * service cannot be asked, and with `Error` when it answers with a refusal.
 */
export interface MetadataKv {
  get(key: string): Promise<string | null>;
  /** Stores, in place of what is there. */
  put(key: string, text: string): Promise<void>;
  /** Stores unless another text is there; resolves with whether the key now holds `text`. */
  claim(key: string, text: string): Promise<boolean>;
  /** A key that is not there is no error. */
  delete(key: string): Promise<void>;
  /** Keys that begin with `prefix`, sorted. Rejects where the service cannot tell. */
  list(prefix: string): Promise<string[]>;
  close(): Promise<void>;
}

export interface KvMetadataOptions {
  kv: MetadataKv;
  /** Part of every key; empty = none. */
  clusterId: string;
  /** Whether somebody answers handshakes at an address. */
  probe: (host: string, port: number) => Promise<boolean>;
}

/** Documents in a key/value service, under the keys of the reference. */
export class KvMetadata implements MetadataStore {
  readonly #options: KvMetadataOptions;
  readonly #kv: MetadataKv;
  readonly files: FileDocuments = {
    publish: (document) => this.#publishFiles(document),
    withdraw: (name) => this.#withdrawFiles(name),
  };
  /** What we last stored, by key; the order is that of the stores. */
  #ours = new Map<string, string>();

  constructor(options: KvMetadataOptions) {
    this.#options = options;
    this.#kv = options.kv;
  }

  async publish(document: SegmentDocument, handshake: RpcMeta): Promise<void> {
    const metaKey = rpcMetaKey(document.name, this.#options);
    const meta = formatRpcMeta(handshake);
    if (this.#ours.get(metaKey) !== meta) {
      await this.#claim(document.name, metaKey, meta);
      this.#ours.set(metaKey, meta);
    }
    const key = segmentKey(document.name, this.#options);
    const text = formatSegmentDocument(document);
    this.#ours.set(key, text);
    await this.#kv.put(key, text);
  }

  async restore(): Promise<boolean> {
    let restored = false;
    for (const [key, text] of this.#ours) {
      if (await this.#kv.get(key) === text || this.#ours.get(key) !== text) continue;
      if (!await this.#kv.claim(key, text)) {
        await this.#kv.delete(key);
        await this.#kv.put(key, text);
      }
      restored = true;
    }
    return restored;
  }

  async withdraw(): Promise<void> {
    const ours = this.#ours;
    this.#ours = new Map();
    for (const [key, text] of ours) {
      if (await this.#kv.get(key) === text) await this.#kv.delete(key);
    }
  }

  async lookup(name: string): Promise<PeerDocument> {
    const text = await this.#kv.get(segmentKey(name, this.#options));
    if (text === null) {
      throw new Error(`The metadata server has no segment ${JSON.stringify(name)}`);
    }
    const document = parseSegmentDocument(text);
    if (document.files !== undefined) return { document: filesAt(name, document), dataHost: "" };
    if (document.tcpDataHost !== "") return { document, dataHost: document.tcpDataHost };
    return { document, dataHost: (await this.handshakeAddress(name)).host };
  }

  async handshakeAddress(name: string): Promise<RpcMeta> {
    const meta = await this.#kv.get(rpcMetaKey(name, this.#options));
    if (meta === null) throw new Error(`The metadata server has no host for segment ${name}`);
    return parseRpcMeta(meta);
  }

  handshakeAnswer(): JsonValue {
    return null;
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  async #publishFiles(document: SegmentDocument): Promise<void> {
    const key = segmentKey(document.name, this.#options);
    const text = formatSegmentDocument(document);
    while (!this.#ours.has(key)) {
      const other = await this.#kv.get(key);
      if (other === null) {
        if (!await this.#kv.claim(key, text)) continue;
      } else await this.#checkLeft(document, other);
      break;
    }
    this.#ours.set(key, text);
    await this.#kv.put(key, text);
  }

  async #withdrawFiles(name: string): Promise<void> {
    const key = segmentKey(name, this.#options);
    const text = this.#ours.get(key);
    if (text === undefined) return;
    this.#ours.delete(key);
    if (await this.#kv.get(key) === text) await this.#kv.delete(key);
  }

  /** Refuses a name whose files may still be somebody's. */
  async #checkLeft({ name, files }: SegmentDocument, other: string): Promise<void> {
    const owner = ownerOf(other);
    if (owner !== "" && owner === files?.owner) return;
    const meta = owner === "" ? null : await this.#kv.get(rpcMetaKey(owner, this.#options));
    if (meta !== null) {
      const { host, port } = parseRpcMeta(meta);
      if (!await this.#options.probe(host, port)) return;
    }
    throw new StoreError(
      ErrorCode.INVALID_PARAMS,
      `The name ${JSON.stringify(name)} is in use for files of ${owner || "somebody unknown"}`,
    );
  }

  /**
   * Stores where our handshakes are answered. Servers refuse to replace that of another process; it
   * is taken over when nobody answers there any more.
   */
  async #claim(name: string, key: string, text: string): Promise<void> {
    if (await this.#kv.claim(key, text)) return;
    const other = await this.#kv.get(key);
    if (other !== null) {
      const { host, port } = parseRpcMeta(other);
      if (await this.#options.probe(host, port)) {
        throw new StoreError(
          ErrorCode.INVALID_PARAMS,
          `The name ${JSON.stringify(name)} is in use by the process that answers at ` +
            formatHostPort(host, port),
        );
      }
      await this.#kv.delete(key);
    }
    await this.#kv.put(key, text);
  }
}

/** Memory of a peer does not become files of this host because somebody writes so. */
function filesAt(name: string, document: SegmentDocument): SegmentDocument {
  if (isFilesName(name)) return document;
  throw new Error(`The document of ${JSON.stringify(name)} names files, and its name does not`);
}

/** Who registered the files of a document; empty = that cannot be told. */
function ownerOf(text: string): string {
  try {
    return parseSegmentDocument(text).files?.owner ?? "";
  } catch {
    return "";
  }
}
