/** One seeded world: a master, clients and nodes, what they do and what befalls them. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { StoreError } from "../../proto/error.ts";
import { Random } from "../support/random.ts";
import type { ReplicatedCore } from "../../master/ha/replicated_core.ts";
import type { Replies } from "../../master/rpc/replies.ts";
import type { KnownPlaces } from "../../client/known_places.ts";
import type { ReservedPuts } from "../../client/reserved_puts.ts";
import { Counter } from "../../master/core/counters.ts";
import { Cluster } from "./cluster.ts";
import { Fabric } from "./fabric.ts";
import { drawHaProfile, type HaProfile } from "./ha_profile.ts";
import { History } from "./history.ts";
import type { ControlPlane } from "./control_plane.ts";
import { MasterHost } from "./master_host.ts";
import { Oversight } from "./oversight.ts";
import { StoreProcess } from "./process.ts";
import { type Command, drawProfile, Fault, type Profile } from "./profile.ts";
import { Host, Scheduler } from "./scheduler.ts";
import { type Reader, readWhole, User } from "./user.ts";
import { type Served, Wire } from "./wire.ts";

/** Steps between two looks at everything inside the core. */
const CHECK_EVERY = 200;
/** Longest time for which a process, or the master, is away. */
const LONGEST_ABSENCE_MS = 3000;
/** Rounds of promises that are ready after a step; more than any chain in the client is long. */
const SETTLE_ROUNDS = 30;

/** Of so many bytes one changes when memory does. */
const FLIP_EVERY = 512;

const LONGEST_SUMMARY = 1000;

/** Something went wrong in a world; the message begins with the seed. */
export class SimError extends Error {
  override readonly name = "SimError";
}

export interface WorldOptions {
  /** Overrides what the seed would have. */
  profile?: Partial<Profile>;
  /** Several masters instead of one; with what the seed would not have. */
  ha?: Partial<HaProfile>;
  /** How the masters of a cluster hold replies back, to break it. */
  gate?: (leading: ReplicatedCore, replies: Replies) => void;
  /** How users read. */
  read?: Reader;
  /** Called with the world after every step, to break things in it. */
  meddle?: (world: World) => void;
  /** Receives what happens, line by line. */
  log?: (line: string) => void;
}

/** A place in the world where processes live, one after the other. */
interface Site {
  host: Host;
  readonly name: string;
  readonly segments: number;
  process: StoreProcess;
  users: User[];
}

/** What a world was like, for reports. */
export interface WorldSummary {
  steps: number;
  stored: number;
  hits: number;
  misses: number;
  lateWrites: number;
  restarts: number;
  evicted: number;
  /** Objects that jobs have moved, as of the last life of the master. */
  moved: number;
  /** Long free pieces that compactions have opened, as of the last life of the master. */
  opened: number;
  /** Reads that began before the master's answer, and those of them that it confirmed. */
  early: number;
  confirmed: number;
  /** Objects read without asking the master. */
  held: number;
  /** Objects that were to change, or were lost, while they were held, as of the last life of the master. */
  met: number;
  /** Puts whose bytes went into reserved memory, and those of them whose key was taken. */
  reserved: number;
  inVain: number;
  /** Further replicas of hot objects, as of the last life of the master. */
  copied: number;
}

export class World {
  readonly scheduler = new Scheduler();
  readonly profile: Profile;
  readonly history = new History();
  /** `null` = one master alone. */
  readonly haProfile: HaProfile | null;
  readonly master: ControlPlane;
  readonly #random: Random;
  readonly #options: WorldOptions;
  readonly #wire: Wire;
  readonly #fabric: Fabric;
  readonly #sites: Site[] = [];
  /** Of each life of a process. */
  readonly #places: KnownPlaces[] = [];
  readonly #reserved: ReservedPuts[] = [];
  readonly #oversight = new Oversight({
    nowMs: () => this.scheduler.nowMs,
    releaseTimeoutMs: () => this.master.core.state.config.putStartReleaseTimeoutMs,
  });
  #failure: unknown = null;
  #calm = false;
  #nextClient = 1;

  constructor(readonly seed: number, options: WorldOptions = {}) {
    this.#options = options;
    this.#random = new Random(seed);
    this.profile = { ...drawProfile(this.#random, new Random(seed ^ 0x5eed)), ...options.profile };
    const { scheduler } = this;
    const random = this.#random;
    const delay = () => this.#delay();
    this.#wire = new Wire({ scheduler, delay, onSent: (frame) => this.#oversight.sent(frame) });
    this.#fabric = new Fabric({ scheduler, random, delay });
    const { core, putWaitMs, requestTimeoutMs } = this.profile;
    const parts = {
      ...{ scheduler, random, delay, wire: this.#wire, core, putWaitMs, requestTimeoutMs },
      onServed: (served: Served) => this.#guard(() => this.#oversee(served)),
    };
    this.haProfile = options.ha === undefined
      ? null
      : { ...drawHaProfile(new Random(~seed), this.profile.requestTimeoutMs), ...options.ha };
    this.master = this.haProfile === null
      ? new MasterHost({
        ...parts,
        longestAbsenceMs: this.profile.longestAbsenceMs,
        onFault: (error) => {
          throw error;
        },
      })
      : new Cluster({
        ...parts,
        profile: this.haProfile,
        ...(options.gate && { gate: options.gate }),
        onFault: (error) => this.#failure ??= error,
        log: (line) => this.log(line),
      });
  }

  /** Runs everything and throws {@linkcode SimError} at the first thing that is wrong. */
  async run(): Promise<WorldSummary> {
    try {
      this.#populate();
      await this.#until(() => false, this.profile.busyMs);
      await this.#heal();
      await this.#drain();
      return this.#summary();
    } catch (error) {
      const at = `seed ${this.seed}, ${this.scheduler.nowMs} ms, step ${this.scheduler.steps}`;
      const why = error instanceof Error ? error.message : String(error);
      throw new SimError(`${at}: ${why}`, { cause: error });
    } finally {
      // Weak references, as those between abort signals, let go of what they point to in a turn of the
      // event loop only; without one, each world would be kept for as long as the process lives.
      await setImmediate();
    }
  }

  log(line: string): void {
    this.#options.log?.(`${String(this.scheduler.nowMs).padStart(6)} ${line}`);
  }

  #summary(): WorldSummary {
    const { stored, hits, misses } = this.history;
    const { restarts, core, evicted } = this.master;
    const { steps } = this.scheduler;
    const moved = core.jobs.list().reduce((sum, { movedObjects }) => sum + movedObjects, 0);
    const opened = core.counters.get(Counter.COMPACTION_OPENED);
    const copied = core.counters.get(Counter.HOT_ADDED);
    const { lateWrites } = this.#fabric;
    const early = this.#places.reduce((sum, { begun }) => sum + begun, 0);
    const confirmed = this.#places.reduce((sum, { used }) => sum + used, 0);
    const held = this.#places.reduce((sum, { held }) => sum + held, 0);
    return {
      ...{ held, met: this.master.core.state.holds.met },
      ...{ steps, stored, hits, misses, restarts, evicted, moved, opened, copied, lateWrites },
      ...{ early, confirmed },
      reserved: this.#reserved.reduce((sum, { stored, inVain }) => sum + stored + inVain, 0),
      inVain: this.#reserved.reduce((sum, { inVain }) => sum + inVain, 0),
    };
  }

  #delay(): number {
    const { delayMs, stragglers, straggleMs } = this.profile;
    if (!this.#calm && stragglers > 0 && this.#random.oneIn(stragglers)) {
      return this.#random.below(straggleMs + 1);
    }
    return this.#random.below(delayMs + 1);
  }

  #populate(): void {
    const { clients, nodes, segmentsPerNode } = this.profile;
    for (let i = 1; i <= nodes; i++) this.#found(`node-${i}:1`, segmentsPerNode);
    for (let i = 1; i <= clients; i++) this.#found(`client-${i}:1`, 0);
    if (this.profile.faults.length > 0) this.#befall();
  }

  #found(name: string, segments: number): void {
    const host = new Host(name);
    const site = { host, name, segments, process: null as unknown as StoreProcess, users: [] };
    this.#sites.push(site);
    this.#settleIn(site);
  }

  #revive(site: Site): void {
    if (site.host.alive) return;
    site.host = new Host(site.name);
    this.#settleIn(site);
  }

  /** Begins the life of a site's host. */
  #settleIn(site: Site): void {
    const { scheduler, profile, history } = this;
    const random = this.#random;
    const { host, name, segments } = site;
    const client = this.#nextClient++;
    const log = (line: string) => this.log(`${name} ${line}`);
    site.process = new StoreProcess({
      ...{ scheduler, random, profile, host, name, segments, log },
      ...{ fabric: this.#fabric, master: this.master, clientId: `${client}-${client}` },
    });
    this.#watch(site.process.start());
    const { store } = site.process;
    this.#places.push(store.places);
    this.#reserved.push(store.reserved);
    const segmentNames = this.#nodes().map((node) => node.name);
    const read = this.#options.read ?? readWhole;
    site.users = Array.from(
      { length: this.#calm ? 0 : segments > 0 ? profile.nodeUsers : profile.users },
      () =>
        new User({
          ...{ scheduler, random, profile, history, store, segmentNames, read, log },
        }),
    );
    for (const user of site.users) this.#watch(user.work());
  }

  #nodes(): Site[] {
    return this.#sites.filter(({ segments }) => segments > 0);
  }

  #watch(work: Promise<unknown>): void {
    work.catch((error) => this.#failure ??= error);
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#failure ??= error;
    }
  }

  /** Lets time pass until something is so, at most `ms`. Returns whether it is. */
  async #until(done: () => boolean, ms: number): Promise<boolean> {
    const { scheduler } = this;
    const untilMs = scheduler.nowMs + ms;
    while (!done()) {
      if (!scheduler.step(untilMs)) {
        scheduler.nowMs = untilMs;
        return done();
      }
      for (let i = 0; i < SETTLE_ROUNDS; i++) await null;
      this.#options.meddle?.(this);
      if (scheduler.steps % CHECK_EVERY === 0) this.master.inspect();
      if (this.#failure !== null) throw this.#failure;
    }
    return true;
  }

  /** Compares what the master answers with what it has promised before. */
  #oversee(served: Served): void {
    if (this.#options.log !== undefined) {
      const { frame: { rpc, request }, response } = served;
      this.log(`master ${rpc.name} ${summary(request)} -> ${summary(response)}`);
    }
    this.#oversight.served(served);
  }

  /** Has something happen now, and the next thing in a while. */
  #befall(): void {
    const random = this.#random;
    this.scheduler.after(random.below(2 * this.profile.faultEveryMs) + 1, null, () => {
      if (this.#calm) return;
      this.#strike(random.pick(this.profile.faults));
      this.#befall();
    });
  }

  #strike(fault: Fault): void {
    const { scheduler, profile } = this;
    const random = this.#random;
    const clients = this.#sites.filter(({ segments }) => segments === 0);
    const client = random.pick(clients);
    const node = random.pick(this.#nodes());
    const freezeMs = random.below(profile.longestFreezeMs) + 1;
    this.log(`** ${fault}`);
    switch (fault) {
      case Fault.CLIENT_CRASH:
        return this.#crash(client);
      case Fault.NODE_CRASH:
        return this.#crash(node);
      case Fault.CLIENT_FREEZE:
        return scheduler.freeze(client.host, freezeMs);
      case Fault.NODE_FREEZE:
        return scheduler.freeze(node.host, random.below(profile.longestNodeFreezeMs) + 1);
      case Fault.NODE_REMOUNT:
        if (!node.host.alive || node.host.frozen) return;
        return this.#watch(node.process.replaceSegment(random.oneIn(2) ? 0 : freezeMs));
      case Fault.CONNECTION_LOSS: {
        const connections = Array.from(this.#wire.connections.values());
        if (connections.length > 0) this.#wire.lose(random.pick(connections));
        return;
      }
      case Fault.DATA_LOSS: {
        const flights = Array.from(this.#fabric.flying);
        if (flights.length > 0) this.#fabric.breakFlight(random.pick(flights));
        return;
      }
      case Fault.JOB:
        return this.#operate(node.name);
      case Fault.BIT_FLIPS:
        return this.#flip();
      default:
        return this.master.strike(fault, freezeMs);
    }
  }

  /** Changes a byte in each stretch of the memory of a node. */
  #flip(): void {
    const random = this.#random;
    const { name } = random.pick(this.#nodes());
    for (const { bytes, remoteBase } of this.#fabric.engines.get(name)?.regions ?? []) {
      if (remoteBase === null) continue;
      for (let at = random.below(FLIP_EVERY); at < bytes.length; at += FLIP_EVERY) {
        bytes[at] ^= 1 << random.below(8);
      }
    }
  }

  /** Begins a job, or cancels one. */
  #operate(segment: string): void {
    if (!this.master.isUp) return;
    const random = this.#random;
    const { core, nowMs } = this.master;
    const limits = {
      ...{ targets: [], maxConcurrency: 1 + random.below(8), giveUpMs: 1000 + random.below(9000) },
      bytesPerSecond: random.oneIn(3) ? 20_000 : 0,
    };
    switch (random.below(6)) {
      case 4:
      case 5: {
        const goalBytes = random.below(2) * (1 + random.below(this.profile.segmentBytes));
        const goal = { goalBytes, leastBytes: goalBytes, automatic: false };
        return void core.jobs.createCompaction({ ...limits, segments: [], ...goal }, nowMs);
      }
      case 0: {
        const jobs = core.jobs.list();
        if (jobs.length > 0) core.jobs.cancel(random.pick(jobs).id, nowMs);
        return;
      }
      case 1:
        return void core.jobs.createRebalance({ ...limits, threshold: 0.05 }, nowMs);
      default: {
        const dropUnplaced = random.oneIn(2);
        const drain = { ...limits, segments: [segment], client: null, dropUnplaced };
        core.jobs.createDrain(drain, nowMs);
      }
    }
  }

  #crash(site: Site): void {
    const { scheduler } = this;
    const { host } = site;
    if (!host.alive) return;
    this.#wire.loseAll(host);
    this.#fabric.vanish(site.name, host);
    scheduler.crash(host);
    site.users = [];
    scheduler.after(this.#random.below(LONGEST_ABSENCE_MS), null, () => this.#revive(site));
  }

  /** Ends all trouble, and waits until everybody has got every answer. */
  async #heal(): Promise<void> {
    this.log("** heal");
    this.#calm = true;
    for (const site of this.#sites) {
      for (const user of site.users) user.stop();
      this.scheduler.thaw(site.host);
      this.#revive(site);
    }
    this.master.heal();
    const users = () => this.#sites.flatMap((site) => site.users);
    const idle = () => users().every(({ busy }) => busy === null);
    if (!await this.#until(idle, 60_000)) {
      const busy: Command[] = users().flatMap((user) => user.busy ?? []);
      throw new Error(`a minute after everything was well, these still go on: ${busy.join(", ")}`);
    }
    this.master.inspect();
  }

  /** Removes everything and waits until the pool is as it was in the beginning. */
  async #drain(): Promise<void> {
    const { store } = this.#sites.at(-1)!.process;
    const { putStartReleaseTimeoutMs, pendingTaskTimeoutMs, processingTaskTimeoutMs } =
      this.master.core.state.config;
    const worstMs = putStartReleaseTimeoutMs + pendingTaskTimeoutMs + processingTaskTimeoutMs;
    const isEmpty = () => {
      const { core } = this.master;
      return this.master.isUp && core.keyCount === 0 &&
        core.counters.get(Counter.ALLOCATED_BYTES) === 0 &&
        core.counters.get(Counter.HELD_BYTES) === 0 && core.segments.awaiting.size === 0 &&
        core.segments.dead.length === 0 && this.#allLent();
    };
    for (let round = 0; round < 4; round++) {
      const removal = store.master.removeAll({ force: true, tenantId: store.tenantId });
      this.#watch(removal.catch((error) => {
        if (!(error instanceof StoreError)) throw error;
      }));
      if (await this.#until(isEmpty, worstMs + 5000)) break;
    }
    this.master.inspect();
    const { core } = this.master;
    const { state } = core;
    const left = {
      keys: core.keyCount,
      allocated: core.counters.get(Counter.ALLOCATED_BYTES),
      held: core.counters.get(Counter.HELD_BYTES),
      awaiting: core.segments.awaiting.size,
      dead: core.segments.dead.length,
      writes: state.writes.count,
      transfers: state.transfers.transfers.size,
    };
    const none = { keys: 0, allocated: 0, held: 0, awaiting: 0, dead: 0, writes: 0, transfers: 0 };
    assert.deepEqual(left, none, "what is left in an empty pool");
    assert(this.#allLent(), "every node's segments are in the pool, and nothing else is");
  }

  /** Whether the pool has what living nodes lend, and nothing else. */
  #allLent(): boolean {
    const lent = this.#nodes().flatMap(({ process }) => process.segments.segments);
    const { segments } = this.master.core;
    return segments.count === lent.length && lent.every(({ id }) => segments.byId(id) !== null);
  }
}

/** A request or an answer in one line: byte strings as texts, replicas by id and address. */
function summary(value: unknown): string {
  const text = JSON.stringify(value, (name, part) => {
    if (name === "config" || name === "tenantId") return undefined;
    if (part instanceof Uint8Array) return new TextDecoder().decode(part);
    if (typeof part === "bigint") return `0x${part.toString(16)}`;
    if (part?.location?.kind !== "memory") return part;
    const { transportEndpoint, bufferAddress, size } = part.location.buffer;
    return `#${part.id} ${transportEndpoint} ${bufferAddress}+${size}`;
  });
  return text.length <= LONGEST_SUMMARY ? text : `${text.slice(0, LONGEST_SUMMARY)}...`;
}

/** Runs a seed; rejects with {@linkcode SimError} when something is wrong in its world. */
export async function runSeed(seed: number, options: WorldOptions = {}): Promise<WorldSummary> {
  return await new World(seed, options).run();
}
