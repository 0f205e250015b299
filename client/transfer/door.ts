import type { Clock } from "./clock.ts";
import {
  type Done,
  type Failed,
  type PeerId,
  TransferCode,
  type TransferEngine,
  type TransferOperation,
} from "./engine.ts";
import type { StopSignal } from "./stop.ts";

/**
 * How much a transfer matters beside others of the same process.
 *
 * @example
 * ```ts ignore
 * await client.get("layer/0", { priority: "high" });
 * ```
 */
export type Priority = "high" | "normal" | "low";

/** Most important first. */
export const PRIORITIES: readonly Priority[] = ["high", "normal", "low"];

/**
 * What a call says about its transfers.
 *
 * @example
 * ```ts ignore
 * const stop = new AbortController();
 * await client.batchGet(keys, { signal: stop.signal, priority: "low" });
 * ```
 */
export interface Traffic {
  /** Default `normal`. */
  priority?: Priority;
  /** What has not begun when it is aborted is not done; reads that have begun end, writes are waited for. */
  signal?: AbortSignal;
}

/** {@linkcode Traffic} as it is passed on, with anything that tells when to stop. */
export interface TransferTraffic {
  priority?: Priority;
  signal?: StopSignal;
}

/** Bytes a second of all transfers of a class; a class that is absent has no limit. */
export type TransferLimits = Partial<Record<Priority, number>>;

/** Bytes that are handed to the engine at a time. */
const CHUNK_BYTES = { high: 4 << 20, normal: 4 << 20, low: 1 << 20 };
/** Bytes in flight with a peer, beyond which a class waits; low ones when nothing else is. */
const WINDOW_BYTES = { high: Infinity, normal: 32 << 20, low: 4 << 20 };
/** Milliseconds' worth of bytes that a class with a limit may send at once. */
const BURST_MS = 100;
/** Lanes that stay when nothing waits or is in flight on them. */
const IDLE_LANES = 64;

/** Part of a transfer, with one peer, that waits for its turn. */
interface Job {
  readonly transfer: Waiting;
  /** Which operations of the transfer. */
  readonly which: number[];
  bytes: number;
}

/** A transfer with parts that wait or are in flight. */
interface Waiting {
  readonly ops: readonly TransferOperation[];
  readonly codes: Int32Array;
  readonly priority: Priority;
  readonly signal: StopSignal | undefined;
  readonly deadlineMs: number;
  /** Parts that have not ended. */
  left: number;
  finish(): void;
}

/** What waits for one peer, and the bytes in flight with it. */
interface Lane {
  readonly queues: Record<Priority, Job[]>;
  readonly inFlight: Record<Priority, number>;
}

/**
 * The way into a transfer engine: it lets transfers pass by class. High ones pass at once. Normal ones
 * wait while 32 MiB of them are in flight with the same peer, so that a high one meets no long queue.
 * Of low ones 1 MiB is in flight at a time beside others, and 4 MiB when they are alone, so that they
 * never stand still. Operations are passed whole, in order within a class and a peer.
 */
export class TransferDoor {
  readonly #engine: TransferEngine;
  readonly #clock: Clock;
  readonly #limits: TransferLimits;
  /** Peers with something that waits or is in flight, and some others. */
  readonly #lanes = new Map<PeerId, Lane>();
  /** When all that was let in of a class with a limit will have been sent at its rate. */
  readonly #sentAtMs: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  readonly #timers = new Map<Priority, () => void>();

  constructor(engine: TransferEngine, clock: Clock, limits: TransferLimits = {}) {
    this.#engine = engine;
    this.#clock = clock;
    this.#limits = limits;
  }

  /**
   * Runs a batch as {@linkcode TransferEngine.transfer} does. Operations that had not begun when the
   * signal was aborted end with `CANCELLED`; those that wait past the deadline with `TIMEOUT`.
   */
  async transfer(
    ops: readonly TransferOperation[],
    timeoutMs: number,
    { priority = "normal", signal }: TransferTraffic = {},
  ): Promise<Int32Array> {
    if (signal?.aborted) return new Int32Array(ops.length).fill(TransferCode.CANCELLED);
    if (this.#passes(ops, priority)) {
      for (const { peer, length } of ops) this.#lane(peer).inFlight[priority] += length;
      try {
        return await run(this.#engine, ops, timeoutMs, signal);
      } finally {
        for (const { peer, length } of ops) this.#lane(peer).inFlight[priority] -= length;
        this.#admitSome(ops);
      }
    }
    return await this.#enqueue(ops, timeoutMs, priority, signal);
  }

  /** {@linkcode transfer} of one operation without a promise, as {@linkcode TransferEngine.begin}. */
  begin(
    op: TransferOperation,
    timeoutMs: number,
    traffic: TransferTraffic,
    done: Done,
    failed: Failed,
  ): void {
    const { priority = "normal", signal } = traffic;
    const { peer, length } = op;
    const lane = this.#lane(peer);
    const passes = !signal?.aborted && priority !== "low" &&
      this.#limits[priority] === undefined && lane.queues[priority].length === 0 &&
      lane.inFlight[priority] + length <= WINDOW_BYTES[priority];
    const engine = this.#engine;
    if (!passes || engine.begin === undefined) {
      const code = ([code]: Int32Array) => done(code as TransferCode);
      void this.transfer([op], timeoutMs, traffic).then(code, failed);
      return;
    }
    lane.inFlight[priority] += length;
    const leave = () => {
      lane.inFlight[priority] -= length;
      if (waits(lane) || this.#lanes.size > IDLE_LANES) this.#admit(peer);
    };
    engine.begin(op, timeoutMs, (code) => {
      leave();
      done(code);
    }, (error) => {
      leave();
      failed(error);
    }, signal);
  }

  /** Ends what waits with `SOCKET`; the engine ends what is in flight. */
  close(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    const waiting = new Set<Waiting>();
    for (const { queues } of this.#lanes.values()) {
      for (const queue of Object.values(queues)) {
        for (const { transfer } of queue) waiting.add(transfer);
      }
    }
    for (const transfer of waiting) this.#drop(transfer, TransferCode.SOCKET);
  }

  #lane(peer: PeerId): Lane {
    let lane = this.#lanes.get(peer);
    if (lane === undefined) {
      lane = {
        queues: { high: [], normal: [], low: [] },
        inFlight: { high: 0, normal: 0, low: 0 },
      };
      this.#lanes.set(peer, lane);
    }
    return lane;
  }

  /** Whether a transfer can be handed on at once and in one piece. */
  #passes(ops: readonly TransferOperation[], priority: Priority): boolean {
    if (priority === "low" || this.#limits[priority] !== undefined) return false;
    let bytes = 0;
    for (const { length } of ops) bytes += length;
    for (let i = 0; i < ops.length; i++) {
      if (i > 0 && ops[i].peer === ops[i - 1].peer) continue;
      const lane = this.#lanes.get(ops[i].peer);
      const inFlight = lane?.inFlight[priority] ?? 0;
      if (inFlight + bytes > WINDOW_BYTES[priority]) return false;
      if (lane !== undefined && lane.queues[priority].length > 0) return false;
    }
    return true;
  }

  #enqueue(
    ops: readonly TransferOperation[],
    timeoutMs: number,
    priority: Priority,
    signal: StopSignal | undefined,
  ): Promise<Int32Array> {
    let resolve: (codes: Int32Array) => void;
    // Node 20 has no Promise.withResolvers.
    const promise = new Promise<Int32Array>((settle) => resolve = settle);
    const codes = new Int32Array(ops.length);
    const abort = () => this.#drop(transfer, TransferCode.CANCELLED);
    const cancelTimer = this.#clock.after(
      timeoutMs,
      () => this.#drop(transfer, TransferCode.TIMEOUT),
    );
    const transfer: Waiting = {
      ...{
        ops: [...ops],
        codes,
        priority,
        signal,
        left: 0,
        deadlineMs: this.#clock.now() + timeoutMs,
      },
      finish() {
        cancelTimer();
        signal?.removeEventListener("abort", abort);
        resolve(codes);
      },
    };
    signal?.addEventListener("abort", abort);
    for (const [i, { peer, length }] of ops.entries()) {
      const queue = this.#lane(peer).queues[priority];
      const last = queue.at(-1);
      if (last?.transfer === transfer && last.bytes + length <= CHUNK_BYTES[priority]) {
        last.which.push(i);
        last.bytes += length;
      } else {
        queue.push({ transfer, which: [i], bytes: length });
        transfer.left++;
      }
    }
    this.#admitSome(ops);
    return promise;
  }

  #admitSome(ops: readonly TransferOperation[]): void {
    for (let i = 0; i < ops.length; i++) {
      if (i === 0 || ops[i].peer !== ops[i - 1].peer) this.#admit(ops[i].peer);
    }
  }

  /** Lets in what may begin now with a peer. */
  #admit(peer: PeerId): void {
    const lane = this.#lanes.get(peer);
    if (lane === undefined) return;
    for (const priority of PRIORITIES) {
      const queue = lane.queues[priority];
      while (queue.length > 0 && this.#mayBegin(lane, priority, queue[0].bytes)) {
        void this.#begin(peer, lane, queue.shift()!);
      }
    }
    const { high, normal, low } = lane.inFlight;
    const idle = high + normal + low === 0 && !waits(lane);
    if (idle && this.#lanes.size > IDLE_LANES) this.#lanes.delete(peer);
  }

  #mayBegin({ inFlight }: Lane, priority: Priority, bytes: number): boolean {
    const { high, normal, low } = inFlight;
    const mine = inFlight[priority];
    const fits = mine === 0 || mine + bytes <= WINDOW_BYTES[priority];
    if (!fits || (priority === "low" && low > 0 && high + normal > 0)) return false;
    if (this.#limits[priority] === undefined) return true;
    const waitMs = this.#sentAtMs[priority] - BURST_MS - this.#clock.now();
    if (waitMs > 0 && !this.#timers.has(priority)) {
      const cancel = this.#clock.after(waitMs, () => {
        this.#timers.delete(priority);
        for (const peer of [...this.#lanes.keys()]) this.#admit(peer);
      });
      this.#timers.set(priority, cancel);
    }
    return waitMs <= 0;
  }

  async #begin(peer: PeerId, lane: Lane, { transfer, which, bytes }: Job): Promise<void> {
    const { ops, codes, priority, signal, deadlineMs } = transfer;
    const now = this.#clock.now();
    const limit = this.#limits[priority];
    if (limit !== undefined) {
      this.#sentAtMs[priority] = Math.max(this.#sentAtMs[priority], now) + bytes * 1000 / limit;
    }
    lane.inFlight[priority] += bytes;
    const timeoutMs = Math.max(1, Math.floor(deadlineMs - now));
    try {
      const results = await run(this.#engine, which.map((i) => ops[i]), timeoutMs, signal);
      which.forEach((i, at) => codes[i] = results[at]);
    } catch {
      // The peer or the engine was closed while they waited.
      for (const i of which) codes[i] = TransferCode.SOCKET;
    }
    lane.inFlight[priority] -= bytes;
    this.#ended(transfer, 1);
    this.#admit(peer);
  }

  /** Ends the parts of a transfer that have not begun. */
  #drop(transfer: Waiting, code: TransferCode): void {
    const { priority, codes } = transfer;
    let parts = 0;
    for (const [peer, { queues }] of [...this.#lanes]) {
      const queue = queues[priority];
      queues[priority] = queue.filter((job) => job.transfer !== transfer);
      for (const { which } of queue.filter((job) => job.transfer === transfer)) {
        for (const i of which) codes[i] = code;
        parts++;
      }
      this.#admit(peer);
    }
    if (parts > 0) this.#ended(transfer, parts);
  }

  #ended(transfer: Waiting, parts: number): void {
    transfer.left -= parts;
    if (transfer.left === 0) transfer.finish();
  }
}

function waits({ queues: { high, normal, low } }: Lane): boolean {
  return high.length + normal.length + low.length > 0;
}

async function run(
  engine: TransferEngine,
  ops: readonly TransferOperation[],
  timeoutMs: number,
  signal: StopSignal | undefined,
): Promise<Int32Array> {
  if (ops.length !== 1) return await engine.transfer(ops, { timeoutMs, signal });
  return Int32Array.of(await engine.transferOne(ops[0], { timeoutMs, signal }));
}
