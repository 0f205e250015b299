import type { rpcSymbols } from "./rpc_symbols.ts";
import {
  RPC_BATCH_BYTES,
  RPC_OPTIONS_BYTES,
  RPC_OPTIONS_HOST,
  RPC_REQUEST_BYTES,
  RPC_WOKEN,
} from "./rpc_symbols.ts";
import { checked, NativeError } from "./native_error.ts";

/** The buffer for requests at first, and again some polls after a large frame. */
const IN_BYTES = 256 * 1024;
const MAX_IN_BYTES = 2 ** 31 - 1;
const SHRINK_AFTER = 100;

/** The rpc part of the loaded shim. */
export type RpcLibrary = Deno.DynamicLibrary<typeof rpcSymbols>["symbols"];

export interface RpcServerOptions {
  /** Numeric IPv4 or IPv6 address. `::` also takes IPv4. */
  host: string;
  /** 0 = let the system choose. */
  port: number;
  maxConnections: number;
  /** Body and attachment of one frame. */
  maxFrameBytes: number;
  /** Seconds; 0 = never. */
  idleTimeoutSec: number;
  tcpNoDelay: boolean;
  /**
   * MiB that unfinished requests and unread replies of all connections may take; a connection that
   * needs more is closed, unless it needs little. Default 512, or four frames if that is more.
   */
  maxKeptMib?: number;
}

/**
 * Called for each complete frame; `bytes[start, end)` is the body and `bytes[end, frameEnd)` the
 * attachment, both valid during the call. Attachments of more than 64 bytes are left out.
 */
export type FrameVisitor = (
  connection: number,
  kind: number,
  seq: number,
  functionId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  frameEnd: number,
) => void;

/** Owns one native RPC frame poller (`mc/rpc.h`). One thread polls. */
export class NativeRpcServer implements Disposable {
  readonly #library: RpcLibrary;
  #handle: Deno.PointerValue;
  #in = new Uint8Array(IN_BYTES);
  #view = new DataView(this.#in.buffer);
  #count = 0;
  /** Bytes that a waiting frame wants the buffer to have. */
  #need = 0;
  /** Polls since the buffer was last needed in its present size. */
  #calmPolls = 0;
  readonly port: number;
  /** An eventfd; writing a non-zero u64 to it ends the running or the next poll. */
  readonly wakeFd: number;
  /** Connections open after the last poll. */
  connections = 0;

  constructor(library: RpcLibrary, options: RpcServerOptions) {
    this.#library = library;
    const out = new BigUint64Array(1);
    const code = library.mc_rpc_open(packOptions(options), out);
    if (code < 0) throw new NativeError("mc_rpc_open", -code);
    this.#handle = Deno.UnsafePointer.create(out[0]);
    this.port = checked("mc_rpc_port", library.mc_rpc_port(this.#handle));
    this.wakeFd = checked("mc_rpc_wake_fd", library.mc_rpc_wake_fd(this.#handle));
  }

  /**
   * Sends the packed replies and waits up to `timeoutMs` for requests, which {@linkcode visit} then
   * hands out. Returns whether somebody wrote to {@linkcode wakeFd}.
   */
  poll(replies: Uint8Array, timeoutMs: number): boolean {
    if (this.#need > 0) this.#resize(this.#need);
    else if (this.#in.length > IN_BYTES && ++this.#calmPolls > SHRINK_AFTER) this.#resize(IN_BYTES);
    const filled = this.#library.mc_rpc_poll(
      this.#handle,
      replies as Uint8Array<ArrayBuffer>,
      replies.length,
      this.#in,
      this.#in.length,
      timeoutMs,
    );
    if (filled < 0) throw new NativeError("mc_rpc_poll", -filled);
    if (filled > IN_BYTES) this.#calmPolls = 0;
    this.#count = this.#view.getUint32(0, true);
    this.#need = this.#view.getUint32(8, true);
    this.connections = this.#view.getUint32(12, true);
    return (this.#view.getUint32(4, true) & RPC_WOKEN) !== 0;
  }

  /** Sends packed replies between two polls. */
  send(replies: Uint8Array): void {
    const { mc_rpc_send } = this.#library;
    const bytes = replies as Uint8Array<ArrayBuffer>;
    checked("mc_rpc_send", mc_rpc_send(this.#handle, bytes, bytes.length));
  }

  /** Whether replies to a connection can still be sent. */
  isOpen(connection: number): boolean {
    return this.#library.mc_rpc_is_open(this.#handle, connection) !== 0;
  }

  /** Visits every request of the last poll, once. Returns how many there were. */
  visit(visitor: FrameVisitor): number {
    const view = this.#view;
    const bytes = this.#in;
    const count = this.#count;
    this.#count = 0;
    let at = RPC_BATCH_BYTES;
    for (let i = 0; i < count; i++) {
      const start = at + RPC_REQUEST_BYTES;
      const end = start + view.getUint32(at + 16, true);
      const frameEnd = end + view.getUint32(at + 20, true);
      visitor(
        view.getUint32(at, true),
        view.getUint32(at + 4, true),
        view.getUint32(at + 8, true),
        view.getUint32(at + 12, true),
        bytes,
        start,
        end,
        frameEnd,
      );
      at = (frameEnd + 7) & ~7;
    }
    return count;
  }

  /** Makes the buffer hold `need` bytes, in the least power-of-two multiple of its first size. */
  #resize(need: number): void {
    let size = IN_BYTES;
    while (size < need) size *= 2;
    this.#in = new Uint8Array(Math.min(size, MAX_IN_BYTES));
    this.#view = new DataView(this.#in.buffer);
    this.#calmPolls = 0;
  }

  [Symbol.dispose](): void {
    if (this.#handle === null) return;
    this.#library.mc_rpc_close(this.#handle);
    this.#handle = null;
  }
}

function packOptions(options: RpcServerOptions): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RPC_OPTIONS_BYTES);
  const view = new DataView(bytes.buffer);
  const fields = [
    RPC_OPTIONS_BYTES,
    options.port,
    1024,
    options.maxConnections,
    options.maxFrameBytes,
    options.idleTimeoutSec,
    options.tcpNoDelay ? 1 : 0,
    options.maxKeptMib ?? 0,
  ];
  fields.forEach((value, i) => view.setUint32(4 * i, value, true));
  const host = new TextEncoder().encode(options.host);
  if (host.length >= RPC_OPTIONS_BYTES - RPC_OPTIONS_HOST) {
    throw new RangeError(`Cannot listen on host "${options.host}": it is not a numeric address`);
  }
  bytes.set(host, RPC_OPTIONS_HOST);
  return bytes;
}
