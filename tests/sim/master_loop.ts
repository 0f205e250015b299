/** The loop of a simulated master: the real core and dispatcher, requests in, answers out. */
import type { MasterCore } from "../../master/core/core.ts";
import { ClusterCalls } from "../../master/rpc/cluster_calls.ts";
import { Dispatcher } from "../../master/rpc/dispatcher.ts";
import { MovementCalls } from "../../master/rpc/movement_calls.ts";
import { ObjectCalls } from "../../master/rpc/object_calls.ts";
import { Replies } from "../../master/rpc/replies.ts";
import { ScanCalls } from "../../master/rpc/scan_calls.ts";
import type { Random } from "../support/random.ts";
import { readAnswers } from "../support/dispatcher.ts";
import type { Host, Scheduler, SimEvent } from "./scheduler.ts";
import type { Connection, Frame, Served, Wire } from "./wire.ts";

/** As the real loops. */
const TICK_EVERY_MS = 10;
const IDLE_TICK_MS = 250;
const WAITING_TICK_MS = 2;

export interface MasterLoopOptions {
  scheduler: Scheduler;
  wire: Wire;
  random: Random;
  host: Host;
  core: MasterCore;
  /** The core's clock. */
  clock: () => number;
  putWaitMs: number;
  sliceWork: number;
  /** Counts durable changes, as for a `Dispatcher`. */
  told: () => number;
  /** Takes out the replies that have to wait; `false` when this life has ended meanwhile. */
  settle: () => boolean;
  /** Told of each answer at the moment at which the master gives it. */
  onServed: (served: Served) => void;
  /** Told what is not supposed to happen. */
  onFault: (error: unknown) => void;
}

/** One life of a loop; what was to come of it ends with its host, or when it is stopped. */
export class MasterLoop {
  readonly replies = new Replies();
  readonly dispatcher: Dispatcher;
  readonly #options: MasterLoopOptions;
  #inbox: Frame[] = [];
  readonly #frames = new Map<string, Frame>();
  #round: SimEvent | null = null;
  #nextTickMs = 0;
  #stopped = false;

  constructor(options: MasterLoopOptions) {
    this.#options = options;
    const { core, putWaitMs, sliceWork, told, onFault } = options;
    const limits = { maxKeyBytes: 1024, onSize: () => {} };
    const storage = { fsdir: "", enableDiskEviction: true, quotaBytes: 0 };
    const entries = [
      ...new ObjectCalls(core, this.replies.writer, limits).entries(),
      ...new ClusterCalls(core, { storage }).entries(),
      ...new MovementCalls(core).entries(),
      ...new ScanCalls(core, { maxListingBytes: 1 << 20, onRefusal: () => {} }).entries(),
    ];
    this.dispatcher = new Dispatcher({
      functions: entries.map((entry) => ({ ...entry, meter: null })),
      ...{ replies: this.replies, putWaitMs, sliceWork, changes: told },
      onFault: (_, error) => onFault(error),
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#inbox = [];
    this.#frames.clear();
  }

  receive(frame: Frame): void {
    this.#inbox.push(frame);
    this.wake(this.#options.random.below(2));
  }

  hungUp(connection: Connection): void {
    for (const [key, frame] of this.#frames) {
      if (frame.connection === connection) this.#frames.delete(key);
    }
  }

  /** Has a turn begin in `ms` or sooner. */
  wake(ms: number): void {
    const { scheduler, host } = this.#options;
    const atMs = scheduler.nowMs + ms;
    if (this.#stopped || (this.#round !== null && this.#round.atMs <= atMs)) return;
    if (this.#round !== null) this.#round.cancelled = true;
    this.#round = scheduler.at(atMs, host, () => {
      if (!this.#stopped) this.#turn();
    });
  }

  /** One turn of the loop: what has come, what is due, what waits; then facts, then answers. */
  #turn(): void {
    this.#round = null;
    const { dispatcher } = this;
    const { core, clock, settle, told, scheduler } = this.#options;
    const nowMs = clock();
    for (const frame of this.#inbox.splice(0)) {
      const { connection, seq, rpc, bytes, bodyLength } = frame;
      if (!connection.open) continue;
      this.#frames.set(`${connection.id}/${seq}`, frame);
      const { functionId } = rpc;
      const { length } = bytes;
      const before = told();
      frame.readMs = scheduler.nowMs;
      dispatcher.request(connection.id, seq, functionId, bytes, 0, bodyLength, length, nowMs);
      frame.told = told();
      frame.changes = frame.told > before;
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
    if (!settle()) return;
    this.#answer();
    if (progress) this.wake(0);
    else if (dispatcher.scanning > 0) this.wake(1);
    else if (dispatcher.waiting > 0) this.wake(WAITING_TICK_MS);
    this.wake(Math.max(0, this.#nextTickMs - nowMs));
  }

  #answer(): void {
    const { wire, onServed, onFault } = this.#options;
    const answers = readAnswers(this.replies.bytes);
    this.replies.clear();
    for (const answer of answers) {
      const key = `${answer.connection}/${answer.seq}`;
      const frame = this.#frames.get(key);
      if (frame === undefined) {
        // Replies that were held outlive the connections that they are for.
        if (wire.connections.has(answer.connection)) {
          onFault(new Error(`An answer to ${key}, which nobody asks for`));
        }
        continue;
      }
      this.#frames.delete(key);
      const served = wire.answer(frame, answer);
      if (served !== null) onServed(served);
    }
  }
}
