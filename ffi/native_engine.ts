import type { engineSymbols } from "./engine_symbols.ts";
import { Completions } from "./completions.ts";
import { Errno } from "./errno.ts";
import { LAYOUT, type LayoutName } from "./layout.ts";
import { checked, NativeError } from "./native_error.ts";
import type { OperationBatch } from "./operation_batch.ts";

/** The engine part of the loaded shim. */
export type EngineLibrary = Deno.DynamicLibrary<typeof engineSymbols>["symbols"];

/** Fields of `struct mc_engine_options`; what is absent gets the default stated in `mc/engine.h`. */
export interface NativeEngineOptions {
  /** Operations not yet completed. */
  maxOps?: number;
  /** Connections to one peer. */
  lanesPerPeer?: number;
  /** Bytes queued on a connection before the next one is used. */
  laneSpillBytes?: number;
  connectTimeoutMs?: number;
  /** Served at once. */
  maxConnections?: number;
  /** I/O threads that serve peers, at most. */
  serverThreads?: number;
  /** How long a peer may be silent in the middle of a request. */
  stallTimeoutMs?: number;
}

/** Counters since the engine was opened; see `struct mc_engine_stats`. */
export interface NativeEngineStats {
  servedReads: number;
  servedWrites: number;
  servedReadBytes: number;
  servedWriteBytes: number;
  refused: number;
  accepted: number;
  rejected: number;
  connections: number;
  connects: number;
  serverThreads: number;
  readsFenced: number;
}

/** Memory of the engine. */
export interface NativeMemory {
  id: number;
  /** Bytes. */
  length: number;
  /** Lies outside the JavaScript heap; `null` for memory of a device, which cannot be touched. */
  bytes: Uint8Array<ArrayBuffer> | null;
  /** In this process, or on the device. */
  address: bigint;
  /** Address at which peers find it, or `null` when it is not published. */
  remoteBase: bigint | null;
  /** The caller's array, which is not detached when it is unregistered. */
  lent: boolean;
  /** Where the mapping begins that holds it; 0 for memory of a device, or of the caller. */
  mapped: bigint;
  /** Bytes of that mapping. */
  mappedLength: number;
}

/** How memory is had; see `struct mc_region_options`. */
export interface NativeMemoryOptions {
  publish?: boolean;
  /** Of {@linkcode openDevice}; with an address the caller's own memory is used. */
  device?: { id: number; address?: bigint };
  /** Of the caller's own memory of the host. */
  address?: bigint;
  /** Of memory of the host. */
  host?: {
    /** NUMA nodes, 0 to 63; none = any. */
    nodes: readonly number[];
    /** Pages lie on the nodes in turn; needs a node. */
    interleaved: boolean;
    /** Pages of a pool of 2 to this power bytes; 0 = none of a pool. */
    pageShift: number;
    smallPages: boolean;
    locked: boolean;
  };
}

/** Why a writer cannot be kept out. */
const NOT_FENCED: readonly number[] = [
  Errno.EFAULT,
  Errno.EBUSY,
  Errno.ENOSPC,
  Errno.EOPNOTSUPP,
];
const PUBLISHED = 1, LOCKED = 2, INTERLEAVED = 4, SMALL_PAGES = 8;
const TRANSPORT_RDMA = 2, TRANSPORT_PLUGIN = 3, TRANSPORT_FILES = 4;
const POLL_FOREVER = 0xffff_ffff;
const COMPLETIONS = 256;
const HOST_BYTES = LAYOUT["mc_peer_options.local_name"] - LAYOUT["mc_peer_options.host"];
const LOCAL_NAME_BYTES = LAYOUT["mc_peer_options.server_name"] -
  LAYOUT["mc_peer_options.local_name"];
const SERVER_NAME_BYTES = LAYOUT["sizeof mc_peer_options"] - LAYOUT["mc_peer_options.server_name"];

/** A struct that is filled once, field by field. */
export class Struct<Name extends string> {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;

  constructor(readonly name: Name) {
    this.bytes = new Uint8Array(LAYOUT[`sizeof ${name}` as LayoutName]);
    this.view = new DataView(this.bytes.buffer);
  }

  u32(field: string, value: number): this {
    this.view.setUint32(this.#at(field), value, true);
    return this;
  }

  u64(field: string, value: number | bigint): this {
    this.view.setBigUint64(this.#at(field), BigInt(value), true);
    return this;
  }

  read(field: string): bigint {
    return this.view.getBigUint64(this.#at(field), true);
  }

  #at(field: string): number {
    return LAYOUT[`${this.name}.${field}` as LayoutName];
  }
}

function bytesAt(address: bigint, length: number): Uint8Array<ArrayBuffer> {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new TypeError("A region has no address");
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
}

function encodeHost(host: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(`${host}\0`);
  if (bytes.length > HOST_BYTES) throw new RangeError(`"${host}" is not a numeric address`);
  return bytes;
}

/**
 * Owns one native transfer engine (`mc/engine.h`). Pointers stay in here; operations and completions
 * are packed arrays. Methods throw {@linkcode NativeError}.
 */
export class NativeEngine implements AsyncDisposable {
  readonly #library: EngineLibrary;
  #handle: Deno.PointerObject | null;
  #polling: Promise<number> | null = null;
  readonly #calls = new Set<Promise<unknown>>();

  /** What the last {@linkcode wait} returned. */
  readonly waited = new Completions(COMPLETIONS);
  /** What the last {@linkcode poll} returned. */
  readonly polled = new Completions(COMPLETIONS);

  constructor(library: EngineLibrary, options: NativeEngineOptions = {}) {
    this.#library = library;
    const struct = new Struct("mc_engine_options")
      .u32("size", LAYOUT["sizeof mc_engine_options"])
      .u32("max_ops", options.maxOps ?? 0)
      .u32("lanes_per_peer", options.lanesPerPeer ?? 0)
      .u32("lane_spill_bytes", options.laneSpillBytes ?? 0)
      .u32("connect_timeout_ms", options.connectTimeoutMs ?? 0)
      .u32("max_connections", options.maxConnections ?? 0)
      .u32("server_threads", options.serverThreads ?? 0)
      .u32("stall_timeout_ms", options.stallTimeoutMs ?? 0);
    const out = new BigUint64Array(1);
    checked("mc_engine_open", library.mc_engine_open(struct.bytes, out));
    this.#handle = Deno.UnsafePointer.create(out[0]);
  }

  /** The handle while the engine is open; the shim must never see null. */
  get #open(): Deno.PointerObject {
    if (this.#handle === null) throw new NativeError("mc_engine", Errno.ESHUTDOWN);
    return this.#handle;
  }

  /** For other parts of the shim that work on an engine; throws once it is closed. */
  get pointer(): Deno.PointerObject {
    return this.#open;
  }

  /** Before {@linkcode listen}: the abstract Unix socket that answers handshakes. */
  answerAt(name: string): void {
    const bytes = new TextEncoder().encode(`${name}\0`);
    checked("mc_engine_answer_at", this.#library.mc_engine_answer_at(this.#open, bytes));
  }

  /** Serves published memory at a numeric address and returns the port. */
  listen(host: string, port: number): number {
    const result = this.#library.mc_engine_listen(this.#open, encodeHost(host), port);
    return checked("mc_engine_listen", result);
  }

  /** The name at which engines on this host reach published memory directly; empty = there is none. */
  get localName(): string {
    const name = new Uint8Array(LOCAL_NAME_BYTES);
    const result = this.#library.mc_engine_local_name(this.#open, name, name.length);
    checked("mc_engine_local_name", result);
    return new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
  }

  /** Names the owner of the engine, 16 bytes, to engines of this host whose memory it maps. */
  setIdentity(identity: Uint8Array): void {
    const bytes = Uint8Array.from(identity);
    checked("mc_engine_set_identity", this.#library.mc_engine_set_identity(this.#open, bytes));
  }

  /**
   * Refuses requests for a range of published memory in its window, for `keepMs`. Resolves with
   * `false` when `writer`, 16 bytes, cannot be kept out.
   */
  async fence(
    address: bigint,
    length: number,
    keepMs: number,
    writer: Uint8Array,
  ): Promise<boolean> {
    const bytes = Uint8Array.from(writer);
    const result = await this.during(
      this.#library.mc_engine_fence(this.#open, address, BigInt(length), keepMs, bytes),
    );
    if (NOT_FENCED.includes(-result)) return false;
    checked("mc_engine_fence", result);
    return true;
  }

  /**
   * Takes memory of the caller, which stays where it is, and alive, until it is unregistered: an
   * array that is not detached meanwhile, or the address of memory outside of JavaScript.
   */
  adopt(memory: Uint8Array | { address: bigint; length: number }, publish: boolean): NativeMemory {
    if (!(memory instanceof Uint8Array)) {
      return this.register(memory.length, { publish, address: memory.address });
    }
    const bytes = memory as Uint8Array<ArrayBuffer>;
    const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
    return { ...this.register(bytes.length, { publish, address }), bytes, lent: true };
  }

  /** Maps zeroed memory, or has it on a device. Release it with {@linkcode unregister}. */
  register(length: number, options: NativeMemoryOptions = {}): NativeMemory {
    const { publish, device, host } = options;
    const flags = (publish ? PUBLISHED : 0) | (host?.locked ? LOCKED : 0) |
      (host?.interleaved ? INTERLEAVED : 0) | (host?.smallPages ? SMALL_PAGES : 0);
    const nodes = host?.nodes.reduce((mask, node) => mask | 1n << BigInt(node), 0n) ?? 0n;
    const struct = new Struct("mc_region_options")
      .u32("size", LAYOUT["sizeof mc_region_options"])
      .u32("flags", flags)
      .u64("length", length)
      .u32("device", device?.id ?? 0)
      .u32("page_shift", host?.pageShift ?? 0)
      .u64("address", (device ?? options).address ?? 0)
      .u64("nodes", nodes);
    const info = new Struct("mc_region_info");
    const result = this.#library.mc_region_register(this.#open, struct.bytes, info.bytes);
    const id = checked("mc_region_register", result);
    const address = info.read("address");
    const base = info.read("remote_base");
    const bytes = device === undefined ? bytesAt(address, length) : null;
    return {
      ...{ id, length, bytes, address, remoteBase: base === 0n ? null : base, lent: false },
      ...{ mapped: info.read("mapped"), mappedLength: Number(info.read("mapped_length")) },
    };
  }

  /** Has the system provide every page now; takes about 0.4 s per GiB and thread, off this one. */
  async populate(id: number): Promise<void> {
    checked(
      "mc_region_populate",
      await this.during(this.#library.mc_region_populate(this.#open, id)),
    );
  }

  /** Keeps the engine from being freed while a call of the shim is inside of it. */
  async during(call: Promise<number>): Promise<number> {
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Withdraws memory from peers and detaches `bytes`; it is unmapped when nothing uses it. */
  unregister(memory: NativeMemory): void {
    if (!memory.lent) memory.bytes?.buffer.transfer();
    checked("mc_region_unregister", this.#library.mc_region_unregister(this.#open, memory.id));
  }

  /**
   * Names a peer by its numeric address and returns its id. `localName` is what it gave as its
   * {@linkcode localName}, or empty; one that is too long to be one counts as none. With TLS its
   * certificate has to cover `serverName`.
   */
  openPeer(
    host: string,
    port: number,
    protocolVersion: number,
    localName = "",
    serverName = host,
  ): number {
    const struct = new Struct("mc_peer_options")
      .u32("size", LAYOUT["sizeof mc_peer_options"])
      .u32("protocol_version", protocolVersion)
      .u32("port", port);
    struct.bytes.set(encodeHost(host), LAYOUT["mc_peer_options.host"]);
    const name = new TextEncoder().encode(localName);
    if (name.length < LOCAL_NAME_BYTES && !name.includes(0)) {
      struct.bytes.set(name, LAYOUT["mc_peer_options.local_name"]);
    }
    const server = new TextEncoder().encode(`${serverName}\0`);
    if (server.length > SERVER_NAME_BYTES) throw new RangeError(`"${serverName}" is no host name`);
    struct.bytes.set(server, LAYOUT["mc_peer_options.server_name"]);
    return checked("mc_peer_open", this.#library.mc_peer_open(this.#open, struct.bytes));
  }

  /** Makes a peer that is reached over RDMA, as `mc_rdma_peer_set` will tell; returns its id. */
  openRdmaPeer(): number {
    return this.#openPeer(TRANSPORT_RDMA);
  }

  /** Makes a peer that is reached as `mc_plugin_peer_set` will tell; returns its id. */
  openPluginPeer(): number {
    return this.#openPeer(TRANSPORT_PLUGIN);
  }

  /** Makes a peer that is the files that `mc_files_add` adds; returns its id. */
  openFilesPeer(): number {
    return this.#openPeer(TRANSPORT_FILES);
  }

  #openPeer(transport: number): number {
    const struct = new Struct("mc_peer_options")
      .u32("size", LAYOUT["sizeof mc_peer_options"])
      .u32("transport", transport);
    return checked("mc_peer_open", this.#library.mc_peer_open(this.#open, struct.bytes));
  }

  /** Closes a peer; its operations complete with `-ECANCELED`. */
  closePeer(id: number): void {
    checked("mc_peer_close", this.#library.mc_peer_close(this.#open, id));
  }

  /** Starts the operations of a batch; returns how many were accepted, or `-errno` of the first. */
  submit(batch: OperationBatch, timeoutMs: number): number {
    return this.#library.mc_submit(this.#open, batch.bytes, batch.count, timeoutMs);
  }

  /**
   * Ends reads in flight of one low half of `user_data`; they complete with `-ETIMEDOUT` soon. Those
   * over RDMA, and writes, go on.
   */
  cancel(userLow: number): void {
    this.#library.mc_cancel(this.#open, BigInt(userLow), 0xffff_ffffn);
  }

  /**
   * Moves bytes on this thread until `min` operations have completed, sleeping at most `sleepUs`;
   * returns how many are in {@linkcode waited}.
   */
  wait(min: number, sleepUs: number, workUs: number): number {
    return this.#library.mc_wait(
      this.#open,
      this.waited.bytes,
      COMPLETIONS,
      min,
      sleepUs,
      workUs,
    );
  }

  /** Milliseconds that {@linkcode submit} and {@linkcode wait} have taken since this was asked last. */
  spentMs(): number {
    return this.#library.mc_spent(this.#open) / 1e6;
  }

  /**
   * Resolves with how many completions are in {@linkcode polled}: 0 after {@linkcode wake} or
   * `timeoutMs`, negative once the engine is shut down and nothing is left. One at a time.
   */
  async poll(timeoutMs = POLL_FOREVER): Promise<number> {
    const call = this.#library.mc_poll(this.#open, this.polled.bytes, COMPLETIONS, timeoutMs);
    this.#polling = call;
    const count = await call;
    this.#polling = null;
    return count === -Errno.ESHUTDOWN ? count : checked("mc_poll", count);
  }

  /** Ends the poll that is under way. */
  wake(): void {
    this.#library.mc_wake(this.#open);
  }

  /** Peers of this host whose memory this process may not read, or who may not read this one's. */
  get refusals(): number {
    return this.#library.mc_engine_refusals(this.#open);
  }

  stats(): NativeEngineStats {
    const struct = new Struct("mc_engine_stats");
    this.#library.mc_engine_stats(this.#open, struct.bytes, struct.bytes.length);
    const field = (name: string) => Number(struct.read(name));
    return {
      servedReads: field("served_reads"),
      servedWrites: field("served_writes"),
      servedReadBytes: field("served_read_bytes"),
      servedWriteBytes: field("served_write_bytes"),
      refused: field("refused"),
      accepted: field("accepted"),
      rejected: field("rejected"),
      connections: field("connections"),
      connects: field("connects"),
      serverThreads: field("server_threads"),
      readsFenced: field("reads_fenced"),
    };
  }

  /** Fails everything in flight; the completions can still be fetched. */
  shutdown(): void {
    if (this.#handle !== null) this.#library.mc_engine_shutdown(this.#handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const handle = this.#handle;
    if (handle === null) return;
    this.#library.mc_engine_shutdown(handle);
    await Promise.allSettled([this.#polling, ...this.#calls]);
    this.#handle = null;
    checked("mc_engine_destroy", this.#library.mc_engine_destroy(handle));
  }
}
