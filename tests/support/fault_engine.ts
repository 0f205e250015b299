import { checkOperation, timeoutOf } from "../../client/transfer/checks.ts";
import { type Clock, pause, systemClock } from "../../client/transfer/clock.ts";
import {
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
} from "../../client/transfer/engine.ts";
import type { StopSignal } from "../../client/transfer/stop.ts";
import { noteSums } from "../../client/transfer/sums.ts";

/** What befalls one operation, in this order; what is absent does not. */
export interface Fault {
  /** Nothing is moved, and this is the result at once. */
  atSubmit?: TransferCode;
  /** Nothing is moved, and the operation times out at its deadline. */
  silent?: boolean;
  /** It cannot be cancelled. */
  deaf?: boolean;
  /** Milliseconds before it begins. */
  delayMs?: number;
  /** Bytes for each millisecond: the operation takes as long as that, besides what it takes. */
  bytesPerMs?: number;
  /** Only so many of its first bytes are moved, and the result is `SOCKET` unless it is given. */
  partialBytes?: number;
  /** The result, though the bytes were moved. */
  atCompletion?: TransferCode;
}

/** Decides what befalls an operation with the peer at `host:port`; `null` = nothing. */
export type FaultPlan = (peer: string, op: TransferOperation) => Fault | null;

/**
 * A transfer engine for tests that wraps another one and fails as it is told. Without a plan it is the
 * other one. Deadlines and signals hold for what it adds, too: an operation that is late ends with
 * `TIMEOUT`.
 */
export class FaultEngine implements TransferEngine {
  plan: FaultPlan | null = null;
  /** Operations that something befell, in order. */
  readonly struck: { peer: string; fault: Fault }[] = [];
  readonly #inner: TransferEngine;
  readonly #clock: Clock;
  readonly #peers = new Map<PeerId, string>();

  constructor(inner: TransferEngine, clock: Clock = systemClock) {
    this.#inner = inner;
    this.#clock = clock;
  }

  get name(): TransferEngine["name"] {
    return this.#inner.name;
  }

  get localName(): string {
    return this.#inner.localName;
  }

  allocate(length: number, options?: { publish?: boolean }): Region {
    return this.#inner.allocate(length, options);
  }

  adopt(memory: LentMemory, options?: { publish?: boolean }): Region {
    return this.#inner.adopt(memory, options);
  }

  listen(options?: ListenOptions): Promise<{ host: string; port: number }> {
    return this.#inner.listen(options);
  }

  openPeer(address: PeerAddress): PeerId {
    const id = this.#inner.openPeer(address);
    this.#peers.set(id, `${address.host}:${address.port}`);
    return id;
  }

  closePeer(peer: PeerId): void {
    this.#peers.delete(peer);
    this.#inner.closePeer(peer);
  }

  async transfer(
    ops: readonly TransferOperation[],
    options?: TransferOptions,
  ): Promise<Int32Array> {
    const faults = ops.map((op) => this.plan?.(this.#peers.get(op.peer) ?? "", op) ?? null);
    if (faults.every((fault) => fault === null)) return await this.#inner.transfer(ops, options);
    ops.forEach(checkOperation);
    const codes = new Int32Array(ops.length);
    const sound = Array.from(ops.keys()).filter((i) => faults[i] === null);
    const undisturbed = this.#inner.transfer(sound.map((i) => ops[i]), options)
      .then((results) => sound.forEach((i, at) => codes[i] = results[at]));
    await Promise.all([
      undisturbed,
      ...faults.map(async (fault, i) => {
        if (fault !== null) codes[i] = await this.#strike(ops[i], fault, options);
      }),
    ]);
    noteSums(ops, codes);
    return codes;
  }

  async transferOne(op: TransferOperation, options?: TransferOptions): Promise<TransferCode> {
    if (this.plan === null) return await this.#inner.transferOne(op, options);
    const [code] = await this.transfer([op], options);
    return code as TransferCode;
  }

  setIdentity(identity: Uint8Array): void {
    this.#inner.setIdentity(identity);
  }

  fence(
    address: bigint,
    length: number,
    keepMs: number,
    writer: Uint8Array,
  ): Promise<boolean> {
    return this.#inner.fence(address, length, keepMs, writer);
  }

  stats(): TransferStats {
    return this.#inner.stats();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }

  async #strike(
    op: TransferOperation,
    fault: Fault,
    options: TransferOptions | undefined,
  ): Promise<TransferCode> {
    const timeoutMs = timeoutOf(options);
    const signal = op.opcode === Opcode.READ && !fault.deaf ? options?.signal : undefined;
    this.struck.push({ peer: this.#peers.get(op.peer) ?? "", fault });
    const { atSubmit, silent, delayMs = 0, bytesPerMs = Infinity, partialBytes } = fault;
    const deadline = this.#clock.now() + timeoutMs;
    if (atSubmit !== undefined) return atSubmit;
    if (silent || delayMs >= timeoutMs) return await this.#late(timeoutMs, signal);
    if (delayMs > 0) await pause(this.#clock, delayMs, signal);
    if (signal?.aborted) return TransferCode.CANCELLED;
    const length = Math.min(partialBytes ?? op.length, op.length);
    let code: TransferCode = TransferCode.OK;
    if (length > 0) {
      const restMs = Math.ceil(deadline - this.#clock.now());
      if (restMs < 1) return TransferCode.TIMEOUT;
      code = await this.#inner.transferOne({ ...op, length }, { timeoutMs: restMs });
    }
    const slowMs = length / bytesPerMs;
    const restMs = deadline - this.#clock.now();
    if (slowMs > restMs) return await this.#late(restMs, signal);
    if (slowMs > 0) await pause(this.#clock, slowMs, signal);
    if (signal?.aborted) return TransferCode.CANCELLED;
    if (code !== TransferCode.OK) return code;
    return fault.atCompletion ?? (length < op.length ? TransferCode.SOCKET : TransferCode.OK);
  }

  async #late(ms: number, signal: StopSignal | undefined): Promise<TransferCode> {
    await pause(this.#clock, ms, signal);
    return signal?.aborted ? TransferCode.CANCELLED : TransferCode.TIMEOUT;
  }
}
