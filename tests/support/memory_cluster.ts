/** An election and a log in memory, shared by the members of a simulated cluster. */
import { type Candidacy, type Elector, validUntil } from "../../master/ha/elector.ts";
import {
  EarlyGroupError,
  endsEarly,
  EngineError,
  type FactLog,
  FencedError,
  type LogFollower,
  type LogGroup,
  type LogHead,
  LogRefusal,
  type MemberRecord,
} from "../../master/ha/fact_log.ts";
import type { Timers } from "../../master/ha/timers.ts";

/**
 * What a memory engine behaves like. `etcd`: groups come in any order, and a leader can append for as
 * long as its lease lasts. `redis`: a group comes after the one before it, and a leader can append
 * until the next one has taken the log.
 */
export type EngineManner = "etcd" | "redis";

/** What the engine holds, and how it misbehaves. */
export class MemoryCluster {
  readonly timers: Timers;
  readonly leaseMs: number;
  readonly manner: EngineManner;
  leader: { address: string; epoch: number; expiresMs: number } | null = null;
  epoch = 0;
  head: LogHead | null = null;
  /** The epoch that has taken the log. */
  logEpoch = 0;
  readonly log = new Map<number, Uint8Array>();
  readonly members = new Map<string, { record: MemberRecord; untilMs: number }>();
  readonly followers = new Set<() => void>();
  readonly watchers = new Set<() => void>();
  /** Whether epochs are compared; off to see what comes of that. */
  fences = true;
  /** Why nothing can be kept. */
  full: string | null = null;
  /** What answers wait for; it is slow for as long as that has not settled. */
  slow: Promise<void> = Promise.resolve();
  /** Members that cannot reach it. */
  readonly cutOff = new Set<string>();

  constructor(timers: Timers, leaseMs: number, manner: EngineManner = "etcd") {
    this.timers = timers;
    this.leaseMs = leaseMs;
    this.manner = manner;
  }

  /** Last group that has all groups before it. */
  get last(): number {
    let last = this.head?.base ?? 0;
    if (this.log.size > 0) { while (this.log.has(last + 1)) last++; }
    return last;
  }

  /** The leader of now. */
  get living() {
    if (this.leader !== null && this.leader.expiresMs <= this.timers.now()) this.leader = null;
    return this.leader;
  }

  engines(name: string): { elector: Elector; log: FactLog } {
    return { elector: new MemoryElector(this, name), log: new MemoryLog(this, name) };
  }

  reach(name: string): Promise<void> {
    return this.cutOff.has(name)
      ? Promise.reject(new EngineError("memory: not reachable"))
      : this.slow;
  }
}

class MemoryElector implements Elector {
  readonly #cluster: MemoryCluster;
  readonly #name: string;

  constructor(cluster: MemoryCluster, name: string) {
    this.#cluster = cluster;
    this.#name = name;
  }

  async campaign(address: string): Promise<Candidacy> {
    await this.#cluster.reach(this.#name);
    const { timers, leaseMs, living } = this.#cluster;
    if (living !== null) {
      return { won: false, leader: { address: living.address, epoch: living.epoch } };
    }
    const epoch = ++this.#cluster.epoch;
    const nowMs = timers.now();
    this.#cluster.leader = { address, epoch, expiresMs: nowMs + leaseMs };
    return { won: true, epoch, validUntilMs: validUntil(nowMs, leaseMs) };
  }

  async renew(epoch: number): Promise<number | null> {
    await this.#cluster.reach(this.#name);
    const { living, timers, leaseMs } = this.#cluster;
    if (living?.epoch !== epoch) return null;
    living.expiresMs = timers.now() + leaseMs;
    return validUntil(timers.now(), leaseMs);
  }

  async resign(epoch: number): Promise<void> {
    await this.#cluster.reach(this.#name);
    if (this.#cluster.leader?.epoch !== epoch) return;
    this.#cluster.leader = null;
    for (const changed of this.#cluster.watchers) changed();
  }

  watch(changed: () => void): void {
    this.#cluster.watchers.add(changed);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class MemoryLog implements FactLog {
  readonly #cluster: MemoryCluster;
  readonly #name: string;

  constructor(cluster: MemoryCluster, name: string) {
    this.#cluster = cluster;
    this.#name = name;
  }

  async head(): Promise<LogHead | null> {
    await this.#cluster.reach(this.#name);
    return this.#cluster.head;
  }

  async take(epoch: number, first: LogHead, known: number): Promise<LogHead> {
    await this.#leads(epoch, true);
    const cluster = this.#cluster;
    cluster.head ??= first;
    cluster.logEpoch = epoch;
    if (cluster.head.base > known) return cluster.head;
    if (cluster.head.base < known && !cluster.log.has(known)) throw endsEarly(known);
    let last = known;
    while (cluster.log.has(last + 1)) last++;
    for (const sequence of cluster.log.keys()) if (sequence > last) cluster.log.delete(sequence);
    return cluster.head;
  }

  async has(sequence: number): Promise<boolean> {
    await this.#cluster.reach(this.#name);
    const { head, log } = this.#cluster;
    return head !== null && (head.base >= sequence || log.has(sequence));
  }

  async append(epoch: number, { sequence, bytes }: LogGroup): Promise<void> {
    await this.#leads(epoch);
    const { full, manner, log } = this.#cluster;
    if (full !== null) throw new LogRefusal(full);
    if (manner === "redis") {
      const { last } = this.#cluster;
      if (sequence <= last) return;
      if (sequence > last + 1) {
        throw new EarlyGroupError(`memory: group ${sequence} comes too early`);
      }
    }
    log.set(sequence, bytes.slice());
    for (const grown of this.#cluster.followers) grown();
  }

  async read(after: number): Promise<LogGroup[] | null> {
    await this.#cluster.reach(this.#name);
    return this.#cluster.head !== null && this.#cluster.head.base > after
      ? null
      : this.#behind(after);
  }

  follow(after: number, follower: LogFollower): () => void {
    let last = after;
    const grown = () => {
      if (this.#cluster.cutOff.has(this.#name)) return follower.trouble("not reachable");
      if ((this.#cluster.head?.base ?? 0) > last) {
        this.#cluster.followers.delete(grown);
        return follower.trimmed();
      }
      const groups = this.#behind(last);
      if (groups.length === 0) return;
      last = groups.at(-1)!.sequence;
      follower.groups(groups);
    };
    this.#cluster.followers.add(grown);
    grown();
    return () => void this.#cluster.followers.delete(grown);
  }

  async trim(epoch: number, through: number): Promise<void> {
    await this.#leads(epoch);
    const { head, log } = this.#cluster;
    if (head === null || head.base >= through) return;
    this.#cluster.head = { id: head.id, base: through };
    for (const sequence of log.keys()) if (sequence <= through) log.delete(sequence);
  }

  async announce(record: MemberRecord, ttlMs: number): Promise<void> {
    await this.#cluster.reach(this.#name);
    const untilMs = this.#cluster.timers.now() + ttlMs;
    this.#cluster.members.set(this.#name, { record, untilMs });
  }

  async members(): Promise<MemberRecord[]> {
    await this.#cluster.reach(this.#name);
    const nowMs = this.#cluster.timers.now();
    return Array.from(this.#cluster.members.values())
      .flatMap(({ record, untilMs }) => untilMs > nowMs ? record : []);
  }

  close(): Promise<void> {
    this.#cluster.members.delete(this.#name);
    return Promise.resolve();
  }

  #behind(after: number): LogGroup[] {
    const groups: LogGroup[] = [];
    const { log } = this.#cluster;
    for (let sequence = after + 1; log.has(sequence); sequence++) {
      groups.push({ sequence, bytes: log.get(sequence)!.slice() });
    }
    return groups;
  }

  async #leads(epoch: number, takes = false): Promise<void> {
    await this.#cluster.reach(this.#name);
    const { manner, living, logEpoch, fences } = this.#cluster;
    const fenced = manner === "etcd"
      ? living?.epoch !== epoch
      : takes
      ? logEpoch > epoch
      : logEpoch !== epoch;
    if (fenced && fences) throw new FencedError("another master leads");
  }
}
