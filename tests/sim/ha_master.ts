/** One master of a simulated cluster: the real member, seat, core and reply gate on two threads. */
import type { CoreConfig } from "../../master/core/api.ts";
import { defaultCoreConfig } from "../../master/core/config.ts";
import { MasterCore } from "../../master/core/core.ts";
import { SeededRng } from "../../master/core/rng.ts";
import { CoreSeat } from "../../master/ha/core_seat.ts";
import type { LogGroup } from "../../master/ha/fact_log.ts";
import type { HaConfig } from "../../master/ha/ha_config.ts";
import { type MemberParts, MemberThread } from "../../master/ha/member_thread.ts";
import { ReplicatedCore } from "../../master/ha/replicated_core.ts";
import type { Replies } from "../../master/rpc/replies.ts";
import type { Timers } from "../../master/ha/timers.ts";
import type { FromMember, MemberOrder, ToMember } from "../../master/ha/worker_protocol.ts";
import type { Random } from "../support/random.ts";
import { applyGroups, Disk, DiskCopy } from "./disk.ts";
import type { HaProfile } from "./ha_profile.ts";
import type { LogEngine } from "./log_engine.ts";
import { EPOCH_MS, MOST_SLICE_WORK } from "./master_host.ts";
import { MasterLoop } from "./master_loop.ts";
import { Host, type Scheduler } from "./scheduler.ts";
import type { Connection, Frame, Served, Server, Wire } from "./wire.ts";

/** Longest way of a message between the two threads of a master; a standby looks every 5 ms. */
const THREAD_DELAY_MS = 5;
/** As the real seat. */
const STOP_TIMEOUT_MS = 3000;
/** Longest time that making, reading or fetching a checkpoint takes. */
const LONGEST_WORK_MS = 400;

export interface HaMasterOptions {
  scheduler: Scheduler;
  wire: Wire;
  random: Random;
  engine: LogEngine;
  profile: HaProfile;
  config: Partial<CoreConfig>;
  putWaitMs: number;
  /** `host:port`. */
  address: string;
  /** The disk of the living master with this admin address. */
  diskOf: (admin: string) => Disk | null;
  /** Holds replies back. */
  gate: (leading: ReplicatedCore, replies: Replies) => void;
  /** Called when this master is about to lead. */
  onLead: (master: HaMaster) => void;
  onServed: (master: HaMaster, served: Served) => void;
  onFault: (error: unknown) => void;
  log: (line: string) => void;
}

/** A master's time as a leader. */
export interface Reign {
  readonly epoch: number;
  readonly leading: ReplicatedCore;
  readonly loop: MasterLoop;
  /** Facts told when each group was sent, by its number. */
  readonly sent: { sequence: number; told: number }[];
}

/** Ways between the threads of a master; what goes on one of them arrives in order. */
type Way = "toMember" | "toCore" | "groups";

/** One process of a master, from its start to its end; what comes back is another one. */
export class HaMaster implements Server {
  /** The thread that owns the core, and the one that is the member. */
  readonly host: Host;
  readonly memberHost: Host;
  readonly core: MasterCore;
  readonly seat: CoreSeat;
  reign: Reign | null = null;
  readonly #options: HaMasterOptions;
  readonly #thread: MemberThread;
  readonly #startedMs: number;
  /** When the last message on each way between the threads arrives. */
  readonly #arrivesMs: Record<Way, number> = { toMember: 0, toCore: 0, groups: 0 };
  #ending = false;

  constructor(readonly disk: Disk, options: HaMasterOptions, readonly onGone: () => void) {
    this.#options = options;
    const { scheduler, random, engine, profile, config, address, diskOf, onFault } = options;
    this.host = new Host(address);
    this.memberHost = new Host(`${address} member`);
    this.#startedMs = scheduler.nowMs - random.below(5000);
    const full = defaultCoreConfig({ ...config, epochOffsetMs: EPOCH_MS + this.#startedMs });
    this.core = new MasterCore(full, new SeededRng(random.u32(), 1));
    disk.recover(this.core);
    this.seat = new CoreSeat({
      ...{ core: this.core, sequence: disk.sequence, clock: () => this.nowMs },
      send: (message) => this.#toMember(message),
      warn: (line) => {
        options.log(`${address} ${line}`);
        if (/passed over/.test(line)) onFault(new Error(`${address} ${line}`));
      },
    });
    this.seat.onEnd = () => this.#stopServing();
    const skewMs = random.below(1_000_000);
    const timers: Timers = {
      now: () => scheduler.nowMs + skewMs,
      after: (ms, fire) => {
        const timer = scheduler.after(ms, this.memberHost, fire);
        return () => timer.cancelled = true;
      },
    };
    this.#thread = new MemberThread({
      timers,
      post: (message) => this.#toCore(message),
      postGroups: (groups) => this.#groupsToCore(groups),
      wakerOf: () => () => {},
      open: () => {
        const copy = new DiskCopy(disk, {
          ...{ scheduler, host: this.memberHost, config: full },
          workMs: () => random.below(LONGEST_WORK_MS),
        });
        const user = { name: address, host: this.memberHost, timers };
        const parts: MemberParts = {
          ...engine.engines(user),
          ...{ id: address, openCopy: () => copy, logId: disk.logId },
          keepLogId: (id) => disk.logId = id,
          newId: () => `log-${random.u32()}`,
          fetch: (members, logId, base) => copy.fetch(members, logId, base, diskOf),
          info: (line) => options.log(`${address} ${line}`),
          warn: (line) => {
            options.log(`${address} ${line}`);
            if (/^\w*Error\b[^]*\n {4}at /.test(line)) onFault(new Error(`${address} ${line}`));
          },
        };
        return Promise.resolve(parts);
      },
    });
    const { leaseMs, logBytes } = profile;
    const order = { ha: { leaseMs, logBytes } as HaConfig, dataPath: address };
    this.#toMember({
      type: "start",
      order: { ...order, rpc: address, admin: `${address} admin` } as MemberOrder,
    });
  }

  /** The core's clock. */
  get nowMs(): number {
    return this.#options.scheduler.nowMs - this.#startedMs;
  }

  get isAlive(): boolean {
    return this.host.alive;
  }

  get isFrozen(): boolean {
    return this.host.frozen || this.memberHost.frozen;
  }

  /** Whether it takes connections: whether it leads, as far as it knows. */
  get listens(): boolean {
    return this.reign !== null && this.host.alive && this.seat.outcome === null;
  }

  /** Last group that its core has. */
  get sequence(): number {
    return this.seat.status.sequence;
  }

  receive(frame: Frame): void {
    this.reign?.loop.receive(frame);
  }

  hungUp(connection: Connection): void {
    this.reign?.loop.hungUp(connection);
  }

  /** Has a turn of the loop begin soon: something was done to the core from outside. */
  wake(): void {
    this.reign?.loop.wake(0);
  }

  /** Dies. */
  kill(): void {
    const { scheduler, wire } = this.#options;
    if (!this.host.alive) return;
    this.reign?.loop.stop();
    wire.loseAll(this.host);
    scheduler.crash(this.host);
    scheduler.crash(this.memberHost);
    this.onGone();
  }

  /** Ends as one that is told to. */
  stop(): void {
    this.seat.stop();
  }

  #stopServing(): void {
    if (this.#ending) return;
    this.#ending = true;
    const { wire, scheduler } = this.#options;
    this.reign?.loop.stop();
    wire.loseAll(this.host);
    this.seat.leave();
    scheduler.after(STOP_TIMEOUT_MS, this.host, () => this.kill());
  }

  #toMember(message: ToMember): void {
    this.#carry("toMember", this.memberHost, () => this.#thread.take(message));
  }

  #toCore(message: FromMember): void {
    this.#carry("toCore", this.host, () => {
      this.seat.take(message);
      if (this.seat.left) return this.kill();
      this.#proceed();
    });
  }

  #groupsToCore(groups: LogGroup[]): void {
    this.#carry("groups", this.host, () => {
      if (this.reign !== null) return;
      this.seat.apply(groups);
      this.#proceed();
    });
  }

  #carry(way: Way, to: Host, run: () => void): void {
    const { scheduler, random } = this.#options;
    const atMs = scheduler.nowMs + random.below(THREAD_DELAY_MS + 1);
    this.#arrivesMs[way] = Math.max(this.#arrivesMs[way], atMs);
    scheduler.at(this.#arrivesMs[way], to, run);
  }

  #proceed(): void {
    if (this.reign === null && this.seat.standing === "promoted") this.#lead();
    this.wake();
  }

  #lead(): void {
    const { scheduler, wire, random, putWaitMs, gate, onLead, onServed, onFault, log, address } =
      this.#options;
    onLead(this);
    const sent: Reign["sent"] = [];
    const { core, host } = this;
    const loop: MasterLoop = new MasterLoop({
      ...{ scheduler, wire, random, host, core, putWaitMs, onFault },
      ...{ clock: () => this.nowMs, told: () => leading.told },
      sliceWork: 1 + random.below(MOST_SLICE_WORK),
      settle() {
        gate(leading, loop.replies);
        return true;
      },
      onServed: (served) => onServed(this, served),
    });
    const leading: ReplicatedCore = new ReplicatedCore({
      ...{ core, replies: loop.replies, clock: () => this.nowMs },
      send: (group) => {
        sent.push({ sequence: group.sequence, told: leading.told });
        this.seat.append(group);
      },
      refuseChanges: (why) => loop.dispatcher.refuseChanges(why),
      onRefusal: (why) => log(`${address} ${why ?? "takes changes again"}`),
    });
    this.reign = { epoch: this.seat.epoch!, leading, loop, sent };
    this.seat.lead(leading);
  }
}

/** A core made of a log's groups, to compare others with. */
export class ReferenceCore {
  readonly core: MasterCore;
  #sequence = 0;

  constructor(config: CoreConfig, readonly engine: LogEngine) {
    this.core = new MasterCore(config, new SeededRng(7));
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Applies the log up to a group. */
  advance(through: number): void {
    const groups: Uint8Array[] = [];
    while (this.#sequence < through) {
      const bytes = this.engine.group(++this.#sequence);
      if (bytes === undefined) throw new Error(`group ${this.#sequence} is not in the log`);
      groups.push(bytes);
    }
    applyGroups(this.core, groups);
  }
}
