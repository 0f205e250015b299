/** Several masters over a simulated engine, what befalls them, and who watches over them. */
import assert from "node:assert/strict";
import { LeaderClient } from "../../client/leader/leader_client.ts";
import { ListLeaderSource } from "../../client/leader/list_source.ts";
import type { Dial } from "../../client/leader/dial.ts";
import type { LeaderSource } from "../../client/leader/source.ts";
import { pause } from "../../client/transfer/clock.ts";
import type { Clock } from "../../client/transfer/clock.ts";
import type { CoreConfig } from "../../master/core/api.ts";
import { defaultCoreConfig } from "../../master/core/config.ts";
import { Counter } from "../../master/core/counters.ts";
import type { MasterCore } from "../../master/core/core.ts";
import { durableState } from "../../master/core/digest.ts";
import type { ReplicatedCore } from "../../master/ha/replicated_core.ts";
import type { Replies } from "../../master/rpc/replies.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/messages.ts";
import { checkCore } from "../support/core_invariants.ts";
import type { Random } from "../support/random.ts";
import type { ControlPlane, MasterLink } from "./control_plane.ts";
import { Disk } from "./disk.ts";
import { HaMaster, ReferenceCore } from "./ha_master.ts";
import { HaFault, type HaProfile } from "./ha_profile.ts";
import { Line } from "./line.ts";
import { LogEngine } from "./log_engine.ts";
import { EPOCH_MS } from "./master_host.ts";
import type { Host, Scheduler } from "./scheduler.ts";
import type { Served, Wire } from "./wire.ts";

/** Longest time for which a master is away, and an engine or a way to it is. */
const LONGEST_ABSENCE_MS = 3000;
const LONGEST_OUTAGE_MS = 4000;
/** A master that ends by itself is there again after so long. */
const ANEW_MS = 100;

export interface ClusterOptions {
  scheduler: Scheduler;
  wire: Wire;
  random: Random;
  delay: () => number;
  profile: HaProfile;
  core: Partial<CoreConfig>;
  putWaitMs: number;
  requestTimeoutMs: number;
  /** How replies are held back, to break it; default: as masters do it. */
  gate?: (leading: ReplicatedCore, replies: Replies) => void;
  onServed: (served: Served) => void;
  onFault: (error: unknown) => void;
  log: (line: string) => void;
}

/** A place where a master lives, one process after the other. */
interface Site {
  readonly address: string;
  readonly disk: Disk;
  master: HaMaster | null;
}

/**
 * A cluster, and its judge: what was answered is in the log; nobody answers once a later epoch has
 * begun, and one master in each; who begins to lead knows what the log says, and all of it.
 */
export class Cluster implements ControlPlane {
  readonly engine: LogEngine;
  restarts = 0;
  /** Times that a master began to lead. */
  reigns = 0;
  /** Checkpoints that standbys have taken from others. */
  fetched = 0;
  readonly #options: ClusterOptions;
  readonly #sites: Site[];
  readonly #reference: ReferenceCore;
  /** Who has answered in each epoch. */
  readonly #answered = new Map<number, HaMaster>();
  #leader: HaMaster | null = null;
  #evicted = 0;
  #calm = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { scheduler, random, profile, core } = options;
    const { manner, leaseMs, engineDelayMs: delayMs, engineLosses: losses, drift } = profile;
    this.engine = new LogEngine({ scheduler, random, manner, leaseMs, delayMs, losses, drift });
    const config = defaultCoreConfig({ ...core, epochOffsetMs: EPOCH_MS });
    this.#reference = new ReferenceCore(config, this.engine);
    this.#sites = Array.from({ length: profile.masters }, (_, i) => ({
      ...{ address: `master-${i + 1}:1`, disk: new Disk(), master: null },
    }));
    for (const site of this.#sites) this.#begin(site);
    this.#befall();
  }

  get core(): MasterCore {
    return this.#leader?.core ?? this.#reference.core;
  }

  get nowMs(): number {
    return this.#leader?.nowMs ?? 0;
  }

  get isUp(): boolean {
    return this.#leader !== null && this.#leader.listens &&
      this.#leader.reign!.leading.refusal === null;
  }

  get evicted(): number {
    return this.#evicted + (this.#leader?.core.counters.get(Counter.EVICTED_KEYS) ?? 0);
  }

  connect(client: Host, clock: Clock, log: (line: string) => void): MasterLink {
    const { scheduler, wire, delay, profile, requestTimeoutMs } = this.#options;
    const { connectTimeoutMs } = profile;
    const dial: Dial = ({ host, port, ...limits }) => {
      const { connectTimeoutMs = 1000, requestTimeoutMs = 5000 } = limits;
      const server = () => this.#siteAt(`${host}:${port}`).master;
      return new Line({
        ...{ scheduler, wire, delay, client, server, connectTimeoutMs, requestTimeoutMs },
      });
    };
    const source = profile.source === "engine"
      ? new EngineSource(this.engine, client, clock)
      : new ListLeaderSource(this.#sites.map(({ address }) => address), clock, dial);
    const rpc = new LeaderClient({
      ...{ source, clock, dial, connectTimeoutMs, requestTimeoutMs, log },
    });
    const link: MasterLink = { rpc, onChange: () => {} };
    rpc.onChange = () => link.onChange();
    return link;
  }

  /** Faults of a lone master do not befall a cluster; it has its own. */
  strike(): void {}

  heal(): void {
    this.#calm = true;
    this.engine.calm = true;
    this.engine.isDown = false;
    this.engine.cluster.full = null;
    this.engine.cluster.cutOff.clear();
    for (const site of this.#sites) {
      if (site.master === null) this.#begin(site);
      else this.#thaw(site.master);
    }
  }

  inspect(): void {
    const leader = this.#leader;
    if (leader === null || !leader.listens) return;
    checkCore(leader.core.state);
    const { leading, sent } = leader.reign!;
    const last = sent.at(-1);
    if (!this.#options.random.oneIn(4) || last === undefined || last.told !== leading.told) return;
    if (this.engine.last < last.sequence || leader.core.segments.dead.length > 0) return;
    if (this.engine.cluster.epoch !== leader.reign!.epoch) return;
    this.#compare(leader.core, last.sequence, "the leader");
  }

  #siteAt(address: string): Site {
    return this.#sites.find((site) => site.address === address)!;
  }

  #begin(site: Site): void {
    const { scheduler, wire, random, profile, core, putWaitMs, onFault, log } = this.#options;
    const { gate = (leading) => leading.settle() } = this.#options;
    const { address, disk } = site;
    const before = disk.checkpoint;
    const master: HaMaster = new HaMaster(disk, {
      ...{ scheduler, wire, random, engine: this.engine, profile, config: core, putWaitMs },
      ...{ address, gate, onFault, log },
      diskOf: (admin) => {
        const other = this.#sites.find((one) => `${one.address} admin` === admin);
        return other?.master?.isAlive && !other.master.isFrozen ? other.disk : null;
      },
      onLead: (leader) => this.#guard(() => this.#judgeLeader(leader)),
      onServed: (leader, served) => this.#guard(() => this.#judgeAnswer(leader, served)),
    }, () => {
      if (master.reign !== null) {
        this.#evicted += master.core.counters.get(Counter.EVICTED_KEYS);
      }
      if (this.#leader === master) this.#leader = null;
      this.restarts++;
      site.master = null;
      if (disk.checkpoint !== before && disk.groups.length === 0) this.fetched++;
      const absenceMs = master.seat.outcome === "over" || this.#calm
        ? ANEW_MS
        : random.below(LONGEST_ABSENCE_MS) + 50;
      scheduler.after(absenceMs, null, () => {
        if (site.master === null) this.#begin(site);
      });
    });
    site.master = master;
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#options.onFault(error);
    }
  }

  /** Compares a core with what the log says up to a group. */
  #compare(core: MasterCore, sequence: number, who: string): void {
    if (this.#reference.sequence > sequence) {
      throw new Error(
        `${who} knows the log up to group ${sequence}, and what group ` +
          `${this.#reference.sequence} tells was answered`,
      );
    }
    this.#reference.advance(sequence);
    const { core: reference } = this.#reference;
    if (reference.digest() === core.digest()) return;
    const known = Array.from(durableState(reference.state)).sort();
    const other = Array.from(durableState(core.state)).sort();
    assert.deepEqual(other, known, `${who} at group ${sequence}, against the log`);
    assert.fail("the digests differ, the states do not");
  }

  #judgeLeader(leader: HaMaster): void {
    const address = leader.host.name;
    this.#options.log(`** ${address} leads, epoch ${leader.seat.epoch}, group ${leader.sequence}`);
    this.#compare(leader.core, leader.sequence, `${address}, which begins to lead,`);
    this.#leader = leader;
    this.reigns++;
  }

  #judgeAnswer(leader: HaMaster, served: Served): void {
    const { epoch, leading, sent } = leader.reign!;
    const { frame } = served;
    const what = `${leader.host.name} answered ${frame.rpc.name} in epoch ${epoch}`;
    const { cluster } = this.engine;
    if (cluster.epoch !== epoch) {
      throw new Error(`${what}, and epoch ${cluster.epoch} has begun`);
    }
    const other = this.#answered.get(epoch);
    if (other !== undefined && other !== leader) {
      throw new Error(`${what}, in which ${other.host.name} has answered`);
    }
    this.#answered.set(epoch, leader);
    // While the log refuses changes, reads go on; they are judged by what they promise.
    if (leading.refusal === null || (frame.changes && saysYes(served.response))) {
      const { last } = this.engine;
      const before = sent.findLastIndex(({ told }) => told < frame.told!);
      const needed = frame.told === 0 ? 0 : sent[before + 1]?.sequence ?? Infinity;
      if (needed > last) {
        throw new Error(`${what}, and the log ends with group ${last}, before what it tells`);
      }
      this.#reference.advance(needed);
    }
    this.#options.onServed(served);
  }

  /** Has something happen now, and the next thing in a while. */
  #befall(): void {
    const { scheduler, random, profile } = this.#options;
    scheduler.after(random.below(2 * profile.faultEveryMs) + 1, null, () => {
      if (this.#calm) return;
      this.#strike(random.pick(profile.faults));
      this.#befall();
    });
  }

  /** Whether the index can be had without a disk: from the log alone, or with a checkpoint elsewhere. */
  #outlives(lost: Disk): boolean {
    const base = this.engine.cluster.head?.base ?? 0;
    return base === 0 || this.#sites.some(({ disk }) => disk !== lost && disk.sequence >= base);
  }

  #strike(fault: HaFault): void {
    const { scheduler, random, profile, log } = this.#options;
    const leader = this.#leader;
    const standbys = this.#sites.flatMap(({ master }) =>
      master !== null && master !== leader && master.isAlive ? master : []
    );
    const standby = standbys.length > 0 ? random.pick(standbys) : null;
    const freezeMs = random.below(3 * profile.leaseMs) + 1;
    const outageMs = random.below(LONGEST_OUTAGE_MS) + 1;
    log(`** ${fault}`);
    switch (fault) {
      case HaFault.LEADER_KILL:
        return leader?.kill();
      case HaFault.LEADER_POWER_LOSS:
        leader?.kill();
        return leader?.disk.losePower();
      case HaFault.LEADER_FREEZE:
        return this.#freeze(leader, freezeMs);
      case HaFault.LEADER_CORE_STALL:
        if (leader !== null) scheduler.freeze(leader.host, freezeMs);
        return;
      case HaFault.LEADER_MEMBER_STALL:
        if (leader !== null) scheduler.freeze(leader.memberHost, freezeMs);
        return;
      case HaFault.LEADER_CUT_OFF:
        return this.#cutOff(leader, outageMs);
      case HaFault.LEADER_STOP:
        if (leader !== null && !leader.isFrozen) leader.stop();
        return;
      case HaFault.STANDBY_KILL:
        return standby?.kill();
      case HaFault.STANDBY_FREEZE:
        return this.#freeze(standby, freezeMs);
      case HaFault.STANDBY_CUT_OFF:
        return this.#cutOff(standby, outageMs);
      case HaFault.STANDBY_NEW_DISK:
        if (standby === null || !this.#outlives(standby.disk)) return;
        standby.kill();
        return standby.disk.wipe();
      case HaFault.ENGINE_OUTAGE:
        this.engine.isDown = true;
        return void scheduler.after(outageMs, null, () => this.engine.isDown = false);
      case HaFault.ENGINE_FULL:
        this.engine.cluster.full = "the engine is full";
        return void scheduler.after(outageMs, null, () => this.engine.cluster.full = null);
    }
  }

  #freeze(master: HaMaster | null, ms: number): void {
    if (master === null) return;
    this.#options.scheduler.freeze(master.host, ms);
    this.#options.scheduler.freeze(master.memberHost, ms);
  }

  #thaw({ host, memberHost }: HaMaster): void {
    this.#options.scheduler.thaw(host);
    this.#options.scheduler.thaw(memberHost);
  }

  #cutOff(master: HaMaster | null, ms: number): void {
    if (master === null) return;
    const { cutOff } = this.engine.cluster;
    cutOff.add(master.host.name);
    this.#options.scheduler.after(ms, null, () => void cutOff.delete(master.host.name));
  }
}

/** Whether an answer says that something was done. */
function saysYes(response: unknown): boolean {
  const items = (Array.isArray(response) ? response : [response]) as Expected<unknown>[];
  return items.some(({ code }) => code === ErrorCode.OK);
}

/** Asks the engine who leads, as clients of etcd, Redis and Kubernetes do. */
class EngineSource implements LeaderSource {
  readonly cheap = true;
  readonly nobody = "the engine names no leader";

  constructor(readonly engine: LogEngine, readonly client: Host, readonly clock: Clock) {}

  open(): Promise<void> {
    return Promise.resolve();
  }

  async find(): Promise<string | null> {
    const { engine, client, clock } = this;
    if (!engine.carries(client.name)) {
      await pause(clock, 500);
      throw new Error("the engine does not answer");
    }
    await pause(clock, engine.delay());
    const address = engine.cluster.living?.address ?? null;
    await pause(clock, engine.delay());
    return address;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
