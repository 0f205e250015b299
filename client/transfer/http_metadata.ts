import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { JsonValue } from "../../proto/json_exact.ts";
import { escapeKey, rpcMetaKey, segmentKey } from "../../proto/metadata/keys.ts";
import { formatRpcMeta, parseRpcMeta, type RpcMeta } from "../../proto/metadata/rpc_meta.ts";
import {
  formatSegmentDocument,
  parseSegmentDocument,
  type SegmentDocument,
} from "../../proto/metadata/segment_document.ts";
import { formatHostPort } from "./address.ts";
import type { Clock } from "./clock.ts";
import type { MetadataStore, PeerDocument } from "./metadata_store.ts";

export interface HttpMetadataOptions {
  /** Used as given; `?key=...` is appended. */
  url: string;
  /** Part of every key; empty = none. */
  clusterId: string;
  clock: Clock;
  /** Whether somebody answers handshakes at an address. */
  probe: (host: string, port: number) => Promise<boolean>;
  /** Milliseconds for a whole request; default 3000. */
  timeoutMs?: number;
  /** Milliseconds until the connection must stand; default 1500. */
  connectTimeoutMs?: number;
}

interface Reply {
  status: number;
  body: string;
}

const MAX_REPLY_BYTES = 4 << 20;

/** Documents in a key/value service over HTTP, as the reference's masters offer it. */
export class HttpMetadata implements MetadataStore {
  readonly #options: HttpMetadataOptions;
  /** What we last stored, by key; the order is that of the stores. */
  #ours = new Map<string, string>();

  constructor(options: HttpMetadataOptions) {
    this.#options = options;
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
    await this.#put(key, text);
  }

  async restore(): Promise<boolean> {
    let restored = false;
    for (const [key, text] of this.#ours) {
      if (await this.#get(key) === text || this.#ours.get(key) !== text) continue;
      if (!await this.#tryPut(key, text)) {
        await this.#delete(key);
        await this.#put(key, text);
      }
      restored = true;
    }
    return restored;
  }

  async withdraw(): Promise<void> {
    const ours = this.#ours;
    this.#ours = new Map();
    for (const [key, text] of ours) {
      if (await this.#get(key) === text) await this.#delete(key);
    }
  }

  async lookup(name: string): Promise<PeerDocument> {
    const text = await this.#get(segmentKey(name, this.#options));
    if (text === null) {
      throw new Error(`The metadata server has no segment ${JSON.stringify(name)}`);
    }
    const document = parseSegmentDocument(text);
    if (document.tcpDataHost !== "") return { document, dataHost: document.tcpDataHost };
    return { document, dataHost: (await this.handshakeAddress(name)).host };
  }

  async handshakeAddress(name: string): Promise<RpcMeta> {
    const meta = await this.#get(rpcMetaKey(name, this.#options));
    if (meta === null) throw new Error(`The metadata server has no host for segment ${name}`);
    return parseRpcMeta(meta);
  }

  handshakeAnswer(): JsonValue {
    return null;
  }

  /**
   * Stores where our handshakes are answered. Servers refuse to replace that of another process; it
   * is taken over when nobody answers there any more.
   */
  async #claim(name: string, key: string, text: string): Promise<void> {
    if (await this.#tryPut(key, text)) return;
    const other = await this.#get(key);
    if (other !== null) {
      const { host, port } = parseRpcMeta(other);
      if (await this.#options.probe(host, port)) {
        throw new StoreError(
          ErrorCode.INVALID_PARAMS,
          `The name ${JSON.stringify(name)} is in use by the process that answers at ` +
            formatHostPort(host, port),
        );
      }
      await this.#delete(key);
    }
    await this.#put(key, text);
  }

  async #get(key: string): Promise<string | null> {
    const { status, body } = await this.#request("GET", key);
    if (status === 200) return body;
    if (status === 404) return null;
    throw new Error(`The metadata server answers ${status} to GET ${key}`);
  }

  async #put(key: string, text: string): Promise<void> {
    const { status, body } = await this.#request("PUT", key, text);
    if (status === 200) return;
    throw new Error(`The metadata server answers ${status} to PUT ${key}: ${body.slice(0, 200)}`);
  }

  async #tryPut(key: string, text: string): Promise<boolean> {
    const { status, body } = await this.#request("PUT", key, text);
    if (status === 200) return true;
    if (status === 400) return false;
    throw new Error(`The metadata server answers ${status} to PUT ${key}: ${body.slice(0, 200)}`);
  }

  async #delete(key: string): Promise<void> {
    const { status } = await this.#request("DELETE", key);
    if (status === 200 || status === 404) return;
    throw new Error(`The metadata server answers ${status} to DELETE ${key}`);
  }

  #request(method: string, key: string, body?: string): Promise<Reply> {
    const { url, clock, timeoutMs = 3000, connectTimeoutMs = 1500 } = this.#options;
    const send = url.toLowerCase().startsWith("https:") ? httpsRequest : httpRequest;
    const bytes = body === undefined ? null : new TextEncoder().encode(body);
    return new Promise((resolve, reject) => {
      const request = send(`${url}?key=${escapeKey(key)}`, {
        method,
        agent: false,
        headers: bytes === null
          ? {}
          : { "content-type": "application/json", "content-length": bytes.length },
      });
      const fail = (why: string) => {
        settle();
        request.destroy();
        const message = `The metadata server at ${url} cannot be asked: ${why}`;
        reject(new StoreError(ErrorCode.RPC_FAIL, message));
      };
      const stopConnect = clock.after(
        connectTimeoutMs,
        () => fail(`no connection within ${connectTimeoutMs} ms`),
      );
      const stopWhole = clock.after(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
      const settle = () => {
        stopConnect();
        stopWhole();
      };
      request.on("socket", (socket) => {
        if (socket.connecting) socket.once("connect", stopConnect);
        else stopConnect();
      });
      request.on("error", (error) => fail(error.message));
      request.on("response", (response) => {
        readBody(response).then((text) => {
          settle();
          resolve({ status: response.statusCode ?? 0, body: text });
        }, (error) => fail(error.message));
      });
      request.end(bytes ?? undefined);
    });
  }
}

function readBody(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder();
    let text = "";
    response.on("data", (chunk: Uint8Array) => {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > MAX_REPLY_BYTES) {
        reject(new Error(`the answer is above ${MAX_REPLY_BYTES} bytes`));
      }
    });
    response.on("end", () => resolve(text));
    response.on("aborted", () => reject(new Error("the answer ended early")));
    response.on("error", reject);
  });
}
