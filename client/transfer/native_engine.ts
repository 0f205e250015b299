import type { Completions } from "../../ffi/completions.ts";
import type { Library } from "../../ffi/library.ts";
import { NativeEngine, type NativeMemory } from "../../ffi/native_engine.ts";
import { openTls } from "../../ffi/native_tls.ts";
import { BORROWED, OperationBatch } from "../../ffi/operation_batch.ts";
import type { Crc32c } from "../../proto/crc32c.ts";
import {
  checkBorrowed,
  checkLength,
  checkLent,
  checkListenPort,
  checkOperation,
  checkPeerAddress,
  checkTunables,
  timeoutOf,
} from "./checks.ts";
import { systemClock, within } from "./clock.ts";
import {
  type AllocateOptions,
  DEFAULT_PLACEMENT,
  type Done,
  type Failed,
  type LentMemory,
  type ListenOptions,
  type PeerAddress,
  type PeerId,
  type PluginSide,
  type RdmaSide,
  type Region,
  type TlsSide,
  TransferCode,
  type TransferEngine,
  type TransferOperation,
  type TransferOptions,
  type TransferStats,
} from "./engine.ts";
import { FilePeers } from "./file_peers.ts";
import { HandshakeDoor } from "./handshake_door.ts";
import { registerOnHost } from "./host_memory.ts";
import { inlineBudget } from "./inline_budget.ts";
import { InlineWaits } from "./inline_wait.ts";
import { codeOf } from "./native_codes.ts";
import { registerOnDevice } from "./native_devices.ts";
import { type EnginePeers, NativePeers } from "./native_peers.ts";
import { NativeRegion } from "./native_region.ts";
import type { NativeTransferOptions } from "./native_options.ts";
import { endWhenAborted, type Transfer, type Waiting } from "./native_transfer.ts";
import { openPlugin } from "./plugin_side.ts";
import { openRdma } from "./rdma_side.ts";
import { RefusalNotice } from "./refusal_notice.ts";
import { shimCrc32c } from "./shim_crc32c.ts";

const INLINE_WAIT_US = 50;
/** Microseconds of moving bytes on the calling thread before the poll takes over. */
const INLINE_WORK_US = 1000;
/** Milliseconds of the event loop that an operation takes around the shim, about. */
const SCRIPT_MS = 0.003;
/** Operations packed at a time. */
const BATCH = 1024;
/** Its reactions run at the next microtask checkpoint; cheaper than `queueMicrotask`. */
const SETTLED = Promise.resolve();
/** Milliseconds after which operations that found the queue full are tried again. */
const FULL_RETRY_MS = 10;

/** The transfer engine on the C shim. */
export class NativeTransferEngine implements TransferEngine {
  readonly name: "tcp-native" | "rdma-native" | "plugin-native";
  readonly rdma?: RdmaSide;
  readonly plugin?: PluginSide;
  readonly files: FilePeers;
  readonly tls?: TlsSide;
  readonly crc32c: Crc32c;
  readonly #library: Library;
  readonly #engine: NativeEngine;
  readonly #peers: EnginePeers;
  #nextPeer: PeerId = 1;
  readonly #regions = new Map<number, NativeRegion>();
  readonly #inlineWaits: InlineWaits;

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
  /** What has been submitted since the last turn, and the last peer of that. */
  #sinceTurn = 0;
  #turnBytes = 0;
  #turnPeer: PeerId = 0;
  #polling: Promise<void> | null = null;
  #door: HandshakeDoor | null = null;
  #closed = false;
  #closing: Promise<void> | null = null;
  #finalStats: TransferStats | null = null;
  #refusals: RefusalNotice | null = null;

  /** Takes the library over: it is closed with the engine. */
  constructor(library: Library, options: NativeTransferOptions = {}) {
    const { rdma, plugin, tls, log, ...tunables } = options;
    if (tls && (rdma ?? plugin)) {
      throw new TypeError("Only TCP is encrypted: TLS goes with no other");
    }
    checkTunables(tunables);
    this.#library = library;
    this.crc32c = shimCrc32c(library, () => !this.#closed);
    this.#engine = new NativeEngine(library.symbols, tunables);
    if (tls) this.tls = this.#open(() => openTls(library.symbols, this.#engine, tls));
    const sockets = new NativePeers(this.#engine);
    this.name = rdma ? "rdma-native" : plugin ? "plugin-native" : "tcp-native";
    let peers: EnginePeers = sockets;
    if (rdma !== undefined) {
      const side = this.rdma = this.#open(() => openRdma(library, this.#engine, rdma));
      peers = side.peers(sockets);
    } else if (plugin !== undefined) {
      const side = this.plugin = this.#open(() => openPlugin(library, this.#engine, plugin));
      peers = side.peers(sockets);
    }
    this.#peers = this.files = new FilePeers(library.symbols, this.#engine, peers);
    this.#inlineWaits = new InlineWaits(options.inlineWaitUs ?? INLINE_WAIT_US);
    if (log !== undefined) this.#refusals = new RefusalNotice(this.#engine, log);
  }

  /** Opens a part of the engine, which is closed when that fails. */
  #open<T>(open: () => T): T {
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
    checkPeerAddress(address, this);
    this.#checkOpen();
    const id = this.#nextPeer++;
    this.#peers.open(address, id);
    return id;
  }

  closePeer(peer: PeerId): void {
    this.#submitStaged();
    this.#peers.close(peer);
    this.#inlineWaits.forget(peer);
    if (this.#outstanding > 0) this.#scheduleTurn();
  }

  stats(): TransferStats {
    return this.#finalStats ?? this.#engine.stats();
  }

  transferOne(op: TransferOperation, options?: TransferOptions): Promise<TransferCode> {
    return new Promise((resolve, reject) =>
      this.begin(op, timeoutOf(options), resolve, reject, options?.signal)
    );
  }

  begin(
    op: TransferOperation,
    timeoutMs: number,
    done: Done,
    failed: Failed,
    signal?: AbortSignal,
  ): void {
    try {
      this.#check(op);
    } catch (error) {
      return failed(error);
    }
    const native = this.#peers.native(op.peer);
    if (native === 0) {
      const all = this.transfer([op], { timeoutMs, signal });
      void all.then(([code]) => done(code as TransferCode), failed);
      return;
    }
    this.#stage(op, native, this.#slot(op, null, 1, done, signal), 0, timeoutMs);
    this.#scheduleTurn();
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
      const slot = this.#slot(kept, results, ops.length, resolve, options?.signal);
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
    const signal = this.#transfers[slot]?.signal;
    await within(systemClock, timeoutMs, this.#peers.resolve(peer), signal);
    const restMs = Math.floor(timeoutMs - (performance.now() - startedAt));
    const native = this.#closed ? 0 : this.#peers.native(peer);
    for (const i of which) {
      if (signal?.aborted) this.#complete(slot, i, TransferCode.CANCELLED);
      else if (restMs < 1) this.#complete(slot, i, TransferCode.TIMEOUT);
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
    signal: AbortSignal | undefined,
  ): number {
    const slot = this.#freeSlots.pop() ?? this.#transfers.length;
    const transfer = { ops, results, code: TransferCode.OK, left, signal, resolve };
    this.#transfers[slot] = transfer;
    if (signal === undefined) return slot;
    endWhenAborted(signal, transfer, () => {
      this.#submitStaged();
      if (!this.#closed) this.#engine.cancel(slot);
      if (this.#outstanding > 0) this.#scheduleTurn();
    });
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
    this.#turnBytes += op.length;
    this.#turnPeer = op.peer;
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
      op.sums === true,
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
    this.#submitStaged();
    void SETTLED.then(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turnIsDue = false;
    this.#submitStaged();
    const wanted = Math.min(this.#sinceTurn, this.#outstanding);
    if (wanted > 0 && !inlineBudget.isSpent) this.#waitInline(wanted);
    const scriptMs = this.#sinceTurn * SCRIPT_MS;
    if (scriptMs > 0) inlineBudget.spend(this.#engine.spentMs() + scriptMs);
    this.#sinceTurn = this.#turnBytes = 0;
    if (this.#outstanding > 0 || this.#full) this.#polling ??= this.#poll();
    else if (this.#polling !== null && !this.#closed) this.#engine.wake();
  };

  #waitInline(wanted: number): void {
    const { waited } = this.#engine, wait = this.#inlineWaits.of(this.#turnPeer);
    const min = Math.min(wanted, waited.capacity);
    const limitUs = wait.limitUs(this.#turnBytes);
    let count = this.#engine.wait(min, limitUs, INLINE_WORK_US);
    // A poll that is under way may have taken them.
    if (limitUs > 0 && this.#polling === null) wait.waited(this.#turnBytes, count >= min);
    this.#collect(waited, count);
    while (count === waited.capacity) {
      count = this.#engine.wait(0, 0, INLINE_WORK_US);
      this.#collect(waited, count);
    }
  }

  async #poll(): Promise<void> {
    inlineBudget.enter();
    while (this.#outstanding > 0 || this.#full) {
      const count = await this.#engine.poll(this.#full ? FULL_RETRY_MS : undefined);
      inlineBudget.renew();
      if (count < 0) break;
      this.#collect(this.#engine.polled, count);
      if (this.#full) this.#submitBacklog();
    }
    this.#polling = null;
    inlineBudget.leave();
  }

  #collect(completions: Completions, count: number): void {
    if (this.#refusals?.tell()) this.#refusals = null;
    this.#outstanding -= count;
    for (let i = 0; i < count; i++) {
      const result = completions.result(i);
      const code = result === 0 ? TransferCode.OK : codeOf(result);
      this.#complete(completions.userLow(i), completions.userHigh(i), code, completions.crc32c(i));
    }
  }

  #complete(slot: number, index: number, code: TransferCode, crc = 0): void {
    const transfer = this.#transfers[slot]!;
    const { ops, results } = transfer;
    const op = results === null
      ? ops as TransferOperation
      : (ops as readonly TransferOperation[])[index];
    if (code !== TransferCode.OK) this.#peers.failed(op.peer, code);
    else if (op.sums === true) op.crc32c = crc;
    if (code === TransferCode.TIMEOUT && transfer.signal?.aborted) code = TransferCode.CANCELLED;
    if (results === null) transfer.code = code;
    else results[index] = code;
    if (--transfer.left > 0) return;
    this.#transfers[slot] = null;
    this.#freeSlots.push(slot);
    transfer.resolve((results ?? transfer.code) as never);
  }
}
