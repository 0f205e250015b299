import type { Completions } from "../../ffi/completions.ts";
import { nativeCrc32c } from "../../ffi/crc32c.ts";
import type { Library } from "../../ffi/library.ts";
import { NativeEngine, type NativeMemory } from "../../ffi/native_engine.ts";
import { BORROWED, OperationBatch } from "../../ffi/operation_batch.ts";
import { type Crc32c, crc32c } from "../../proto/crc32c.ts";
import {
  checkBorrowed,
  checkLength,
  checkLent,
  checkListenPort,
  checkOperation,
  checkPeerAddress,
  checkTunables,
  type EngineTunables,
  timeoutOf,
} from "./checks.ts";
import { systemClock, within } from "./clock.ts";
import {
  type AllocateOptions,
  DEFAULT_PLACEMENT,
  type LentMemory,
  type ListenOptions,
  type PeerAddress,
  type PeerId,
  type PluginSide,
  type RdmaSide,
  type Region,
  TransferCode,
  type TransferEngine,
  type TransferOperation,
  type TransferOptions,
  type TransferStats,
} from "./engine.ts";
import { HandshakeDoor } from "./handshake_door.ts";
import { registerOnHost } from "./host_memory.ts";
import { codeOf } from "./native_codes.ts";
import { registerOnDevice } from "./native_devices.ts";
import { type EnginePeers, NativePeers } from "./native_peers.ts";
import { NativeRegion } from "./native_region.ts";
import { openPlugin, type PluginOptions } from "./plugin_side.ts";
import { openRdma, type RdmaOptions } from "./rdma_side.ts";

/** Tunables of {@linkcode NativeTransferEngine}. */
export interface NativeTransferOptions extends EngineTunables {
  /** Operations not yet completed; 65536. */
  maxOps?: number;
  /** I/O threads that serve peers, started when needed; half of the CPUs, 1 to 8. */
  serverThreads?: number;
  /** Microseconds that a submitted transfer may sleep in the kernel before it is polled for; 50. */
  inlineWaitUs?: number;
  /** Present: peers with RDMA devices are reached over ours. */
  rdma?: RdmaOptions;
  /** Present: peers with the same transport are reached over it. Not beside `rdma`. */
  plugin?: PluginOptions;
}

const INLINE_WAIT_US = 50;
/** Bytes from which a checksum by the shim is worth the call. */
const NATIVE_CHECKSUM_BYTES = 512;
/** Microseconds of moving bytes on the calling thread before the poll takes over. */
const INLINE_WORK_US = 1000;
/** Milliseconds spent inline after which a transfer has to go through the event loop. */
const INLINE_BURST_MS = 2;
/** Operations packed at a time. */
const BATCH = 1024;
/** Milliseconds after which operations that found the queue full are tried again. */
const FULL_RETRY_MS = 10;

/** A transfer until its last operation has completed; keeps borrowed memory reachable. */
interface Transfer {
  /** The operation, or all of them: what they borrow stays alive through this. */
  ops: TransferOperation | readonly TransferOperation[];
  /** `null` for a single operation. */
  results: Int32Array | null;
  code: TransferCode;
  left: number;
  resolve: (result: never) => void;
}

/** An operation that found the shim's queue full. */
interface Waiting {
  op: TransferOperation;
  slot: number;
  index: number;
  /** Milliseconds of `performance.now()`. */
  deadline: number;
}

/** The transfer engine on the C shim. */
export class NativeTransferEngine implements TransferEngine {
  readonly name: "tcp-native" | "rdma-native" | "plugin-native";
  readonly rdma?: RdmaSide;
  readonly plugin?: PluginSide;
  readonly crc32c: Crc32c;
  readonly #library: Library;
  readonly #engine: NativeEngine;
  readonly #peers: EnginePeers;
  #nextPeer: PeerId = 1;
  readonly #regions = new Map<number, NativeRegion>();
  readonly #inlineWaitUs: number;

  /** Transfers by the low half of their operations' `user_data`. */
  readonly #transfers: (Transfer | null)[] = [];
  readonly #freeSlots: number[] = [];
  /** Operations accepted by the shim and not yet completed. */
  #outstanding = 0;

  readonly #staged = new OperationBatch(BATCH);
  #stagedTimeoutMs = 0;
  /** The shim's queue has no room; new operations go to the backlog. */
  #full = false;
  readonly #backlog: Waiting[] = [];
  #turnIsDue = false;
  #turnBegun = 0;
  #sinceTurn = 0;
  #inlineMs = 0;
  #polling: Promise<void> | null = null;
  #door: HandshakeDoor | null = null;
  #closed = false;
  #closing: Promise<void> | null = null;
  #finalStats: TransferStats | null = null;

  /** Takes the library over: it is closed with the engine. */
  constructor(library: Library, options: NativeTransferOptions = {}) {
    const { rdma, plugin, ...tunables } = options;
    checkTunables(tunables);
    this.#library = library;
    const native = nativeCrc32c(library);
    this.crc32c = (bytes, start, end, seed) => {
      const inShim = end - start >= NATIVE_CHECKSUM_BYTES && !this.#closed;
      return (inShim ? native : crc32c)(bytes, start, end, seed);
    };
    this.#engine = new NativeEngine(library.symbols, tunables);
    const sockets = new NativePeers(this.#engine);
    this.name = rdma ? "rdma-native" : plugin ? "plugin-native" : "tcp-native";
    let peers: EnginePeers = sockets;
    if (rdma !== undefined) {
      const side = this.rdma = this.#orClose(() => openRdma(library, this.#engine, rdma));
      peers = side.peers(sockets);
    } else if (plugin !== undefined) {
      const side = this.plugin = this.#orClose(() => openPlugin(library, this.#engine, plugin));
      peers = side.peers(sockets);
    }
    this.#peers = peers;
    this.#inlineWaitUs = options.inlineWaitUs ?? INLINE_WAIT_US;
  }

  #orClose<T>(open: () => T): T {
    try {
      return open();
    } catch (error) {
      this.#engine[Symbol.asyncDispose]().then(() => this.#library.close());
      throw error;
    }
  }

  allocate(length: number, options: AllocateOptions = {}): Region {
    checkLength(length);
    this.#checkOpen();
    const { memory, ...place } = options.location
      ? registerOnDevice(this.#library.symbols, this.#engine, length, options)
      : registerOnHost(this.#engine, {
        length,
        publish: options.publish ?? false,
        placement: options.placement ?? DEFAULT_PLACEMENT,
        rdma: this.rdma !== undefined || this.plugin !== undefined,
      });
    return this.#regionOf(memory, place);
  }

  adopt(memory: LentMemory, options: { publish?: boolean } = {}): Region {
    checkLent(memory);
    this.#checkOpen();
    return this.#regionOf(this.#engine.adopt(memory, options.publish ?? false), {});
  }

  #regionOf(memory: NativeMemory, place: Pick<Region, "device" | "host">): Region {
    const region = new NativeRegion(this.#engine, memory, place, () => {
      this.#submitStaged();
      this.#regions.delete(memory.id);
    });
    this.#regions.set(memory.id, region);
    return region;
  }

  async listen(options: ListenOptions = {}): Promise<{ host: string; port: number }> {
    const host = options.host ?? "0.0.0.0";
    checkListenPort(options.port ?? 0);
    this.#checkOpen();
    if (options.onHandshake !== undefined && this.#door === null) {
      this.#door = await HandshakeDoor.open(options.onHandshake);
      this.#checkOpen();
      this.#engine.answerAt(this.#door.name);
    }
    return { host, port: this.#engine.listen(host, options.port ?? 0) };
  }

  get localName(): string {
    return this.#closed ? "" : this.#engine.localName;
  }

  openPeer(address: PeerAddress): PeerId {
    if (address.rdma !== undefined) {
      if (this.rdma === undefined) throw new TypeError("This engine has no RDMA");
    } else if (address.plugin === undefined) checkPeerAddress(address);
    else if (this.plugin === undefined) throw new TypeError("This engine has no such transport");
    this.#checkOpen();
    const id = this.#nextPeer++;
    this.#peers.open(address, id);
    return id;
  }

  closePeer(peer: PeerId): void {
    this.#submitStaged();
    this.#peers.close(peer);
    if (this.#outstanding > 0) this.#scheduleTurn();
  }

  stats(): TransferStats {
    return this.#finalStats ?? this.#engine.stats();
  }

  transferOne(op: TransferOperation, options?: TransferOptions): Promise<TransferCode> {
    let timeoutMs: number;
    try {
      timeoutMs = timeoutOf(options);
      this.#check(op);
    } catch (error) {
      return Promise.reject(error);
    }
    const native = this.#peers.native(op.peer);
    if (native === 0) return this.#afterResolving(op, timeoutMs);
    return new Promise<TransferCode>((resolve) => {
      const slot = this.#slot(op, null, 1, resolve);
      this.#stage(op, native, slot, 0, timeoutMs);
      this.#scheduleTurn();
    });
  }

  async transfer(
    ops: readonly TransferOperation[],
    options?: TransferOptions,
  ): Promise<Int32Array> {
    const timeoutMs = timeoutOf(options);
    for (const op of ops) this.#check(op);
    const results = new Int32Array(ops.length);
    if (ops.length === 0) return results;
    return await new Promise<Int32Array>((resolve) => {
      const kept = [...ops];
      const slot = this.#slot(kept, results, ops.length, resolve);
      let unresolved: Map<PeerId, number[]> | null = null;
      for (let i = 0; i < ops.length; i++) {
        const { peer } = ops[i];
        const native = this.#peers.native(peer);
        if (native !== 0) this.#stage(ops[i], native, slot, i, timeoutMs);
        else if (!(unresolved ??= new Map()).get(peer)?.push(i)) unresolved.set(peer, [i]);
      }
      this.#scheduleTurn();
      for (const [peer, which] of unresolved ?? []) {
        void this.#stageResolved(kept, peer, slot, which, timeoutMs);
      }
    });
  }

  /** Finds a peer, then packs the operations with it; other peers do not wait for that. */
  async #stageResolved(
    ops: readonly TransferOperation[],
    peer: PeerId,
    slot: number,
    which: readonly number[],
    timeoutMs: number,
  ): Promise<void> {
    const startedAt = performance.now();
    await within(systemClock, timeoutMs, this.#peers.resolve(peer));
    const restMs = Math.floor(timeoutMs - (performance.now() - startedAt));
    const native = this.#closed ? 0 : this.#peers.native(peer);
    for (const i of which) {
      if (restMs < 1) this.#complete(slot, i, TransferCode.TIMEOUT);
      else if (native === 0) this.#complete(slot, i, this.#unresolved(peer));
      else this.#stage(ops[i], native, slot, i, restMs);
    }
    if (native !== 0) this.#scheduleTurn();
  }

  setIdentity(identity: Uint8Array): void {
    this.#engine.setIdentity(identity);
  }

  async fence(
    address: bigint,
    length: number,
    keepMs: number,
    writer: Uint8Array,
  ): Promise<boolean> {
    return !this.#closed && await this.#engine.fence(address, length, keepMs, writer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#submitStaged();
    this.#closed = true;
    this.#door?.close();
    this.#peers.clear();
    this.#engine.shutdown();
    await this.#polling;
    while (this.#outstanding > 0) {
      const count = this.#engine.wait(0, 0, 0);
      if (count === 0) break;
      this.#collect(this.#engine.waited, count);
    }
    for (const { slot, index } of this.#backlog) this.#complete(slot, index, TransferCode.SOCKET);
    for (const region of [...this.#regions.values()]) region[Symbol.dispose]();
    this.#finalStats = this.#engine.stats();
    await this.#engine[Symbol.asyncDispose]();
    this.#library.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("The transfer engine is closed");
  }

  #check(op: TransferOperation): void {
    this.#checkOpen();
    if (!(op.local instanceof NativeRegion)) checkBorrowed(op.local as Uint8Array);
    else if (this.#regions.get(op.local.id) !== op.local) {
      throw new TypeError("local is a region of another engine, or disposed");
    }
    checkOperation(op);
    if (!this.#peers.has(op.peer)) throw new RangeError(`Peer ${op.peer} is not open`);
  }

  async #afterResolving(op: TransferOperation, timeoutMs: number): Promise<TransferCode> {
    const [code] = await this.transfer([op], { timeoutMs });
    return code as TransferCode;
  }

  #unresolved(peer: PeerId): TransferCode {
    return this.#peers.has(peer) && !this.#closed
      ? this.#peers.unresolved(peer)
      : TransferCode.SOCKET;
  }

  #slot(
    ops: TransferOperation | readonly TransferOperation[],
    results: Int32Array | null,
    left: number,
    resolve: (result: never) => void,
  ): number {
    const slot = this.#freeSlots.pop() ?? this.#transfers.length;
    this.#transfers[slot] = { ops, results, code: TransferCode.OK, left, resolve };
    return slot;
  }

  /** Packs an operation, or keeps it until the shim's queue has room again. */
  #stage(
    op: TransferOperation,
    native: number,
    slot: number,
    index: number,
    timeoutMs: number,
  ): void {
    const staged = this.#staged;
    if (staged.count === BATCH || (staged.count > 0 && this.#stagedTimeoutMs !== timeoutMs)) {
      this.#submitStaged();
    }
    if (this.#full) {
      this.#backlog.push({ op, slot, index, deadline: performance.now() + timeoutMs });
      return;
    }
    this.#stagedTimeoutMs = timeoutMs;
    const { local } = op;
    const region = local instanceof NativeRegion ? local.id : BORROWED;
    staged.push(
      slot,
      index,
      op.opcode,
      native,
      op.remoteAddress,
      op.length,
      region,
      op.localOffset,
    );
    if (region === BORROWED) staged.borrow(local as Uint8Array, op.localOffset);
  }

  #submitStaged(): void {
    const staged = this.#staged;
    while (staged.count > 0) {
      const accepted = this.#engine.submit(staged, this.#stagedTimeoutMs);
      if (accepted > 0) {
        this.#outstanding += accepted;
        this.#sinceTurn += accepted;
        staged.shift(accepted);
      } else if (accepted < 0) {
        this.#complete(staged.userLow(0), staged.userHigh(0), codeOf(accepted));
        staged.shift(1);
      } else {
        this.#full = true;
        return;
      }
    }
    this.#full = false;
  }

  /** Goes on with what found the queue full. */
  #submitBacklog(): void {
    this.#submitStaged();
    const backlog = this.#backlog;
    const now = performance.now();
    let taken = 0;
    while (taken < backlog.length && !this.#full) {
      const { op, slot, index, deadline } = backlog[taken++];
      const native = this.#peers.native(op.peer);
      const timeoutMs = Math.ceil(deadline - now);
      if (native === 0) this.#complete(slot, index, this.#unresolved(op.peer));
      else if (timeoutMs <= 0) this.#complete(slot, index, TransferCode.TIMEOUT);
      else this.#stage(op, native, slot, index, timeoutMs);
    }
    backlog.splice(0, taken);
    this.#submitStaged();
  }

  /** All transfers begun before the next microtask checkpoint share one turn. */
  #scheduleTurn(): void {
    if (this.#turnIsDue) return;
    this.#turnIsDue = true;
    this.#turnBegun = performance.now();
    this.#submitStaged();
    queueMicrotask(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turnIsDue = false;
    this.#submitStaged();
    const wanted = Math.min(this.#sinceTurn, this.#outstanding);
    this.#sinceTurn = 0;
    if (wanted > 0 && this.#inlineMs < INLINE_BURST_MS) this.#waitInline(wanted);
    this.#inlineMs += performance.now() - this.#turnBegun;
    if (this.#outstanding > 0 || this.#full) this.#polling ??= this.#poll();
    else if (this.#polling !== null && !this.#closed) this.#engine.wake();
  };

  #waitInline(wanted: number): void {
    const { waited } = this.#engine;
    let count = this.#engine.wait(
      Math.min(wanted, waited.capacity),
      this.#inlineWaitUs,
      INLINE_WORK_US,
    );
    this.#collect(waited, count);
    while (count === waited.capacity) {
      count = this.#engine.wait(0, 0, INLINE_WORK_US);
      this.#collect(waited, count);
    }
  }

  async #poll(): Promise<void> {
    while (this.#outstanding > 0 || this.#full) {
      const count = await this.#engine.poll(this.#full ? FULL_RETRY_MS : undefined);
      this.#inlineMs = 0;
      if (count < 0) break;
      this.#collect(this.#engine.polled, count);
      if (this.#full) this.#submitBacklog();
    }
    this.#polling = null;
  }

  #collect(completions: Completions, count: number): void {
    this.#outstanding -= count;
    for (let i = 0; i < count; i++) {
      const result = completions.result(i);
      const code = result === 0 ? TransferCode.OK : codeOf(result);
      this.#complete(completions.userLow(i), completions.userHigh(i), code);
    }
  }

  #complete(slot: number, index: number, code: TransferCode): void {
    const transfer = this.#transfers[slot]!;
    const { ops, results } = transfer;
    if (code !== TransferCode.OK) {
      const op = results === null
        ? ops as TransferOperation
        : (ops as readonly TransferOperation[])[index];
      this.#peers.failed(op.peer, code);
    }
    if (results === null) transfer.code = code;
    else results[index] = code;
    if (--transfer.left > 0) return;
    this.#transfers[slot] = null;
    this.#freeSlots.push(slot);
    transfer.resolve((results ?? transfer.code) as never);
  }
}
