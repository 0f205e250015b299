import { Errno } from "./errno.ts";
import { LAYOUT } from "./layout.ts";
import { Struct } from "./native_engine.ts";
import { checked, NativeError } from "./native_error.ts";
import type { rpcClientSymbols } from "./rpc_client_symbols.ts";

/** The part of the loaded shim for connections of RPC clients. */
export type RpcClientLibrary = Deno.DynamicLibrary<typeof rpcClientSymbols>["symbols"];

const HOST_BYTES = LAYOUT["sizeof mc_rpc_client_options"] - LAYOUT["mc_rpc_client_options.host"];
const INPUT = 1, OUTPUT = 2;

/** What {@linkcode NativeRpcConnection.poll} has seen; `null` once the connection was shut down. */
export type SeenEvents = { input: boolean; output: boolean } | null;

/**
 * Owns one TCP connection of the shim (`mc/rpc_client.h`). Methods throw {@linkcode NativeError} when
 * there is no connection, or none any more.
 */
export class NativeRpcConnection implements AsyncDisposable {
  readonly #library: RpcClientLibrary;
  #handle: Deno.PointerObject | null;
  #polling: Promise<number> | null = null;

  /** Begins to connect to a numeric address. */
  constructor(library: RpcClientLibrary, host: string, port: number) {
    this.#library = library;
    const struct = new Struct("mc_rpc_client_options")
      .u32("size", LAYOUT["sizeof mc_rpc_client_options"])
      .u32("port", port);
    const name = new TextEncoder().encode(host);
    if (name.length >= HOST_BYTES) throw new RangeError(`"${host}" is not a numeric address`);
    struct.bytes.set(name, LAYOUT["mc_rpc_client_options.host"]);
    const out = new BigUint64Array(1);
    checked("mc_rpc_client_open", library.mc_rpc_client_open(struct.bytes, out));
    this.#handle = Deno.UnsafePointer.create(out[0]);
  }

  /** The handle while the connection is owned; the shim must never see null. */
  get #open(): Deno.PointerObject {
    if (this.#handle === null) throw new NativeError("mc_rpc_client", Errno.ESHUTDOWN);
    return this.#handle;
  }

  /** Sends bytes, or keeps a copy of them; returns how many are kept now. */
  send(bytes: Uint8Array): number {
    const { mc_rpc_client_send } = this.#library;
    const result = mc_rpc_client_send(
      this.#open,
      bytes as Uint8Array<ArrayBuffer>,
      bytes.length,
    );
    return checked("mc_rpc_client_send", result);
  }

  /** After `output` was seen: sends what is kept, and returns how many bytes still are. */
  flush(): number {
    return checked("mc_rpc_client_flush", this.#library.mc_rpc_client_flush(this.#open));
  }

  /**
   * Fills `bytes` with what has arrived, after a sleep of at most `sleepUs` when that is nothing.
   * Returns the length, 0 = still nothing, -1 = the other end has hung up.
   */
  receive(bytes: Uint8Array<ArrayBuffer>, sleepUs: number): number {
    const result = this.#library.mc_rpc_client_receive(this.#open, bytes, bytes.length, sleepUs);
    return result === -Errno.ESHUTDOWN ? -1 : checked("mc_rpc_client_receive", result);
  }

  /** Whether the poll, running or next, ends when bytes arrive. */
  watch(input: boolean): void {
    this.#library.mc_rpc_client_watch(this.#open, input ? 1 : 0);
  }

  /** Resolves when there is something to do. One at a time. */
  async poll(): Promise<SeenEvents> {
    this.#polling = this.#library.mc_rpc_client_poll(this.#open);
    const seen = await this.#polling;
    this.#polling = null;
    if (seen === -Errno.ESHUTDOWN) return null;
    checked("mc_rpc_client_poll", seen);
    return { input: (seen & INPUT) !== 0, output: (seen & OUTPUT) !== 0 };
  }

  /** Ends the connection, and the poll. */
  shutdown(): void {
    if (this.#handle !== null) this.#library.mc_rpc_client_shutdown(this.#handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    this.#library.mc_rpc_client_shutdown(handle);
    await this.#polling;
    this.#library.mc_rpc_client_close(handle);
  }
}
