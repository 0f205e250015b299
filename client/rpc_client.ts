import { beginRequest, endRequest, readTransportError } from "../proto/coro_rpc/header.ts";
import { ResponseSplitter } from "../proto/coro_rpc/splitter.ts";
import { appendWriteId, WRITE_ID_BYTES } from "../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Rpc } from "../proto/messages.ts";
import { Reader } from "../proto/struct_pack/reader.ts";
import { Writer } from "../proto/struct_pack/writer.ts";
import type { Connect, Connection } from "./connection/connection.ts";
import { connectSocket } from "./connection/socket_connection.ts";
import { formatHostPort } from "./transfer/address.ts";
import type { Clock } from "./transfer/clock.ts";
import { SETTLED } from "./transfer/settled.ts";

const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 1000;
const SPARE_WRITERS = 4;
const WITH_LITERAL = { literal: true };

export interface RpcClientOptions {
  host: string;
  port: number;
  clock: Clock;
  /** Milliseconds that a call waits for a connection, over as many attempts as fit; default 1000. */
  connectTimeoutMs?: number;
  /** Milliseconds from sending a call to its answer; default 5000. */
  requestTimeoutMs?: number;
  /** Makes connections; default through `node:net`. */
  connect?: Connect;
}

/**
 * What is known of a call that failed: it never left, it left and nobody answered, or the server
 * answered that it does not serve it.
 */
export type CallFate = "unsent" | "unanswered" | "refused";

/** A call that failed as such; see {@linkcode RpcClient}. */
export class CallError extends StoreError {
  constructor(
    code: ErrorCode,
    message: string,
    readonly fate: CallFate,
    options?: ErrorOptions,
    /** The error of the transport that a server has answered, 0 = none. */
    readonly transportCode = 0,
  ) {
    super(code, message, options);
  }
}

type State = "idle" | "connecting" | "backoff" | "open" | "closed";

/** A call that has not been answered. While there is no connection, `frame` waits to be sent. */
interface PendingCall {
  rpc: Rpc<unknown, unknown>;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  deadlineMs: number;
  frame: Uint8Array | null;
}

/**
 * A look at overdue calls that comes so late says that this process was held up, not the server: what
 * has arrived meanwhile is read first, for as long again.
 */
const HELD_UP_MS = 100;

/**
 * Calls the procedures of one coro_rpc server over one connection, which is opened by the first
 * call and opened again after it was lost. Calls are pipelined: any number may be in flight, and
 * those made in one turn of the event loop leave in one write.
 *
 * A call rejects with `StoreError`: `RPC_TIMEOUT` when no answer came in time, `RPC_FAIL` when there
 * was no connection, it was lost, or the server refused the call. After `RPC_TIMEOUT`, and after a
 * lost connection, the server may or may not have done what was asked; nothing is sent twice.
 * Arguments that cannot be encoded reject with `RangeError` or `TypeError` and send nothing.
 */
export class RpcClient implements AsyncDisposable {
  /** `host:port` of the server, as errors name it. */
  readonly address: string;

  readonly #options: RpcClientOptions;
  readonly #clock: Clock;
  readonly #connectTimeoutMs: number;
  readonly #requestTimeoutMs: number;
  readonly #reader = new Reader();
  /** By sequence number; every entry is due no earlier than the one before it. */
  readonly #pending = new Map<number, PendingCall>();
  readonly #spareWriters: Writer[] = [];
  #writer = new Writer();
  #splitter = new ResponseSplitter();
  #state: State = "idle";
  #connection: Connection | null = null;
  #nextSeq = 0;
  #flushQueued = false;
  #lastReceivedMs = 0;
  #backoffMs = FIRST_BACKOFF_MS;
  /** Whether the server has answered on this connection. */
  #answered = false;
  #lastError: Error | null = null;
  #cancelAttempt: () => void = () => {};
  #cancelSweep: () => void = () => {};
  #sweepAtMs = Infinity;

  constructor(options: RpcClientOptions) {
    this.address = formatHostPort(options.host, options.port);
    this.#options = options;
    this.#clock = options.clock;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 1000;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 5000;
  }

  /** Whether calls can leave at once. */
  get connected(): boolean {
    return this.#state === "open";
  }

  /**
   * Calls a procedure; `null` is the request of one without arguments. `writeId` is the number of the
   * write that the call is about, 0 = none.
   */
  call<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    writeId = 0,
  ): Promise<Response> {
    if (this.#state === "closed") {
      return Promise.reject(this.#failure(rpc, "unsent", "this client is closed"));
    }
    const seq = this.#nextSeq;
    this.#nextSeq = (seq + 1) >>> 0;
    const writer = this.#writer;
    const start = beginRequest(writer, seq, rpc.functionId);
    try {
      rpc.request?.encode(writer, request, WITH_LITERAL);
    } catch (error) {
      writer.truncate(start);
      return Promise.reject(error);
    }
    if (writeId !== 0) appendWriteId(writer, writeId);
    endRequest(writer, start, writeId === 0 ? 0 : WRITE_ID_BYTES);
    return new Promise<Response>((resolve, reject) => {
      this.#enqueue(seq, start, {
        rpc: rpc as Rpc<unknown, unknown>,
        resolve: resolve as (value: unknown) => void,
        reject,
        deadlineMs: 0,
        frame: null,
      });
    });
  }

  /** Fails what is in flight with `RPC_FAIL` and gives the connection up. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    const connection = this.#connection;
    this.#detach("closed");
    this.#cancelSweep();
    this.#rejectAll("this client was closed");
    await connection?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #enqueue(seq: number, start: number, call: PendingCall): void {
    const nowMs = this.#clock.now();
    if (this.#state === "open") {
      call.deadlineMs = nowMs + this.#requestTimeoutMs;
      this.#queueFlush();
    } else {
      call.deadlineMs = nowMs + this.#connectTimeoutMs;
      call.frame = this.#writer.bytes.slice(start);
      this.#writer.truncate(start);
    }
    this.#pending.set(seq, call);
    this.#sweepBy(call.deadlineMs);
    if (this.#state === "idle") this.#connect();
  }

  #queueFlush(): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    void SETTLED.then(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushQueued = false;
    const writer = this.#writer;
    if (this.#connection === null || writer.length === 0) return;
    this.#writer = this.#spareWriters.pop() ?? new Writer();
    this.#connection.send(writer.bytes, () => {
      writer.reset();
      if (this.#spareWriters.length < SPARE_WRITERS) this.#spareWriters.push(writer);
    });
  };

  #connect(): void {
    this.#state = "connecting";
    const { host, port, connect = connectSocket } = this.#options;
    const connection = connect({ host, port, clock: this.#clock }, {
      opened: () => this.#opened(connection),
      received: (chunk) => this.#received(connection, chunk),
      lost: (error) => {
        if (connection === this.#connection) this.#lost(error);
      },
      expects: () => this.#pending.size > 0,
    });
    this.#connection = connection;
    this.#cancelAttempt = this.#clock.after(this.#connectTimeoutMs, () => {
      connection.destroy(new Error(`no connection within ${this.#connectTimeoutMs} ms`));
    });
  }

  #opened(connection: Connection): void {
    if (connection !== this.#connection) return;
    this.#cancelAttempt();
    this.#state = "open";
    this.#answered = false;
    this.#lastError = null;
    this.#lastReceivedMs = this.#clock.now();
    this.#splitter = new ResponseSplitter();
    const deadlineMs = this.#lastReceivedMs + this.#requestTimeoutMs;
    for (const call of this.#pending.values()) {
      this.#writer.raw(call.frame!);
      call.frame = null;
      call.deadlineMs = deadlineMs;
    }
    this.#flush();
  }

  /** The connection, or the attempt to make one, has ended by itself. */
  #lost(error: Error): void {
    const wasOpen = this.#state === "open";
    this.#detach("idle");
    this.#lastError = error;
    if (wasOpen) this.#rejectAll("the connection was lost", error);
    if (!wasOpen || !this.#answered) this.#backOff();
  }

  #backOff(): void {
    this.#state = "backoff";
    this.#cancelAttempt = this.#clock.after(this.#backoffMs, () => {
      this.#state = "idle";
      if (this.#pending.size > 0) this.#connect();
    });
    this.#backoffMs = Math.min(this.#backoffMs * 2, MAX_BACKOFF_MS);
  }

  /** Forgets the connection without a word to the callers. */
  #detach(state: "idle" | "closed"): void {
    this.#cancelAttempt();
    this.#state = state;
    this.#connection = null;
    this.#writer.reset();
  }

  #received(connection: Connection, chunk: Uint8Array): void {
    if (connection !== this.#connection) return;
    this.#lastReceivedMs = this.#clock.now();
    const splitter = this.#splitter;
    splitter.feed(chunk);
    try {
      while (splitter.next()) this.#answer(splitter);
    } catch (error) {
      connection.destroy(error as Error);
    }
  }

  #answer(splitter: ResponseSplitter): void {
    this.#answered = true;
    this.#backoffMs = FIRST_BACKOFF_MS;
    const call = this.#pending.get(splitter.seq);
    if (call === undefined) return;
    this.#pending.delete(splitter.seq);
    if (splitter.tooLarge) {
      const why = `the answer of ${splitter.bodyLength} bytes is above the limit`;
      return call.reject(this.#failure(call.rpc, "refused", why));
    }
    this.#reader.reset(splitter.bytes, splitter.bodyStart, splitter.bodyEnd);
    try {
      if (splitter.errorCode === 0) {
        const { bytes, bodyEnd, attachmentEnd } = splitter;
        const { response, attach } = call.rpc;
        const answer = response.decode(this.#reader);
        if (attachmentEnd > bodyEnd) attach?.(answer, bytes, bodyEnd, attachmentEnd);
        call.resolve(answer);
      } else {
        const { code, message } = readTransportError(this.#reader, splitter.errorCode);
        const why = `${message} (transport error ${code})`;
        call.reject(this.#failure(call.rpc, "refused", why, null, code));
      }
    } catch (cause) {
      const why = "the answer is malformed";
      call.reject(this.#failure(call.rpc, "refused", why, cause as Error));
    }
  }

  /** Makes sure that overdue calls are looked for at `atMs`. */
  #sweepBy(atMs: number): void {
    if (this.#sweepAtMs <= atMs) return;
    this.#cancelSweep();
    this.#sweepAtMs = atMs;
    this.#cancelSweep = this.#clock.after(atMs - this.#clock.now(), () => this.#sweep());
  }

  #sweep(): void {
    const nowMs = this.#clock.now();
    const late = nowMs - this.#sweepAtMs > HELD_UP_MS;
    this.#sweepAtMs = Infinity;
    if (late) return this.#sweepBy(nowMs + HELD_UP_MS);
    let silent = false;
    for (const [seq, call] of this.#pending) {
      if (call.deadlineMs > nowMs) {
        this.#sweepBy(call.deadlineMs);
        break;
      }
      this.#pending.delete(seq);
      if (call.frame !== null) {
        call.reject(this.#failure(call.rpc, "unsent", this.#noConnection(), this.#lastError));
        continue;
      }
      call.reject(this.#timeout(call.rpc));
      silent ||= this.#lastReceivedMs <= call.deadlineMs - this.#requestTimeoutMs;
    }
    if (silent) this.#connection?.destroy(new Error("the server has fallen silent"));
  }

  #noConnection(): string {
    const cause = this.#lastError === null ? "" : `: ${this.#lastError.message}`;
    return `there was no connection for ${this.#connectTimeoutMs} ms${cause}`;
  }

  #rejectAll(why: string, cause: Error | null = null): void {
    const calls = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of calls) {
      const fate = call.frame === null ? "unanswered" : "unsent";
      call.reject(this.#failure(call.rpc, fate, why, cause));
    }
  }

  #failure<Q, R>(
    rpc: Rpc<Q, R>,
    fate: CallFate,
    why: string,
    cause: Error | null = null,
    transportCode = 0,
  ): CallError {
    const message = `Cannot call ${rpc.name} at ${this.address}: ${why}`;
    const options = cause === null ? {} : { cause };
    return new CallError(ErrorCode.RPC_FAIL, message, fate, options, transportCode);
  }

  #timeout<Q, R>(rpc: Rpc<Q, R>): CallError {
    const message =
      `${rpc.name} at ${this.address} was not answered in ${this.#requestTimeoutMs} ms`;
    return new CallError(ErrorCode.RPC_TIMEOUT, message, "unanswered");
  }
}
