/** A client's calls to one of several masters, which may not be there: `RpcClient` on simulated time. */
import type { MasterLine } from "../../client/leader/dial.ts";
import { CallError } from "../../client/rpc_client.ts";
import { appendWriteId } from "../../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import type { Rpc } from "../../proto/messages.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import type { Host, Scheduler, SimEvent } from "./scheduler.ts";
import { type Connection, failure, type Server, type Wire } from "./wire.ts";

/** As `RpcClient`. */
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 1000;

export interface LineOptions {
  scheduler: Scheduler;
  wire: Wire;
  delay: () => number;
  client: Host;
  /** Who lives at the address now, if anybody does. */
  server: () => Server | null;
  connectTimeoutMs: number;
  requestTimeoutMs: number;
}

/** A call that has not left, or has not been answered. */
interface Call {
  readonly rpc: Rpc<unknown, unknown>;
  readonly request: unknown;
  readonly bytes: Uint8Array;
  readonly bodyLength: number;
  readonly writeId: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  timer: SimEvent;
}

/** The calls of one client to one master; failures and what is known of them are those of `RpcClient`. */
export class Line implements MasterLine {
  readonly #options: LineOptions;
  readonly #writer = new Writer();
  readonly #waiting = new Set<Call>();
  #connection: Connection | null = null;
  #connecting = false;
  #closed = false;
  #nextSeq = 0;
  #backoffMs = FIRST_BACKOFF_MS;
  #answeredMs = -1;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  call<Q, R>(rpc: Rpc<Q, R>, request: Q, writeId = 0): Promise<R> {
    if (this.#closed) return Promise.reject(failure(rpc, "unsent", "this client is closed"));
    const { scheduler, client, connectTimeoutMs } = this.#options;
    this.#writer.reset();
    rpc.request?.encode(this.#writer, request, { literal: true });
    const bodyLength = this.#writer.length;
    if (writeId !== 0) appendWriteId(this.#writer, writeId);
    const bytes = this.#writer.bytes.slice();
    return new Promise<R>((resolve, reject) => {
      const call: Call = {
        ...{ rpc: rpc as Rpc<unknown, unknown>, request, bytes, bodyLength, writeId, reject },
        resolve: resolve as (value: unknown) => void,
        timer: scheduler.after(connectTimeoutMs, client, () => {
          this.#waiting.delete(call);
          reject(failure(rpc, "unsent", "there was no connection"));
        }),
      };
      if (this.#connection?.open) return this.#send(this.#connection, call);
      this.#waiting.add(call);
      this.#connect(0);
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    for (const call of this.#waiting) {
      call.timer.cancelled = true;
      call.reject(failure(call.rpc, "unsent", "this client was closed"));
    }
    this.#waiting.clear();
    if (this.#connection !== null) this.#options.wire.lose(this.#connection);
    return Promise.resolve();
  }

  #connect(pauseMs: number): void {
    if (this.#connecting) return;
    this.#connecting = true;
    const { scheduler, wire, delay, client } = this.#options;
    scheduler.after(pauseMs + delay(), client, () => {
      this.#connecting = false;
      if (this.#closed || this.#waiting.size === 0) return;
      const server = this.#options.server();
      if (server === null || !server.listens) {
        this.#connect(this.#backoffMs);
        this.#backoffMs = Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2);
        return;
      }
      this.#connection = wire.connect(client, server);
      for (const call of this.#waiting) {
        call.timer.cancelled = true;
        this.#send(this.#connection, call);
      }
      this.#waiting.clear();
    });
  }

  #send(connection: Connection, call: Call): void {
    const { scheduler, wire, client, requestTimeoutMs } = this.#options;
    const { rpc, request, bytes, bodyLength, writeId } = call;
    const sentMs = scheduler.nowMs;
    const seq = this.#nextSeq++;
    call.timer.cancelled = true;
    const timer = scheduler.after(requestTimeoutMs, client, () => {
      connection.pending.delete(seq);
      const why = `${rpc.name} was not answered`;
      call.reject(new CallError(ErrorCode.RPC_TIMEOUT, why, "unanswered"));
      if (this.#answeredMs <= sentMs) wire.lose(connection);
    });
    const answered = () => {
      this.#answeredMs = scheduler.nowMs;
      this.#backoffMs = FIRST_BACKOFF_MS;
    };
    connection.pending.set(seq, {
      ...{ rpc, timer },
      resolve: (value) => {
        answered();
        call.resolve(value);
      },
      reject: (error) => {
        if (error instanceof CallError && error.fate === "refused") answered();
        call.reject(error);
      },
    });
    wire.send(connection, { connection, seq, sentMs, rpc, request, bytes, bodyLength, writeId });
  }
}
