/** The master as a process: the real core and dispatcher, a loop, and facts that outlive it. */
import type { CoreConfig } from "../../master/core/api.ts";
import { defaultCoreConfig } from "../../master/core/config.ts";
import { MasterCore } from "../../master/core/core.ts";
import { SeededRng } from "../../master/core/rng.ts";
import { ClusterCalls } from "../../master/rpc/cluster_calls.ts";
import { Dispatcher } from "../../master/rpc/dispatcher.ts";
import { MovementCalls } from "../../master/rpc/movement_calls.ts";
import { ObjectCalls } from "../../master/rpc/object_calls.ts";
import { ScanCalls } from "../../master/rpc/scan_calls.ts";
import { Replies } from "../../master/rpc/replies.ts";
import type { Random } from "../support/random.ts";
import { readAnswers } from "../support/dispatcher.ts";
import { Host, type Scheduler, type SimEvent } from "./scheduler.ts";
import type { Connection, Frame, Served, Server, Wire } from "./wire.ts";

/** As the real loops. */
const TICK_EVERY_MS = 10;
const IDLE_TICK_MS = 250;
const WAITING_TICK_MS = 2;
/** Scans of a world get slices of some keys each. */
const MOST_SLICE_WORK = 5000;
/** Unix time at which worlds begin. */
const EPOCH_MS = 1_800_000_000_000;
/** Facts after which a snapshot takes the place of all that were told before. */
const FACTS_PER_CHECKPOINT = 400;

export interface MasterHostOptions {
  scheduler: Scheduler;
  wire: Wire;
  random: Random;
  config: Partial<CoreConfig>;
  putWaitMs: number;
  /** Told of each answer at the moment at which the master gives it. */
  onServed: (served: Served) => void;
  /** Told what is not supposed to happen. */
  onFault: (error: unknown) => void;
}

/** Where a life of the master ends if it ends within a batch. */
export type BatchEnd = "before its facts are kept" | "before its answers leave";

/**
 * A master that can die and come back at any moment. The facts of a batch are kept together, before
 * any of its answers leaves; what was not kept then has never happened.
 */
export class MasterHost implements Server {
  host!: Host;
  core!: MasterCore;
  dispatcher!: Dispatcher;
  /** The next batch ends the life of this master here. */
  dieIn: BatchEnd | null = null;
  restarts = 0;
  readonly #options: MasterHostOptions;
  #replies = new Replies();
  #kept: Uint8Array[] = [];
  #told: Uint8Array[] = [];
  #startedMs = 0;
  #inbox: Frame[] = [];
  readonly #frames = new Map<string, Frame>();
  #round: SimEvent | null = null;
  #nextTickMs = 0;

  constructor(options: MasterHostOptions) {
    this.#options = options;
    this.start();
  }

  /** The core's clock, which begins anew with each life. */
  get nowMs(): number {
    return this.#options.scheduler.nowMs - this.#startedMs;
  }

  /** Begins a life with what the last one has left. */
  start(): void {
    const { scheduler, random, config, putWaitMs, onFault } = this.#options;
    this.#startedMs = scheduler.nowMs - random.below(5000);
    const full = defaultCoreConfig({ ...config, epochOffsetMs: EPOCH_MS + this.#startedMs });
    this.core = new MasterCore(full, new SeededRng(random.u32(), 1));
    this.#replies = new Replies();
    const limits = { maxKeyBytes: 1024, onSize: () => {} };
    const storage = { fsdir: "", enableDiskEviction: true, quotaBytes: 0 };
    const entries = [
      ...new ObjectCalls(this.core, this.#replies.writer, limits).entries(),
      ...new ClusterCalls(this.core, { storage }).entries(),
      ...new MovementCalls(this.core).entries(),
      ...new ScanCalls(this.core, { maxListingBytes: 1 << 20, onRefusal: () => {} }).entries(),
    ];
    this.dispatcher = new Dispatcher({
      functions: entries.map((entry) => ({ ...entry, meter: null })),
      replies: this.#replies,
      putWaitMs,
      sliceWork: 1 + Math.abs(this.#startedMs) % MOST_SLICE_WORK,
      onFault: (_, error) => onFault(error),
    });
    for (const fact of this.#kept) this.core.replay(fact);
    if (this.#kept.length > 0) this.core.finishReplay(this.nowMs);
    this.core.attachFacts({
      append: (bytes, start, end) => this.#told.push(bytes.slice(start, end)),
    });
    this.host = new Host("master");
    this.#nextTickMs = 0;
    this.#wake(0);
  }

  /** Ends this life: what was not kept, and every connection, is lost. */
  crash(): void {
    const { scheduler, wire } = this.#options;
    this.#told = [];
    this.#inbox = [];
    this.#frames.clear();
    this.#round = null;
    this.dieIn = null;
    this.restarts++;
    wire.loseAll(this.host);
    scheduler.crash(this.host);
  }

  receive(frame: Frame): void {
    this.#inbox.push(frame);
    this.#wake(this.#options.random.below(2));
  }

  hungUp(connection: Connection): void {
    for (const [key, frame] of this.#frames) {
      if (frame.connection === connection) this.#frames.delete(key);
    }
  }

  /** A second core made of what is kept so far; `null` while a batch has not been kept. */
  follower(): MasterCore | null {
    if (this.#told.length > 0) return null;
    const core = new MasterCore(this.core.state.config, new SeededRng(7));
    for (const fact of this.#kept) core.replay(fact);
    return core;
  }

  #wake(ms: number): void {
    const { scheduler } = this.#options;
    const atMs = scheduler.nowMs + ms;
    if (this.#round !== null && this.#round.atMs <= atMs) return;
    if (this.#round !== null) this.#round.cancelled = true;
    this.#round = scheduler.at(atMs, this.host, () => this.#turn());
  }

  /** One turn of the loop: what has come, what is due, what waits; then facts, then answers. */
  #turn(): void {
    this.#round = null;
    const { core, dispatcher, nowMs } = this;
    for (const frame of this.#inbox.splice(0)) {
      const { connection, seq, rpc, bytes, bodyLength } = frame;
      if (!connection.open) continue;
      this.#frames.set(`${connection.id}/${seq}`, frame);
      const { functionId } = rpc;
      const { length } = bytes;
      dispatcher.request(connection.id, seq, functionId, bytes, 0, bodyLength, length, nowMs);
      this.#nextTickMs = Math.min(this.#nextTickMs, nowMs + TICK_EVERY_MS);
    }
    if (nowMs >= this.#nextTickMs) {
      const delay = core.tick(nowMs);
      this.#nextTickMs = nowMs + Math.min(IDLE_TICK_MS, Math.max(TICK_EVERY_MS, delay));
    }
    const { connections } = this.#options.wire;
    const isOpen = (id: number) => connections.has(id);
    const progress = dispatcher.retryWaiting(nowMs, isOpen);
    dispatcher.runScans(nowMs, isOpen);
    if (this.dieIn === "before its facts are kept" && this.#told.length > 0) return this.crash();
    this.#keep();
    if (this.dieIn === "before its answers leave" && this.#replies.length > 0) return this.crash();
    this.#answer();
    if (progress) this.#wake(0);
    else if (dispatcher.scanning > 0) this.#wake(1);
    else if (dispatcher.waiting > 0) this.#wake(WAITING_TICK_MS);
    this.#wake(Math.max(0, this.#nextTickMs - nowMs));
  }

  #keep(): void {
    this.#kept.push(...this.#told);
    this.#told = [];
    if (this.#kept.length < FACTS_PER_CHECKPOINT || !this.#options.random.oneIn(50)) return;
    this.#kept = [];
    this.core.tellSnapshot({
      append: (bytes, start, end) => this.#kept.push(bytes.slice(start, end)),
    });
  }

  #answer(): void {
    const { wire, onServed, onFault } = this.#options;
    const answers = readAnswers(this.#replies.bytes);
    this.#replies.clear();
    for (const answer of answers) {
      const key = `${answer.connection}/${answer.seq}`;
      const frame = this.#frames.get(key);
      if (frame === undefined) {
        onFault(new Error(`An answer to ${key}, which nobody asks for`));
        continue;
      }
      this.#frames.delete(key);
      onServed(wire.answer(frame, answer));
    }
  }
}
