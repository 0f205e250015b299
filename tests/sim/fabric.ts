/** Memory that processes lend, and the bytes on their way to and from it. */
import {
  Opcode,
  type PeerAddress,
  type PeerId,
  type Region,
  TransferCode,
  type TransferEngine,
  type TransferOperation,
  type TransferOptions,
  type TransferStats,
} from "../../client/transfer/engine.ts";
import { Fences } from "../../client/transfer/fences.ts";
import { noteSum } from "../../client/transfer/sums.ts";
import { withoutWindow } from "../../proto/address_window.ts";
import type { Random } from "../support/random.ts";
import type { Host, Scheduler, SimEvent } from "./scheduler.ts";

/** Pieces in which an operation's bytes travel, at most. */
const MOST_PIECES = 3;

/** Memory of a process; what it lends is reached at `remoteBase`, which is never used twice. */
export class SimRegion implements Region {
  bytes: Uint8Array;

  constructor(
    readonly id: number,
    readonly length: number,
    readonly remoteBase: bigint | null,
  ) {
    this.bytes = new Uint8Array(length);
  }

  populate(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    this.bytes = new Uint8Array(0);
  }
}

export interface FabricOptions {
  scheduler: Scheduler;
  random: Random;
  /** How long the next piece takes. */
  delay: () => number;
}

/** What the engines of all processes share. */
export class Fabric {
  /** Engines of living processes by `host:port`. */
  readonly engines = new Map<string, SimEngine>();
  readonly flying = new Set<Flight>();
  /** Pieces of writes that arrived after their writer had given up. */
  lateWrites = 0;
  #nextBase = 0x5eed_0000_0000n;

  constructor(readonly options: FabricOptions) {}

  takeBase(length: number): bigint {
    const base = this.#nextBase;
    this.#nextBase += BigInt(length) + 4096n;
    return base;
  }

  /**
   * Breaks the data connection of an operation. Pieces that are on their way are lost, but not those
   * that have reached a frozen process: they lie in its sockets.
   */
  breakFlight(flight: Flight): void {
    flight.lose();
  }

  /** Takes a process out that is about to die, with every data connection at either end. */
  vanish(name: string, host: Host): void {
    this.engines.delete(name);
    for (const flight of Array.from(this.flying)) {
      if (flight.source === host) this.flying.delete(flight);
      else if (flight.target === host) this.breakFlight(flight);
    }
  }
}

/** An engine whose bytes travel through a {@linkcode Fabric}. */
export class SimEngine implements TransferEngine {
  readonly name = "tcp-typescript";
  readonly localName = "";
  readonly regions: SimRegion[] = [];
  readonly #peers = new Map<PeerId, string>();
  readonly #fences: Fences;
  #nextPeer = 1;

  constructor(readonly fabric: Fabric, readonly host: Host) {
    this.#fences = new Fences(() => fabric.options.scheduler.nowMs);
  }

  allocate(length: number, options: { publish?: boolean } = {}): SimRegion {
    const base = options.publish ? this.fabric.takeBase(length) : null;
    const region = new SimRegion(this.regions.length + 1, length, base);
    this.regions.push(region);
    return region;
  }

  adopt(): SimRegion {
    throw new Error("simulated memory is allocated");
  }

  listen(): Promise<{ host: string; port: number }> {
    return Promise.reject(new Error("a simulated engine is reached by the name of its host"));
  }

  openPeer({ host, port }: PeerAddress): PeerId {
    this.#peers.set(this.#nextPeer, `${host}:${port}`);
    return this.#nextPeer++;
  }

  closePeer(peer: PeerId): void {
    this.#peers.delete(peer);
  }

  async transfer(
    ops: readonly TransferOperation[],
    options?: TransferOptions,
  ): Promise<Int32Array> {
    return Int32Array.from(await Promise.all(ops.map((op) => this.transferOne(op, options))));
  }

  transferOne(op: TransferOperation, options: TransferOptions = {}): Promise<TransferCode> {
    const target = this.fabric.engines.get(this.#peers.get(op.peer) ?? "") ?? null;
    return new Promise((resolve) => {
      new Flight(this, target, op, options.timeoutMs ?? 30_000, resolve).begin();
    });
  }

  setIdentity(): void {}

  fence(address: bigint, length: number, keepMs: number): Promise<boolean> {
    if (this.find(address, length) === null) return Promise.resolve(false);
    this.#fences.add(Number(address), length, keepMs);
    return Promise.resolve(true);
  }

  stats(): TransferStats {
    return {
      ...{ servedReads: 0, servedWrites: 0, servedReadBytes: 0, servedWriteBytes: 0 },
      ...{ refused: 0, readsFenced: 0, connections: 0 },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** The lent memory at an address; `null` = there is none, or peers are kept out of it. */
  find(address: bigint, length: number): { region: SimRegion; offset: number } | null {
    if (this.#fences.meet(Number(address), length)) return null;
    const base = withoutWindow(address);
    for (const region of this.regions) {
      if (region.remoteBase === null) continue;
      const offset = Number(base - region.remoteBase);
      if (offset >= 0 && offset + length <= region.bytes.length) return { region, offset };
    }
    return null;
  }
}

/** One operation on its way, in pieces that take their time one after the other. */
export class Flight {
  readonly source: Host;
  readonly target: Host | null;
  readonly #fabric: Fabric;
  readonly #lastMs = { there: 0, back: 0 };
  readonly #timer: SimEvent;
  #done = false;
  #sending = true;
  #lostMs = Infinity;

  constructor(
    private readonly from: SimEngine,
    private readonly to: SimEngine | null,
    private readonly op: TransferOperation,
    timeoutMs: number,
    private readonly resolve: (code: TransferCode) => void,
  ) {
    this.#fabric = from.fabric;
    this.source = from.host;
    this.target = to?.host ?? null;
    const { scheduler } = this.#fabric.options;
    this.#timer = scheduler.after(
      timeoutMs,
      from.host,
      () => this.#finish(TransferCode.TIMEOUT),
    );
  }

  begin(): void {
    this.#fabric.flying.add(this);
    if (this.to === null) return this.failLater(TransferCode.ENDPOINT);
    const { opcode, length } = this.op;
    const cuts = this.#cut(length);
    if (opcode === Opcode.WRITE) this.#sendPiece(cuts, 0);
    else this.#toTarget(() => this.#servePiece(cuts, 0));
  }

  /** Has the connection break. */
  lose(): void {
    this.#lostMs = Math.min(this.#lostMs, this.#fabric.options.scheduler.nowMs);
    this.failLater(TransferCode.SOCKET);
  }

  /** Has the operation end with a failure, which its owner learns in a while. */
  failLater(code: TransferCode): void {
    this.#sending = false;
    const { scheduler, delay } = this.#fabric.options;
    scheduler.after(delay(), this.from.host, () => this.#finish(code));
  }

  #cut(length: number): number[] {
    const { random } = this.#fabric.options;
    const cuts = [0];
    for (let left = random.below(MOST_PIECES); left > 0; left--) cuts.push(random.below(length));
    return [...cuts.sort((a, b) => a - b), length];
  }

  /** Takes a piece out of the writer's memory and sends it, then the next one. */
  #sendPiece(cuts: number[], at: number): void {
    if (!this.#sending) return;
    const { local, localOffset, remoteAddress } = this.op;
    const bytes = local instanceof Uint8Array ? local : local.bytes;
    const piece = bytes.slice(localOffset + cuts[at], localOffset + cuts[at + 1]);
    this.#toTarget(() =>
      this.#store(remoteAddress + BigInt(cuts[at]), piece, at + 2 === cuts.length)
    );
    if (at + 2 < cuts.length) this.#pace(this.from.host, () => this.#sendPiece(cuts, at + 1));
  }

  #store(address: bigint, piece: Uint8Array, last: boolean): void {
    if (this.#done) this.#fabric.lateWrites++;
    const own = this.to!.find(address, piece.length);
    if (own === null) return this.#back(() => this.#finish(TransferCode.ADDRESS_NOT_REGISTERED));
    own.region.bytes.set(piece, own.offset);
    if (last) this.#back(() => this.#finish(TransferCode.OK));
  }

  /** Reads a piece of the lent memory and sends it back, then the next one. */
  #servePiece(cuts: number[], at: number): void {
    const { local, localOffset, remoteAddress } = this.op;
    const length = cuts[at + 1] - cuts[at];
    const own = this.to!.find(remoteAddress + BigInt(cuts[at]), length);
    if (own === null) return this.#back(() => this.#finish(TransferCode.ADDRESS_NOT_REGISTERED));
    const piece = own.region.bytes.slice(own.offset, own.offset + length);
    const last = at + 2 === cuts.length;
    this.#back(() => {
      if (this.#done) return;
      const mine = local instanceof Uint8Array ? local : local.bytes;
      mine.set(piece, localOffset + cuts[at]);
      if (last) this.#finish(TransferCode.OK);
    });
    if (!last) this.#pace(this.to!.host, () => this.#servePiece(cuts, at + 1));
  }

  #toTarget(run: () => void): void {
    const { scheduler, delay } = this.#fabric.options;
    const arrivesMs = Math.max(this.#lastMs.there, scheduler.nowMs + delay());
    this.#lastMs.there = arrivesMs;
    scheduler.at(arrivesMs, this.to!.host, () => {
      if (arrivesMs < this.#lostMs) run();
    });
  }

  #back(run: () => void): void {
    const { scheduler, delay } = this.#fabric.options;
    const arrivesMs = Math.max(this.#lastMs.back, scheduler.nowMs + delay());
    this.#lastMs.back = arrivesMs;
    scheduler.at(arrivesMs, this.from.host, () => {
      if (arrivesMs < this.#lostMs) run();
    });
  }

  #pace(host: Host, run: () => void): void {
    const { scheduler, delay } = this.#fabric.options;
    scheduler.after(delay(), host, run);
  }

  #finish(code: TransferCode): void {
    if (this.#done) return;
    this.#done = true;
    this.#sending = false;
    this.#timer.cancelled = true;
    this.#fabric.flying.delete(this);
    if (code === TransferCode.OK) noteSum(this.op);
    this.resolve(code);
  }
}
