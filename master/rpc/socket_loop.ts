import { RequestSplitter } from "../../proto/coro_rpc/splitter.ts";
import { ProtocolError } from "../../proto/error.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Replies } from "./replies.ts";

const READ_BYTES = 64 * 1024;
const TICK_EVERY_MS = 10;
/** A connection whose peer leaves so many reply bytes unread is closed. */
const UNSENT_LIMIT = 64 << 20;

export interface SocketLoopOptions {
  host: string;
  /** 0 = let the system choose. */
  port: number;
  dispatcher: Dispatcher;
  replies: Replies;
  maxConnections: number;
  maxFrameBytes: number;
  tcpNoDelay: boolean;
  /** Seconds; 0 = never. */
  idleTimeoutSec: number;
  clock: () => number;
  tick: (nowMs: number) => number;
}

interface Connection {
  socket: Deno.TcpConn;
  unsent: number;
  sending: Promise<unknown>;
  lastActiveMs: number;
}

/**
 * Serves the master's RPC on Deno's own sockets, for machines where the shim cannot be built. Same
 * limits and answers as the native loop.
 */
export class SocketLoop {
  readonly #options: SocketLoopOptions;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Map<number, Connection>();
  readonly #stopped = Promise.withResolvers<void>();
  #nextId = 1;
  #worstBatchMs = 0;

  /** Binds and listens; throws `Deno.errors.AddrInUse` when the port is taken. */
  constructor(options: SocketLoopOptions) {
    this.#options = options;
    this.#listener = Deno.listen({ hostname: options.host, port: options.port });
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  takeWorstBatchMs(): number {
    const worst = this.#worstBatchMs;
    this.#worstBatchMs = 0;
    return worst;
  }

  stop(): void {
    this.#stopped.resolve();
  }

  /** Gives the port back without having served. */
  close(): void {
    this.#listener.close();
  }

  async run(): Promise<void> {
    const accepting = this.#accept();
    const timer = setInterval(() => this.#tick(), TICK_EVERY_MS);
    await this.#stopped.promise;
    clearInterval(timer);
    this.#listener.close();
    for (const id of this.#connections.keys()) this.#close(id);
    await accepting;
  }

  #tick(): void {
    const { clock, tick, dispatcher, idleTimeoutSec } = this.#options;
    const now = clock();
    dispatcher.retryWaiting(now);
    tick(now);
    this.#sendReplies();
    if (idleTimeoutSec === 0) return;
    for (const [id, { lastActiveMs }] of this.#connections) {
      if (now - lastActiveMs > idleTimeoutSec * 1000) this.#close(id);
    }
  }

  async #accept(): Promise<void> {
    try {
      for await (const socket of this.#listener) {
        if (this.#connections.size >= this.#options.maxConnections) socket.close();
        else this.#open(socket);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  #open(socket: Deno.TcpConn): void {
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0 || 1;
    socket.setNoDelay(this.#options.tcpNoDelay);
    socket.setKeepAlive(true);
    const connection = {
      socket,
      unsent: 0,
      sending: Promise.resolve(),
      lastActiveMs: this.#options.clock(),
    };
    this.#connections.set(id, connection);
    this.#serve(id, connection).catch(() => {}).finally(() => this.#close(id));
  }

  async #serve(id: number, connection: Connection): Promise<void> {
    const splitter = new RequestSplitter({ maxBodyBytes: this.#options.maxFrameBytes });
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const count = await connection.socket.read(buffer);
      if (count === null) return;
      connection.lastActiveMs = this.#options.clock();
      splitter.feed(buffer, 0, count);
      try {
        this.#serveFrames(id, splitter);
      } catch (error) {
        if (error instanceof ProtocolError) return;
        throw error;
      } finally {
        this.#sendReplies();
      }
      await connection.sending;
    }
  }

  #serveFrames(id: number, splitter: RequestSplitter): void {
    const { dispatcher, clock, maxFrameBytes } = this.#options;
    const now = clock();
    while (splitter.next()) {
      const { seq, functionId, bytes, bodyStart, bodyEnd } = splitter;
      if (splitter.tooLarge) dispatcher.tooLarge(id, seq, maxFrameBytes);
      else dispatcher.request(id, seq, functionId, bytes, bodyStart, bodyEnd, now);
    }
    this.#worstBatchMs = Math.max(this.#worstBatchMs, clock() - now);
  }

  /** Hands the packed replies to their connections, neighbours of one connection together. */
  #sendReplies(): void {
    const { replies } = this.#options;
    const { bytes } = replies;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length;) {
      const id = view.getUint32(at, true);
      const frames: Uint8Array[] = [];
      while (at < bytes.length && view.getUint32(at, true) === id) {
        const end = at + 8 + view.getUint32(at + 4, true);
        frames.push(bytes.subarray(at + 8, end));
        at = end;
      }
      this.#send(id, join(frames));
    }
    replies.clear();
  }

  #send(id: number, data: Uint8Array): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    connection.unsent += data.length;
    if (connection.unsent > UNSENT_LIMIT) return this.#close(id);
    connection.sending = connection.sending
      .then(() => writeAll(connection.socket, data))
      .then(() => connection.unsent -= data.length, () => this.#close(id));
  }

  #close(id: number): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#connections.delete(id);
    connection.socket.close();
  }
}

function join(parts: Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

async function writeAll(socket: Deno.TcpConn, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) at += await socket.write(data.subarray(at));
}
