/** The engine that a simulated cluster shares: an election and a log behind a network that fails. */
import type { Candidacy, Elector } from "../../master/ha/elector.ts";
import { validUntil } from "../../master/ha/elector.ts";
import {
  EngineError,
  type FactLog,
  type LogFollower,
  type LogGroup,
  LogRefusal,
  type MemberRecord,
} from "../../master/ha/fact_log.ts";
import type { Timers } from "../../master/ha/timers.ts";
import { type EngineManner, MemoryCluster } from "../support/memory_cluster.ts";
import type { Random } from "../support/random.ts";
import type { Host, Scheduler } from "./scheduler.ts";

/** Between two looks of a follower that nobody tells anything, and after a look that failed. */
const LOOK_MS = 1000;
const LOOK_AGAIN_MS = 300;
/** Groups that one read brings. */
const PAGE_GROUPS = 32;

export interface LogEngineOptions {
  scheduler: Scheduler;
  random: Random;
  manner: EngineManner;
  leaseMs: number;
  /** Longest ordinary way to the engine, or back. */
  delayMs: number;
  /** One in so many requests or answers is lost; 0 = none. */
  losses: number;
  /** How much faster than true time the engine's clock runs; a lease allows for a twentieth. */
  drift: number;
}

/** A place that asks the engine. */
export interface EngineUser {
  readonly name: string;
  readonly host: Host;
  /** The clock that its leases are measured with. */
  readonly timers: Timers;
}

/**
 * An engine whose answers take their time, or are lost: then what was asked may have been done. It
 * keeps everything and forgets nothing: the groups that masters have let go of stay in
 * {@linkcode LogEngine.archive}, for those who check.
 */
export class LogEngine {
  readonly cluster: MemoryCluster;
  readonly archive = new Map<number, Uint8Array>();
  /** Nobody reaches it. */
  isDown = false;
  /** All is well: nothing is lost any more. */
  calm = false;
  readonly options: LogEngineOptions;

  constructor(options: LogEngineOptions) {
    this.options = options;
    const { scheduler, leaseMs, manner, drift } = options;
    const timers: Timers = {
      now: () => scheduler.nowMs * (1 + drift),
      after: () => {
        throw new Error("an engine in memory sets no timers");
      },
    };
    this.cluster = new MemoryCluster(timers, leaseMs, manner);
  }

  /** Last group that is in the log with all before it. */
  get last(): number {
    return this.cluster.last;
  }

  /** A group that is in the log, or was. */
  group(sequence: number): Uint8Array | undefined {
    return this.cluster.log.get(sequence) ?? this.archive.get(sequence);
  }

  engines(user: EngineUser): { elector: Elector; log: FactLog } {
    const connection = new Connection(this, user);
    const { elector, log } = this.cluster.engines(user.name);
    return {
      elector: new FarElector(connection, elector, this.options.leaseMs),
      log: new FarLog(connection, log),
    };
  }

  delay(): number {
    return this.options.random.below(this.options.delayMs + 1);
  }

  /** Whether a message from, or to, somebody arrives. */
  carries(name: string): boolean {
    const { random, losses } = this.options;
    if (this.isDown || this.cluster.cutOff.has(name)) return false;
    return this.calm || losses === 0 || !random.oneIn(losses);
  }
}

/** One user's way to the engine and back. Requests of a Redis arrive in their order. */
class Connection {
  #arrivesMs = 0;
  closed = false;

  constructor(readonly engine: LogEngine, readonly user: EngineUser) {}

  ask<T>(work: () => Promise<T>, timeoutMs: number): Promise<T> {
    const { engine, user: { host, name } } = this;
    const { scheduler, manner } = engine.options;
    return new Promise<T>((resolve, reject) => {
      const timer = scheduler.after(timeoutMs, host, () => {
        reject(new EngineError(`the engine did not answer within ${timeoutMs} ms`));
      });
      if (!engine.carries(name)) return;
      let atMs = scheduler.nowMs + engine.delay();
      if (manner === "redis") atMs = this.#arrivesMs = Math.max(atMs, this.#arrivesMs);
      const answer = (settle: () => void) => {
        if (!engine.carries(name)) return;
        scheduler.after(engine.delay(), host, () => {
          timer.cancelled = true;
          settle();
        });
      };
      scheduler.at(atMs, null, () => {
        if (engine.isDown) return;
        work().then(
          (value) => answer(() => resolve(value)),
          (error) => answer(() => reject(error)),
        );
      });
    });
  }
}

class FarElector implements Elector {
  constructor(
    readonly connection: Connection,
    readonly near: Elector,
    readonly leaseMs: number,
  ) {}

  async campaign(address: string): Promise<Candidacy> {
    const sentMs = this.connection.user.timers.now();
    const { full } = this.connection.engine.cluster;
    const candidacy = await this.connection.ask(() => {
      if (full !== null) return Promise.reject(new LogRefusal(full));
      return this.near.campaign(address);
    }, this.leaseMs / 2);
    if (!candidacy.won) return candidacy;
    return { ...candidacy, validUntilMs: validUntil(sentMs, this.leaseMs) };
  }

  async renew(epoch: number): Promise<number | null> {
    const sentMs = this.connection.user.timers.now();
    const until = await this.connection.ask(() => this.near.renew(epoch), this.leaseMs / 2);
    return until === null ? null : validUntil(sentMs, this.leaseMs);
  }

  resign(epoch: number): Promise<void> {
    return this.connection.ask(() => this.near.resign(epoch), this.leaseMs / 2);
  }

  watch(changed: () => void): void {
    const { engine, user } = this.connection;
    this.near.watch(() => {
      if (!engine.carries(user.name)) return;
      engine.options.scheduler.after(engine.delay(), user.host, () => {
        if (!this.connection.closed) changed();
      });
    });
  }

  close(): Promise<void> {
    this.connection.closed = true;
    return Promise.resolve();
  }
}

/** Time in which the log has to answer; the real one is longer, and so are real leases. */
const LOG_TIMEOUT_MS = 1000;

class FarLog implements FactLog {
  #unfollow = () => {};

  constructor(readonly connection: Connection, readonly near: FactLog) {}

  head() {
    return this.#ask(() => this.near.head());
  }

  take(epoch: number, first: { id: string; base: number }, known: number) {
    return this.#ask(() => this.near.take(epoch, first, known));
  }

  has(sequence: number) {
    return this.#ask(() => this.near.has(sequence));
  }

  append(epoch: number, group: LogGroup): Promise<void> {
    return this.#ask(() => this.near.append(epoch, group));
  }

  read(after: number): Promise<LogGroup[] | null> {
    return this.#ask(async () => (await this.near.read(after))?.slice(0, PAGE_GROUPS) ?? null);
  }

  /** Reads what is new when the engine says that there is something, and once in a while. */
  follow(after: number, follower: LogFollower): () => void {
    const { engine, user: { host, name } } = this.connection;
    const { scheduler } = engine.options;
    let last = after;
    let stopped = false;
    let waiting: { atMs: number; cancelled: boolean } | null = null;
    let again = false;
    const next = (ms: number) => {
      if (waiting !== null) waiting.cancelled = true;
      waiting = scheduler.after(ms, host, () => {
        waiting = null;
        void look();
      });
    };
    const look = async () => {
      again = false;
      try {
        const groups = await this.read(last);
        if (stopped) return;
        if (groups === null) return follower.trimmed();
        follower.trouble(null);
        if (groups.length > 0) {
          last = groups.at(-1)!.sequence;
          follower.groups(groups);
        }
        if (!stopped) next(groups.length > 0 || again ? 0 : LOOK_MS);
      } catch (error) {
        if (stopped) return;
        follower.trouble(error instanceof Error ? error.message : String(error));
        next(LOOK_AGAIN_MS);
      }
    };
    const grown = () => {
      if (!engine.carries(name)) return;
      scheduler.after(engine.delay(), host, () => {
        again = true;
        if (!stopped && waiting !== null) next(0);
      });
    };
    engine.cluster.followers.add(grown);
    next(0);
    this.#unfollow = () => {
      stopped = true;
      engine.cluster.followers.delete(grown);
      if (waiting !== null) waiting.cancelled = true;
    };
    return this.#unfollow;
  }

  trim(epoch: number, through: number): Promise<void> {
    const { archive, cluster } = this.connection.engine;
    return this.#ask(() => {
      for (const [sequence, bytes] of cluster.log) {
        if (sequence <= through) archive.set(sequence, bytes);
      }
      return this.near.trim(epoch, through);
    });
  }

  announce(record: MemberRecord, ttlMs: number): Promise<void> {
    return this.#ask(() => this.near.announce(record, ttlMs));
  }

  members(): Promise<MemberRecord[]> {
    return this.#ask(() => this.near.members());
  }

  close(): Promise<void> {
    this.#unfollow();
    return this.#ask(() => this.near.close());
  }

  #ask<T>(work: () => Promise<T>): Promise<T> {
    return this.connection.ask(work, LOG_TIMEOUT_MS);
  }
}
