/** A lone master as a process: a loop, and facts that outlive it. */
import type { CoreConfig } from "../../master/core/api.ts";
import { defaultCoreConfig } from "../../master/core/config.ts";
import { Counter } from "../../master/core/counters.ts";
import { MasterCore } from "../../master/core/core.ts";
import { durableState } from "../../master/core/digest.ts";
import { SeededRng } from "../../master/core/rng.ts";
import assert from "node:assert/strict";
import { checkCore } from "../support/core_invariants.ts";
import type { Random } from "../support/random.ts";
import type { ControlPlane, MasterLink } from "./control_plane.ts";
import { MasterLoop } from "./master_loop.ts";
import { Fault } from "./profile.ts";
import { Host, type Scheduler } from "./scheduler.ts";
import { type Connection, type Frame, Link, type Served, type Server, type Wire } from "./wire.ts";

/** Scans of a world get slices of some keys each. */
export const MOST_SLICE_WORK = 5000;
/** Unix time at which worlds begin. */
export const EPOCH_MS = 1_800_000_000_000;
/** Facts after which a snapshot takes the place of all that were told before. */
const FACTS_PER_CHECKPOINT = 400;

export interface MasterHostOptions {
  scheduler: Scheduler;
  wire: Wire;
  random: Random;
  delay: () => number;
  core: Partial<CoreConfig>;
  putWaitMs: number;
  requestTimeoutMs: number;
  longestAbsenceMs: number;
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
export class MasterHost implements Server, ControlPlane {
  host!: Host;
  core!: MasterCore;
  readonly listens = true;
  restarts = 0;
  readonly #options: MasterHostOptions;
  #loop!: MasterLoop;
  #kept: Uint8Array[] = [];
  #told: Uint8Array[] = [];
  #startedMs = 0;
  #evicted = 0;
  /** The next batch ends the life of this master here. */
  #dieIn: BatchEnd | null = null;

  constructor(options: MasterHostOptions) {
    this.#options = options;
    this.#start();
  }

  get nowMs(): number {
    return this.#options.scheduler.nowMs - this.#startedMs;
  }

  get isUp(): boolean {
    return this.host.alive;
  }

  get evicted(): number {
    return this.#evicted + this.core.counters.get(Counter.EVICTED_KEYS);
  }

  connect(client: Host): MasterLink {
    const { scheduler, wire, delay, requestTimeoutMs } = this.#options;
    const rpc = new Link({ scheduler, client, server: this, wire, delay, requestTimeoutMs });
    return { rpc, onChange: () => {} };
  }

  receive(frame: Frame): void {
    this.#loop.receive(frame);
  }

  hungUp(connection: Connection): void {
    this.#loop.hungUp(connection);
  }

  strike(fault: Fault, freezeMs: number): void {
    const { scheduler, random } = this.#options;
    switch (fault) {
      case Fault.MASTER_STALL:
        return scheduler.freeze(this.host, freezeMs);
      case Fault.MASTER_RESTART:
        if (!this.host.alive) return;
        this.#crash();
        return this.#bringBack();
      case Fault.TORN_BATCH:
        if (this.host.alive) {
          this.#dieIn = random.oneIn(2) ? "before its facts are kept" : "before its answers leave";
        }
        return this.#bringBack();
    }
  }

  heal(): void {
    this.#dieIn = null;
    this.#options.scheduler.thaw(this.host);
    if (!this.host.alive) this.#start();
  }

  /** Compares the core with a second one made of what is kept so far. */
  inspect(): void {
    if (!this.host.alive) return;
    const { core } = this;
    checkCore(core.state);
    if (!this.#options.random.oneIn(8)) return;
    if (this.#told.length > 0 || core.segments.dead.length > 0) return;
    const follower = new MasterCore(core.state.config, new SeededRng(7));
    for (const fact of this.#kept) follower.replay(fact);
    if (follower.digest() === core.digest()) return;
    const known = Array.from(durableState(core.state)).sort();
    assert.deepEqual(Array.from(durableState(follower.state)).sort(), known, "what is kept");
    assert.fail("the digests differ, the states do not");
  }

  /** Begins a life with what the last one has left. */
  #start(): void {
    const { scheduler, wire, random, core, putWaitMs, onServed, onFault } = this.#options;
    this.#startedMs = scheduler.nowMs - random.below(5000);
    const full = defaultCoreConfig({ ...core, epochOffsetMs: EPOCH_MS + this.#startedMs });
    this.core = new MasterCore(full, new SeededRng(random.u32(), 1));
    this.host = new Host("master");
    this.#loop = new MasterLoop({
      ...{ scheduler, wire, random, host: this.host, core: this.core, putWaitMs },
      ...{ clock: () => this.nowMs, told: () => 0, settle: () => this.#settle() },
      ...{ onServed, onFault, sliceWork: 1 + Math.abs(this.#startedMs) % MOST_SLICE_WORK },
    });
    for (const fact of this.#kept) this.core.replay(fact);
    if (this.#kept.length > 0) this.core.finishReplay(this.nowMs);
    this.core.attachFacts({
      append: (bytes, start, end) => this.#told.push(bytes.slice(start, end)),
    });
    this.#loop.wake(0);
  }

  /** Ends this life: what was not kept, and every connection, is lost. */
  #crash(): void {
    const { scheduler, wire } = this.#options;
    this.#evicted = this.evicted;
    this.#told = [];
    this.#loop.stop();
    this.#dieIn = null;
    this.restarts++;
    wire.loseAll(this.host);
    scheduler.crash(this.host);
  }

  #bringBack(): void {
    const { scheduler, random, longestAbsenceMs } = this.#options;
    scheduler.after(random.below(longestAbsenceMs) + 50, null, () => {
      if (!this.host.alive) this.#start();
    });
  }

  #settle(): boolean {
    const { replies } = this.#loop;
    if (this.#dieIn === "before its facts are kept" && this.#told.length > 0) {
      this.#crash();
      return false;
    }
    this.#keep();
    if (this.#dieIn === "before its answers leave" && replies.length > 0) {
      this.#crash();
      return false;
    }
    return true;
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
}
