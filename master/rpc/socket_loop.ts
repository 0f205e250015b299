import { RequestSplitter } from "../../proto/coro_rpc/splitter.ts";
import { ProtocolError } from "../../proto/error.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Replies } from "./replies.ts";
import type { ReplyGate } from "./reply_gate.ts";

/** Every connection has a buffer of its own. */
const READ_BYTES = 16 * 1024;
/** Shortest and longest time between two rounds of periodic work. */
const TICK_EVERY_MS = 20;
const IDLE_TICK_MS = 250;
/** Pause after periodic work that threw. */
const FAULT_PAUSE_MS = 1000;
/** How often waiting requests are tried when nothing else happens. */
const WAITING_TICK_MS = 2;
/** A round that is so late comes after a stall of the process: pings may be waiting to be read. */
const STALL_MS = 300;
/** Pause after a connection could not be accepted, as when the process is out of descriptors. */
const ACCEPT_PAUSE_MS = 50;
/** A connection whose peer leaves so many reply bytes unread is closed. */
const UNSENT_LIMIT = 64 << 20;
/**
 * What unfinished requests of all connections may take, or four frames if that is more; and what any
 * connection may take however much the others do.
 */
const LEAST_HELD_LIMIT = 512 << 20;
const HELD_ALWAYS = 64 << 10;

export interface SocketLoopOptions {
  host: string;
  /** 0 = let the system choose. */
  port: number;
  dispatcher: Dispatcher;
  replies: Replies;
  gate: ReplyGate;
  maxConnections: number;
  maxFrameBytes: number;
  tcpNoDelay: boolean;
  /** Seconds; 0 = never. */
  idleTimeoutSec: number;
  /** Milliseconds, monotonic. */
  clock: () => number;
  /** The core's periodic work; returns how many milliseconds until it is wanted again. */
  tick: (nowMs: number) => number;
  /** Told about an error that is no failure of a connection, and about periodic work that threw. */
  onFault: (what: string, error: unknown) => void;
}

interface Connection {
  socket: Deno.TcpConn;
  /** Bytes of an unfinished request. */
  held: number;
  /** Bytes of replies that are still to be sent. */
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
  readonly #isOpen = (id: number) => this.#connections.has(id);
  #nextId = 1;
  #worstBatchMs = 0;
  #nextTickMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAtMs = Infinity;
  /** The last round came so late that it was put off, for requests to be read first. */
  #stalled = false;
  /** The last periodic work threw. */
  #faulted = false;
  #held = 0;
  #stopping = false;

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

  /** Serves until {@linkcode stop}. */
  async run(): Promise<void> {
    const accepting = this.#accept();
    this.#tick();
    await this.#stopped.promise;
    this.#stopping = true;
    clearTimeout(this.#timer);
    this.#listener.close();
    for (const id of this.#connections.keys()) this.#close(id);
    await accepting;
  }

  #tick(): void {
    const { clock, dispatcher } = this.#options;
    const now = clock();
    const lateMs = now - this.#timerAtMs;
    this.#timerAtMs = Infinity;
    if (lateMs > STALL_MS && !this.#stalled) {
      this.#stalled = true;
      return this.#tickBy(now + TICK_EVERY_MS);
    }
    this.#stalled = false;
    if (now >= this.#nextTickMs) {
      const delay = Math.min(IDLE_TICK_MS, Math.max(TICK_EVERY_MS, this.#work(now)));
      this.#nextTickMs = now + (this.#faulted ? FAULT_PAUSE_MS : delay);
      this.#closeIdle(now);
    }
    const progress = dispatcher.retryWaiting(now, this.#isOpen);
    this.sendReplies();
    if (dispatcher.scanning > 0) {
      dispatcher.runScans(now, this.#isOpen);
      this.sendReplies();
    }
    if (progress) this.#tickBy(now);
    else this.#tickBy(this.#nextRoundMs(now));
  }

  /** When there is something to do again if nothing arrives. */
  #nextRoundMs(now: number): number {
    const { dispatcher } = this.#options;
    if (dispatcher.scanning > 0) return now;
    return dispatcher.waiting > 0 ? now + WAITING_TICK_MS : this.#nextTickMs;
  }

  #work(nowMs: number): number {
    this.#faulted = false;
    try {
      return this.#options.tick(nowMs);
    } catch (error) {
      this.#options.onFault("Periodic work", error);
      this.#faulted = true;
      return IDLE_TICK_MS;
    }
  }

  /** Sees to it that there is a round of periodic work at `atMs` or before. */
  #tickBy(atMs: number): void {
    if (this.#stopping || this.#timerAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, atMs - this.#options.clock()));
  }

  #closeIdle(nowMs: number): void {
    const { idleTimeoutSec } = this.#options;
    if (idleTimeoutSec === 0) return;
    for (const [id, { lastActiveMs }] of this.#connections) {
      if (nowMs - lastActiveMs > idleTimeoutSec * 1000) this.#close(id);
    }
  }

  async #accept(): Promise<void> {
    while (!this.#stopping) {
      let socket: Deno.TcpConn;
      try {
        socket = await this.#listener.accept();
      } catch (error) {
        if (error instanceof Deno.errors.BadResource) return;
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE_MS));
        continue;
      }
      if (this.#connections.size >= this.#options.maxConnections) socket.close();
      else this.#open(socket);
    }
  }

  #open(socket: Deno.TcpConn): void {
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0 || 1;
    const connection = {
      socket,
      held: 0,
      unsent: 0,
      sending: Promise.resolve(),
      lastActiveMs: this.#options.clock(),
    };
    this.#connections.set(id, connection);
    this.#serve(id, connection)
      .catch((error) => {
        if (!isConnectionError(error)) this.#options.onFault("Serving a connection", error);
      })
      .finally(() => this.#close(id));
  }

  async #serve(id: number, connection: Connection): Promise<void> {
    connection.socket.setNoDelay(this.#options.tcpNoDelay);
    connection.socket.setKeepAlive(true);
    const splitter = new RequestSplitter({ maxBodyBytes: this.#options.maxFrameBytes });
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const count = await connection.socket.read(buffer);
      if (count === null) return;
      connection.lastActiveMs = this.#options.clock();
      splitter.feed(buffer, 0, count);
      try {
        this.#serveFrames(id, splitter);
      } finally {
        this.sendReplies();
      }
      if (!this.#connections.has(id) || !this.#mayHold(connection, splitter.heldBytes)) return;
      await connection.sending;
    }
  }

  #serveFrames(id: number, splitter: RequestSplitter): void {
    const { dispatcher, clock, maxFrameBytes } = this.#options;
    const now = clock();
    while (splitter.next()) {
      const { seq, functionId, bytes, bodyStart, bodyEnd, attachmentEnd } = splitter;
      if (splitter.tooLarge) dispatcher.tooLarge(id, seq, maxFrameBytes);
      else dispatcher.request(id, seq, functionId, bytes, bodyStart, bodyEnd, attachmentEnd, now);
    }
    if (!this.#faulted) this.#nextTickMs = Math.min(this.#nextTickMs, now + TICK_EVERY_MS);
    this.#tickBy(this.#nextRoundMs(now));
    this.#worstBatchMs = Math.max(this.#worstBatchMs, clock() - now);
  }

  /** Notes how much a connection keeps; whether that is within the limits. */
  #mayHold(connection: Connection, bytes: number): boolean {
    this.#held += bytes - connection.held;
    connection.held = bytes;
    const limit = Math.max(LEAST_HELD_LIMIT, 4 * this.#options.maxFrameBytes);
    return bytes <= HELD_ALWAYS || this.#held <= limit;
  }

  /** Hands the packed replies to their connections, neighbours of one connection together. */
  sendReplies(): void {
    const { replies, gate } = this.#options;
    gate.settle();
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
    this.#held -= connection.held;
    connection.socket.close();
  }
}

/** Whether the other side, or our own end of the connection, is to blame. */
function isConnectionError(error: unknown): boolean {
  const { errors } = Deno;
  return error instanceof ProtocolError || error instanceof errors.BadResource ||
    error instanceof errors.Interrupted || error instanceof errors.ConnectionReset ||
    error instanceof errors.ConnectionAborted || error instanceof errors.BrokenPipe ||
    error instanceof errors.NotConnected || error instanceof errors.TimedOut;
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
