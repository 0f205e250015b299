/** The part of etcd's v3 API that elections and the log use, over npm `etcd3`. */
import { Buffer } from "node:buffer";
import type { Etcd3, IOptions } from "etcd3";
import { EngineError, LogRefusal } from "./fact_log.ts";

/** How etcd is reached. */
export interface EtcdOptions {
  /** `host:port`, with `http://` or `https://` in front if need be. */
  endpoints: readonly string[];
  /** PEM texts; `null` = plain connections, or the system's authorities with `https://`. */
  tls: { ca: string; cert: string; key: string } | null;
  auth: { user: string; password: string } | null;
  /** For one call. */
  timeoutMs: number;
}

/** One key and its value. */
export interface EtcdEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
}

/** A change that a watch tells; `value` is `null` when the key was deleted. */
export interface EtcdEvent {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** Receives what a watch tells. */
export interface WatchSink {
  events(events: EtcdEvent[], revision: number): void;
  /** The watch is over: the stream broke, or its revision was compacted. */
  ended(why: string): void;
}

type Bytes = Uint8Array | string;
/** A condition of a transaction. */
export type EtcdCompare = { key: string; createRevision: number };
/** A step of a transaction. */
export type EtcdStep =
  | { put: string; value: Bytes; lease?: string }
  | { delete: string; end?: string }
  | { get: string };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Largest value of one key that fits a request of etcd's default size with room to spare. */
export const MAX_VALUE_BYTES = 1 << 20;

/** The first key behind those that begin with `prefix`. */
export function prefixEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}

/** One connection to etcd. Calls reject with `EngineError`, or `LogRefusal` where etcd refuses. */
export class EtcdClient {
  readonly #etcd: Etcd3;
  readonly #timeoutMs: number;

  private constructor(etcd: Etcd3, timeoutMs: number) {
    this.#etcd = etcd;
    this.#timeoutMs = timeoutMs;
  }

  /** Loads the library; connects with the first call. */
  static async open(options: EtcdOptions): Promise<EtcdClient> {
    const { Etcd3, Policy } = await loadEtcd();
    const { endpoints, tls, auth, timeoutMs } = options;
    const scheme = tls === null ? "http://" : "https://";
    const hosts = endpoints.map((host) => host.includes("://") ? host : scheme + host);
    const settings: IOptions = {
      hosts,
      ...(tls !== null && { credentials: credentialsOf(tls) }),
      ...(auth !== null && { auth: { username: auth.user, password: auth.password } }),
      dialTimeout: timeoutMs,
      faultHandling: { host: () => Policy.noop, global: Policy.eachOnce(endpoints.length) },
      grpcOptions: {
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 500,
        "grpc.keepalive_time_ms": 10_000,
        "grpc.keepalive_timeout_ms": 2000,
      },
    };
    return new EtcdClient(new Etcd3(settings), timeoutMs);
  }

  /** Entries of a key, or of `[key, end)` by key, at most `limit`, and the revision they are of. */
  async range(
    key: string,
    end: string | null = null,
    limit = 0,
  ): Promise<{ entries: EtcdEntry[]; more: boolean; revision: number }> {
    const request = {
      key: bytesOf(key),
      ...(end !== null && { range_end: bytesOf(end) }),
      ...{ limit: limit as never, sort_order: "Ascend" as const, sort_target: "Key" as const },
    };
    const answer = await this.#call(this.#etcd.kv.range(request, this.#deadline()));
    return {
      entries: answer.kvs.map(entryOf),
      more: answer.more,
      revision: Number(answer.header.revision),
    };
  }

  /** Does `steps` at once if every condition holds, and `otherwise` if not. */
  async transact(
    conditions: readonly EtcdCompare[],
    steps: readonly EtcdStep[],
    otherwise: readonly EtcdStep[] = [],
  ): Promise<{ succeeded: boolean; revision: number; read: EtcdEntry[] }> {
    const answer = await this.#call(this.#etcd.kv.txn({
      compare: conditions.map(({ key, createRevision }) => ({
        result: "Equal" as const,
        target: "Create" as const,
        key: bytesOf(key),
        create_revision: String(createRevision),
      })),
      success: steps.map(requestOf) as never,
      failure: otherwise.map(requestOf) as never,
    }, this.#deadline()));
    const read = answer.responses.flatMap((response) =>
      (response.response_range?.kvs ?? []).map(entryOf)
    );
    return { succeeded: answer.succeeded, revision: Number(answer.header.revision), read };
  }

  /** Drops the history up to a revision. */
  async compact(revision: number): Promise<void> {
    await this.#call(this.#etcd.kv.compact({ revision: String(revision) }, this.#deadline()));
  }

  /** A lease of so many seconds; its id. */
  async grantLease(seconds: number): Promise<string> {
    const answer = await this.#call(
      this.#etcd.leaseClient.leaseGrant({ TTL: String(seconds) }, this.#deadline()),
    );
    return answer.ID;
  }

  /** Begins a lease anew; whether it still lived. */
  async keepAlive(lease: string): Promise<boolean> {
    const stream = await this.#call(this.#etcd.leaseClient.leaseKeepAlive(this.#deadline()));
    const answer = new Promise<boolean>((resolve, reject) => {
      stream.on("data", ({ TTL }: { TTL: string }) => resolve(Number(TTL) > 0));
      stream.on("error", reject);
      stream.on("end", () => reject(new Error("the stream ended")));
    });
    stream.write({ ID: lease });
    try {
      return await this.#call(answer);
    } finally {
      stream.on("error", () => {});
      stream.cancel();
    }
  }

  /** Ends a lease and deletes its keys. */
  async revokeLease(lease: string): Promise<void> {
    await this.#call(this.#etcd.leaseClient.leaseRevoke({ ID: lease }, this.#deadline()));
  }

  /** Tells the changes of `[key, end)` from a revision on; the returned function ends that. */
  watch(key: string, end: string | null, revision: number, sink: WatchSink): () => void {
    let cancel = () => {};
    let over = false;
    const finish = (why: string) => {
      if (over) return;
      over = true;
      cancel();
      sink.ended(why);
    };
    this.#etcd.watchClient.watch().then((stream) => {
      cancel = () => stream.cancel();
      if (over) return cancel();
      stream.on("error", (error: Error) => finish(error.message));
      stream.on("end", () => finish("the stream ended"));
      stream.on("data", (answer) => {
        if (over) return;
        if (answer.canceled) {
          const compacted = Number(answer.compact_revision) > 0;
          return finish(compacted ? "the history was compacted" : answer.cancel_reason);
        }
        if (answer.events.length === 0) return;
        const events = answer.events.map(({ type, kv }): EtcdEvent => ({
          key: decoder.decode(kv.key),
          value: type === "Delete" ? null : kv.value,
        }));
        sink.events(events, Number(answer.header.revision));
      });
      stream.write({
        create_request: {
          key: bytesOf(key),
          range_end: bytesOf(end ?? ""),
          start_revision: String(revision),
          filters: [],
        } as never,
      });
    }, (error: Error) => finish(error.message));
    return () => {
      over = true;
      cancel();
    };
  }

  close(): void {
    this.#etcd.close();
  }

  #deadline() {
    return { deadline: Date.now() + this.#timeoutMs };
  }

  async #call<T>(promise: Promise<T>): Promise<T> {
    try {
      return await promise;
    } catch (error) {
      throw translated(error);
    }
  }
}

async function loadEtcd() {
  const [{ Etcd3, isRecoverableError }, { ConstantBackoff, handleWhen, noop, retry }] =
    await Promise.all([import("etcd3"), import("cockatiel")]);
  const eachOnce = (hosts: number) =>
    retry(handleWhen(isRecoverableError), {
      maxAttempts: hosts - 1,
      backoff: new ConstantBackoff(0),
    });
  return { Etcd3, Policy: { noop, eachOnce } };
}

function credentialsOf({ ca, cert, key }: NonNullable<EtcdOptions["tls"]>) {
  const pem = (text: string) => Buffer.from(text);
  return {
    rootCertificate: pem(ca),
    ...(cert !== "" && { certChain: pem(cert), privateKey: pem(key) }),
  };
}

/** Errors of the library and of etcd as ours. */
function translated(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const plain = message.replace(/^\d+ [A-Z_]+: /, "");
  const refused = /database space exceeded|permission denied|request is too large|auth/i;
  return refused.test(message)
    ? new LogRefusal(`etcd refuses: ${plain}`)
    : new EngineError(`etcd: ${plain}`);
}

// deno-lint-ignore no-explicit-any
type WireEntry = { key: any; value: any; create_revision: string; mod_revision: string };

function entryOf({ key, value, create_revision, mod_revision }: WireEntry): EtcdEntry {
  return {
    key: decoder.decode(key),
    value,
    createRevision: Number(create_revision),
    modRevision: Number(mod_revision),
  };
}

function requestOf(step: EtcdStep) {
  if ("put" in step) {
    const lease = step.lease === undefined ? {} : { lease: step.lease };
    return { request_put: { key: bytesOf(step.put), value: bytesOf(step.value), ...lease } };
  }
  if ("get" in step) return { request_range: { key: bytesOf(step.get) } };
  const end = step.end === undefined ? {} : { range_end: bytesOf(step.end) };
  return { request_delete_range: { key: bytesOf(step.delete), ...end } };
}

/** The library types its bytes as `Buffer` and takes any `Uint8Array`. */
// deno-lint-ignore no-explicit-any
function bytesOf(value: Bytes): any {
  return typeof value === "string" ? encoder.encode(value) : value;
}
