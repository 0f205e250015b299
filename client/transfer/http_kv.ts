import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { escapeKey } from "../../proto/metadata/keys.ts";
import type { Clock } from "./clock.ts";
import type { MetadataKv } from "./kv_metadata.ts";

export interface HttpKvOptions {
  /** Used as given; `?key=...` is appended. */
  url: string;
  clock: Clock;
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

/** Texts in a key/value service over HTTP, as the reference's masters offer it. */
export class HttpKv implements MetadataKv {
  readonly #options: HttpKvOptions;

  constructor(options: HttpKvOptions) {
    this.#options = options;
  }

  async get(key: string): Promise<string | null> {
    const { status, body } = await this.#request("GET", "key", key);
    if (status === 200) return body;
    if (status === 404) return null;
    throw new Error(`The metadata server answers ${status} to GET ${key}`);
  }

  async put(key: string, text: string): Promise<void> {
    const { status, body } = await this.#request("PUT", "key", key, text);
    if (status === 200) return;
    throw new Error(`The metadata server answers ${status} to PUT ${key}: ${body.slice(0, 200)}`);
  }

  async claim(key: string, text: string): Promise<boolean> {
    const { status, body } = await this.#request("PUT", "key", key, text);
    if (status === 200) return true;
    if (status === 400) return false;
    throw new Error(`The metadata server answers ${status} to PUT ${key}: ${body.slice(0, 200)}`);
  }

  async delete(key: string): Promise<void> {
    const { status } = await this.#request("DELETE", "key", key);
    if (status === 200 || status === 404) return;
    throw new Error(`The metadata server answers ${status} to DELETE ${key}`);
  }

  /** Our masters can tell; the reference's ask for a key. */
  async list(prefix: string): Promise<string[]> {
    const { status, body } = await this.#request("GET", "prefix", prefix);
    const keys: unknown = status === 200 ? JSON.parse(body) : null;
    if (Array.isArray(keys)) return keys.map(String);
    throw new Error(`The metadata server at ${this.#options.url} cannot list its keys`);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #request(method: string, parameter: string, value: string, body?: string): Promise<Reply> {
    const { url, clock, timeoutMs = 3000, connectTimeoutMs = 1500 } = this.#options;
    const send = url.toLowerCase().startsWith("https:") ? httpsRequest : httpRequest;
    const bytes = body === undefined ? null : new TextEncoder().encode(body);
    return new Promise((resolve, reject) => {
      const request = send(`${url}?${parameter}=${escapeKey(value)}`, {
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
