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
import { type Clock, systemClock } from "./clock.ts";
import {
  type AllocateOptions,
  DEFAULT_PLACEMENT,
  type LentMemory,
  type ListenOptions,
  Opcode,
  type PeerAddress,
  type PeerId,
  type Region,
  TransferCode,
  type TransferEngine,
  type TransferOperation,
  type TransferOptions,
  type TransferStats,
} from "./engine.ts";
import { noteSum } from "./sums.ts";
import { TsLane, type TsRequest } from "./ts_lane.ts";
import { TsRegion, TsRegions } from "./ts_regions.ts";
import { TsServer } from "./ts_server.ts";

/** Tunables of {@linkcode TsTransferEngine}. */
export interface TsTransferOptions extends EngineTunables {
  clock?: Clock;
}

/** How often deadlines are looked at while something is outstanding. */
const SWEEP_MS = 50;

interface Peer {
  readonly address: PeerAddress;
  readonly lanes: TsLane[];
}

/** The transfer engine on `node:net`: for machines without a C compiler, and for Node. */
export class TsTransferEngine implements TransferEngine {
  readonly name = "tcp-typescript";
  /** JavaScript cannot map memory of another process. */
  readonly localName = "";
  readonly #clock: Clock;
  readonly #lanesPerPeer: number;
  readonly #laneSpillBytes: number;
  readonly #connectTimeoutMs: number;
  readonly #regions: TsRegions;
  readonly #server: TsServer;
  readonly #peers = new Map<PeerId, Peer>();
  #nextPeer = 1;
  #outstanding = 0;
  #cancelSweep: (() => void) | null = null;
  #closed = false;
  #closing: Promise<void> | null = null;

  constructor(options: TsTransferOptions = {}) {
    checkTunables(options);
    this.#clock = options.clock ?? systemClock;
    this.#regions = new TsRegions(() => this.#clock.now());
    this.#lanesPerPeer = options.lanesPerPeer ?? 4;
    this.#laneSpillBytes = options.laneSpillBytes ?? 256 << 10;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5000;
    this.#server = new TsServer(this.#regions, {
      clock: this.#clock,
      maxConnections: options.maxConnections ?? 16384,
      stallTimeoutMs: options.stallTimeoutMs ?? 30_000,
    });
  }

  allocate(length: number, options: AllocateOptions = {}): Region {
    checkLength(length);
    if (options.location) {
      throw new Error(`Memory of ${options.location} needs the engine in C`);
    }
    const { numa, hugepages, lockMemory } = options.placement ?? DEFAULT_PLACEMENT;
    if (numa !== "off" || hugepages !== "auto" || lockMemory) {
      throw new Error("NUMA nodes, huge pages and locked memory need the engine in C");
    }
    this.#checkOpen();
    return this.#regions.add(new Uint8Array(length), options.publish ?? false);
  }

  adopt(memory: LentMemory, options: { publish?: boolean } = {}): Region {
    checkLent(memory);
    if (!(memory instanceof Uint8Array)) {
      throw new TypeError("The engine in TypeScript has no access to memory by its address");
    }
    this.#checkOpen();
    return this.#regions.add(memory as Uint8Array<ArrayBuffer>, options.publish ?? false, true);
  }

  async listen(options: ListenOptions = {}): Promise<{ host: string; port: number }> {
    const host = options.host ?? "0.0.0.0";
    checkListenPort(options.port ?? 0);
    this.#checkOpen();
    return { host, port: await this.#server.listen(host, options) };
  }

  openPeer(address: PeerAddress): PeerId {
    checkPeerAddress(address);
    this.#checkOpen();
    const id = this.#nextPeer++;
    this.#peers.set(id, { address: { ...address }, lanes: [] });
    return id;
  }

  closePeer(id: PeerId): void {
    const peer = this.#peers.get(id);
    this.#peers.delete(id);
    for (const lane of peer?.lanes ?? []) lane.fail(TransferCode.SOCKET);
  }

  stats(): TransferStats {
    return { ...this.#server.counters, connections: this.#server.connections };
  }

  async transferOne(op: TransferOperation, options?: TransferOptions): Promise<TransferCode> {
    const [code] = await this.transfer([op], options);
    return code as TransferCode;
  }

  // deno-lint-ignore require-await -- a malformed argument rejects rather than throws
  async transfer(
    ops: readonly TransferOperation[],
    options?: TransferOptions,
  ): Promise<Int32Array> {
    const deadline = this.#clock.now() + timeoutOf(options);
    const signal = options?.signal;
    for (const op of ops) this.#check(op);
    const results = new Int32Array(ops.length);
    if (ops.length === 0) return results;
    return new Promise((resolve) => {
      let left = ops.length;
      this.#outstanding += left;
      const corked = new Set<TsLane>();
      const reads: TsRequest[] = [];
      const cancel = () => this.#cancel(reads);
      for (let i = 0; i < ops.length; i++) {
        const { opcode, remoteAddress, length, localOffset, peer, local } = ops[i];
        const request: TsRequest = {
          opcode,
          remoteAddress,
          length,
          localOffset,
          local: local as TsRegion | Uint8Array,
          deadline,
          abandoned: false,
          finish: (code) => {
            if (code === TransferCode.OK) noteSum(ops[i]);
            const cancelled = code === TransferCode.TIMEOUT && signal?.aborted;
            results[i] = cancelled ? TransferCode.CANCELLED : code;
            this.#outstanding--;
            if (--left > 0) return;
            signal?.removeEventListener("abort", cancel);
            resolve(results);
          },
        };
        if (signal !== undefined && opcode === Opcode.READ) reads.push(request);
        this.#submit(this.#peers.get(peer)!, request, corked);
      }
      for (const lane of corked) lane.uncork();
      signal?.addEventListener("abort", cancel);
      this.#cancelSweep ??= this.#clock.after(SWEEP_MS, this.#sweep);
    });
  }

  /** A process has no name to give: no other can map its memory. */
  setIdentity(): void {}

  fence(address: bigint, length: number, keepMs: number): Promise<boolean> {
    return Promise.resolve(!this.#closed && this.#regions.fence(address, length, keepMs));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closed = true;
    for (const id of [...this.#peers.keys()]) this.closePeer(id);
    this.#cancelSweep?.();
    await this.#server.close();
    this.#regions.disposeAll();
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("The transfer engine is closed");
  }

  #check(op: TransferOperation): void {
    this.#checkOpen();
    if (!(op.local instanceof TsRegion)) checkBorrowed(op.local as Uint8Array);
    else if (!this.#regions.has(op.local)) {
      throw new TypeError("local is a region of another engine, or disposed");
    }
    checkOperation(op);
    if (!this.#peers.has(op.peer)) throw new RangeError(`Peer ${op.peer} is not open`);
  }

  #submit(peer: Peer, request: TsRequest, corked: Set<TsLane> | null): void {
    const lane = this.#chooseLane(peer, request.length);
    lane.push(request);
    if (corked !== null && !corked.has(lane)) {
      corked.add(lane);
      lane.cork();
    }
  }

  /**
   * The first lane that is not yet full, so that small requests share one connection and a large one
   * does not hold up the next; when all are full, the emptiest.
   */
  #chooseLane(peer: Peer, length: number): TsLane {
    const { lanes } = peer;
    let emptiest: TsLane | null = null;
    for (const lane of lanes) {
      if (lane.queuedBytes === 0 || lane.queuedBytes + length <= this.#laneSpillBytes) return lane;
      if (emptiest === null || lane.queuedBytes < emptiest.queuedBytes) emptiest = lane;
    }
    if (emptiest !== null && lanes.length === this.#lanesPerPeer) return emptiest;
    const lane = new TsLane({
      address: peer.address,
      now: () => this.#clock.now(),
      connectTimeoutMs: this.#connectTimeoutMs,
      resubmit: (request) => this.#submit(peer, request, null),
    });
    lanes.push(lane);
    return lane;
  }

  /** Ends requests that are in flight. */
  #cancel(requests: readonly TsRequest[]): void {
    for (const request of requests) request.deadline = -Infinity;
    const now = this.#clock.now();
    for (const { lanes } of this.#peers.values()) {
      for (const lane of lanes) lane.expire(now);
    }
  }

  readonly #sweep = (): void => {
    this.#cancelSweep = null;
    const now = this.#clock.now();
    let next = Infinity;
    for (const { lanes } of this.#peers.values()) {
      for (const lane of lanes) next = Math.min(next, lane.expire(now));
    }
    if (this.#outstanding === 0 || this.#closed) return;
    const ms = Math.max(1, Math.min(SWEEP_MS, next - now));
    this.#cancelSweep = this.#clock.after(ms, this.#sweep);
  };
}
