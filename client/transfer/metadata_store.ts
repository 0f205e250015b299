import type { JsonValue } from "../../proto/json_exact.ts";
import type { RpcMeta } from "../../proto/metadata/rpc_meta.ts";
import {
  type SegmentDocument,
  segmentDocumentJson,
} from "../../proto/metadata/segment_document.ts";
import { parseHostPort } from "./address.ts";
import { type HandshakeOptions, requestDocument } from "./handshake_client.ts";

/** A peer's document with the host at which its data port is reached. */
export interface PeerDocument {
  document: SegmentDocument;
  dataHost: string;
}

/** Documents of segments that are files, beside that of this process. */
export interface FileDocuments {
  /**
   * Makes one known, in place of an earlier one of ours. Rejects as {@linkcode MetadataStore.publish},
   * also when the name belongs to files of somebody who is not known to have ended.
   */
  publish(document: SegmentDocument): Promise<void>;
  /** Takes one of ours away. */
  withdraw(name: string): Promise<void>;
}

/** Where the documents of a cluster's transfer endpoints live. */
export interface MetadataStore {
  /** Absent where nothing keeps them; {@linkcode withdraw} takes them away, too. */
  readonly files?: FileDocuments;

  /**
   * Makes our documents known, in place of those of the last call. Rejects with `StoreError`,
   * `INVALID_PARAMS` when the name belongs to another living process and `RPC_FAIL` when nobody can
   * be asked, and with `Error` when the documents are refused.
   */
  publish(document: SegmentDocument, handshake: RpcMeta): Promise<void>;

  /**
   * Puts our documents back when somebody replaced or deleted them, and resolves with whether that
   * was so.
   */
  restore(): Promise<boolean>;

  /** Takes our documents away. */
  withdraw(): Promise<void>;

  /** Finds the document of a peer. Rejects with `Error` when there is none. */
  lookup(name: string): Promise<PeerDocument>;

  /** Finds where a peer answers handshakes. Rejects with `Error` when that is not known. */
  handshakeAddress(name: string): Promise<RpcMeta>;

  /** What we answer when a peer asks us for our document; `null` when it is to look elsewhere. */
  handshakeAnswer(): JsonValue;

  /** Gives connections to a service up; nothing is asked afterwards. */
  close(): Promise<void>;
}

/** Without a service: every node answers for itself, and its name is its handshake address. */
export class P2pMetadata implements MetadataStore {
  readonly #handshake: HandshakeOptions;
  #published: JsonValue = null;

  constructor(handshake: HandshakeOptions) {
    this.#handshake = handshake;
  }

  publish(document: SegmentDocument): Promise<void> {
    this.#published = segmentDocumentJson(document);
    return Promise.resolve();
  }

  restore(): Promise<boolean> {
    return Promise.resolve(false);
  }

  withdraw(): Promise<void> {
    this.#published = null;
    return Promise.resolve();
  }

  // deno-lint-ignore require-await -- other stores have to ask
  async handshakeAddress(name: string): Promise<RpcMeta> {
    const address = parseHostPort(name);
    if (address === null || address.port === null) {
      throw new Error(`${JSON.stringify(name)} is no handshake address of the form host:port`);
    }
    return { host: address.host, port: address.port };
  }

  async lookup(name: string): Promise<PeerDocument> {
    const address = await this.handshakeAddress(name);
    const document = await requestDocument(address.host, address.port, this.#handshake);
    if (document === null) {
      throw new Error(`${name} answers no document: it publishes its memory elsewhere`);
    }
    if (document.files !== undefined) throw new Error(`${name} answers with files, not memory`);
    return { document, dataHost: document.tcpDataHost || address.host };
  }

  handshakeAnswer(): JsonValue {
    return this.#published;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
