/** Connections of clients to the master, with the master's real frames on them. */
import type { RpcCaller } from "../../client/master_client.ts";
import { CallError, type CallFate } from "../../client/rpc_client.ts";
import { appendWriteId } from "../../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import type { Rpc } from "../../proto/messages.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { type Answer, errorText } from "../support/dispatcher.ts";
import type { Host, Scheduler, SimEvent } from "./scheduler.ts";

/** A call whose answer has not come. */
interface Pending {
  readonly rpc: Rpc<unknown, unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: SimEvent;
}

/** A request on its way to the master, with what it says. */
export interface Frame {
  readonly connection: Connection;
  readonly seq: number;
  readonly sentMs: number;
  readonly rpc: Rpc<unknown, unknown>;
  readonly request: unknown;
  /** The body, and from `bodyLength` on the attachment. */
  readonly bytes: Uint8Array;
  readonly bodyLength: number;
  readonly writeId: number;
  /** When the master has begun with it. */
  readMs?: number;
  /** Facts that the master had told when it had done it for the first time. */
  told?: number;
  /** It told some of them. */
  changes?: boolean;
}

/** An answer, with the request that it is for. */
export interface Served {
  readonly frame: Frame;
  readonly response: unknown;
}

/** Where connections lead. */
export interface Server {
  /** The present life of the server, or the last one. */
  readonly host: Host;
  /** Whether it takes connections. */
  readonly listens: boolean;
  receive(frame: Frame): void;
  hungUp(connection: Connection): void;
}

/** One connection. In each direction everything arrives in order, or not at all. */
export class Connection {
  open = true;
  /** When the last message of each direction arrives. */
  toServerMs = 0;
  toClientMs = 0;
  readonly pending = new Map<number, Pending>();

  constructor(
    readonly id: number,
    readonly client: Host,
    readonly server: Server,
    readonly serverHost: Host,
  ) {}
}

export interface WireOptions {
  scheduler: Scheduler;
  /** How long the next message takes. */
  delay: () => number;
}

export interface WireListener {
  /** Told of each request at the moment at which its client sends it. */
  onSent: (frame: Frame) => void;
}

/** All connections between clients and the master. */
export class Wire {
  readonly connections = new Map<number, Connection>();
  readonly #options: WireOptions & WireListener;
  #nextId = 1;

  constructor(options: WireOptions & WireListener) {
    this.#options = options;
  }

  connect(client: Host, server: Server): Connection {
    const connection = new Connection(this.#nextId++, client, server, server.host);
    this.connections.set(connection.id, connection);
    return connection;
  }

  send(connection: Connection, frame: Frame): void {
    const { scheduler, delay } = this.#options;
    const { server, serverHost } = connection;
    this.#options.onSent(frame);
    connection.toServerMs = Math.max(connection.toServerMs, scheduler.nowMs + delay());
    if (!serverHost.alive) return this.lose(connection);
    scheduler.at(connection.toServerMs, serverHost, () => {
      if (connection.open) server.receive(frame);
    });
  }

  /** Carries an answer back; `null` = it is an error of the transport. */
  answer(frame: Frame, answer: Answer): Served | null {
    const { scheduler, delay } = this.#options;
    const { connection, seq, rpc } = frame;
    const refused = answer.errorCode !== 0;
    const response = refused ? null : rpc.response.decode(new Reader(answer.body));
    const { attachment } = answer;
    if (attachment !== undefined) rpc.attach?.(response, attachment, 0, attachment.length);
    connection.toClientMs = Math.max(connection.toClientMs, scheduler.nowMs + delay());
    scheduler.at(connection.toClientMs, connection.client, () => {
      const call = connection.pending.get(seq);
      if (call === undefined || !connection.open) return;
      connection.pending.delete(seq);
      call.timer.cancelled = true;
      if (!refused) call.resolve(response);
      else call.reject(failure(rpc, "refused", errorText(answer.body, answer.errorCode)));
    });
    return refused ? null : { frame, response };
  }

  /** Breaks a connection: what is on its way is lost, and both sides learn of it. */
  lose(connection: Connection): void {
    if (!connection.open) return;
    connection.open = false;
    this.connections.delete(connection.id);
    const { scheduler, delay } = this.#options;
    const { server, serverHost, client, pending } = connection;
    scheduler.after(delay(), serverHost, () => server.hungUp(connection));
    scheduler.after(delay(), client, () => {
      for (const call of pending.values()) {
        call.timer.cancelled = true;
        call.reject(
          failure(call.rpc, "unanswered", "the connection was lost"),
        );
      }
      pending.clear();
    });
  }

  /** Breaks every connection that a host has, at either end. */
  loseAll(host: Host): void {
    for (const connection of Array.from(this.connections.values())) {
      if (connection.client === host || connection.serverHost === host) this.lose(connection);
    }
  }
}

export interface LinkOptions extends WireOptions {
  wire: Wire;
  client: Host;
  server: Server;
  requestTimeoutMs: number;
}

/** One client's calls, over a connection that is opened again when it was lost. */
export class Link implements RpcCaller {
  readonly #options: LinkOptions;
  readonly #writer = new Writer();
  #connection: Connection | null = null;
  #nextSeq = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** As `RpcClient.call`: RPC_FAIL, RPC_TIMEOUT. */
  call<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    writeId = 0,
  ): Promise<Response> {
    const { wire, client, server, scheduler, requestTimeoutMs } = this.#options;
    this.#writer.reset();
    rpc.request?.encode(this.#writer, request, { literal: true });
    const bodyLength = this.#writer.length;
    if (writeId !== 0) appendWriteId(this.#writer, writeId);
    const bytes = this.#writer.bytes.slice();
    if (this.#connection === null || !this.#connection.open) {
      this.#connection = wire.connect(client, server);
    }
    const connection = this.#connection;
    const seq = this.#nextSeq++;
    return new Promise<Response>((resolve, reject) => {
      const timer = scheduler.after(requestTimeoutMs, client, () => {
        connection.pending.delete(seq);
        reject(new CallError(ErrorCode.RPC_TIMEOUT, `${rpc.name}: no answer came`, "unanswered"));
      });
      const known = rpc as Rpc<unknown, unknown>;
      const settle = resolve as (value: unknown) => void;
      connection.pending.set(seq, { rpc: known, resolve: settle, reject, timer });
      const sentMs = scheduler.nowMs;
      wire.send(connection, {
        connection,
        seq,
        sentMs,
        rpc: known,
        request,
        bytes,
        bodyLength,
        writeId,
      });
    });
  }
}

/** The failure of a call, as of `RpcClient`. */
export function failure({ name }: { name: string }, fate: CallFate, why: string): CallError {
  return new CallError(ErrorCode.RPC_FAIL, `Cannot call ${name}: ${why}`, fate);
}
