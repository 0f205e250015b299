import { randomBelow, SeededRng } from "../../master/core/rng.ts";
import {
  type OffloadTaskItem,
  ReplicaType,
  type Segment,
  SoftPinAction,
  type TaskAssignment,
  TaskStatus,
} from "../../proto/types.ts";
import { bytesOf, clientId, CoreDriver, MIB, segmentOf } from "./core_driver.ts";

const CLIENTS = 4;
const TENANTS = ["default", "team-a", "team-b"];

/** Random calls of every kind on one core; every third seed has several tenants. */
export class Chaos {
  readonly driver: CoreDriver;
  readonly #random: SeededRng;
  readonly #silent = new Set<number>();
  readonly #fetched: { client: number; task: TaskAssignment }[] = [];
  readonly #offloads: ({ client: number } & OffloadTaskItem)[] = [];
  readonly #lent: Segment[] = [];
  readonly #shared: boolean;
  #nextSegment = 1;
  #nextWriteId = 1;
  #nextNumber = 0;

  constructor(seed: number) {
    this.#random = new SeededRng(seed, 77);
    this.#shared = seed % 3 === 0;
    const offload = this.#below(3);
    this.driver = new CoreDriver({
      defaultKvLeaseTtlMs: 1500,
      putStartDiscardTimeoutMs: 2000,
      maxReservedShare: 0.5,
      putStartReleaseTimeoutMs: 8000,
      clientTtlMs: 4000,
      pendingTaskTimeoutMs: 5000,
      processingTaskTimeoutMs: 5000,
      maxTotalFinishedTasks: 5,
      enableOffload: offload > 0,
      offloadOnEvict: offload === 2,
      offloadForceEvict: this.#below(2) === 0,
      offloadingQueueLimit: 20,
      promotionOnHit: offload > 0,
      enableMultiTenants: this.#shared,
      autoCompaction: this.#below(2) === 0,
      autoCompactionFreeRatio: this.#below(2) / 4,
      fsdir: this.#below(3) === 0 ? "/shared/cluster" : "",
      allocationStrategy: (["random", "free_ratio_first", "local_first"] as const)[this.#below(3)],
    }, seed);
  }

  step(): void {
    const { driver } = this;
    const { core, nowMs } = driver;
    if (this.#shared) this.#pickTenant();
    const { tenant } = driver;
    const client = 1 + this.#below(CLIENTS);
    const key = `key-${this.#below(60)}`;
    const bytes = bytesOf(key);
    const id = clientId(client);
    switch (this.#below(36)) {
      case 31:
      case 32: {
        const hard = { withHardPin: this.#below(40) === 0, replicaNum: 1 + this.#below(2) };
        driver.reserve(this.#nextWriteId++, 1 + this.#below(MIB / 4), { client, ...hard });
        break;
      }
      case 33:
      case 34: {
        const writeId = this.#nextWriteId - this.#below(6);
        driver.endReserved(key, writeId, client, this.#below(3) === 0 ? 99n : null);
        break;
      }
      case 35:
        driver.giveBack(this.#nextWriteId - this.#below(6), this.#below(2) === 0, client);
        break;
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: {
        const softPinAction = this.#below(8) === 0 ? SoftPinAction.ENABLE : SoftPinAction.PRESERVE;
        const group = this.#below(5) === 0 ? `group-${this.#below(3)}` : undefined;
        driver.start(key, 1 + this.#below(MIB / 4), {
          ...{ client, softPinAction, replicaNum: 1 + this.#below(2) },
          upsert: this.#below(3) === 0,
          withHardPin: this.#below(40) === 0,
          softPinTtlMs: softPinAction === SoftPinAction.ENABLE ? this.#below(5000) : null,
          ...(group === undefined ? {} : { group }),
        });
        break;
      }
      case 5:
      case 6:
      case 7:
      case 8:
      case 9: {
        const type = this.#below(4) === 0 ? ReplicaType.DISK : ReplicaType.ALL;
        driver.end(key, client, type, this.#below(3) === 0 ? 99n : null);
        break;
      }
      case 10:
        driver.revoke(key, client, this.#below(4) === 0 ? ReplicaType.DISK : ReplicaType.ALL);
        break;
      case 11:
      case 12:
        driver.get(key);
        break;
      case 13:
        driver.exist(key);
        break;
      case 14:
        driver.remove(key, this.#below(2) === 0);
        break;
      case 15:
        this.#mount(client);
        break;
      case 16:
        this.#unmount(client);
        break;
      case 17:
        if (this.#below(3) === 0) this.#silent.add(client);
        else this.#silent.delete(client);
        break;
      case 18:
        core.movement.copyStart(
          id,
          tenant,
          bytes,
          this.#name(),
          [this.#name()],
          "0-0",
          nowMs,
          this.#number(),
        );
        break;
      case 19:
        core.movement.moveStart(
          id,
          tenant,
          bytes,
          this.#name(),
          this.#name(),
          nowMs,
          this.#number(),
        );
        break;
      case 20:
      case 21:
        this.#endTransfer(client, bytes);
        break;
      case 22:
        if (this.#below(2) === 0) {
          core.movement.createCopyTask(tenant, bytes, [this.#name()], nowMs);
        } else {
          core.movement.createMoveTask(tenant, bytes, this.#name(), this.#name(), nowMs);
        }
        break;
      case 23:
        for (const task of core.movement.fetchTasks(id, 2, nowMs, client % 2 === 0)) {
          this.#fetched.push({ client, task });
        }
        break;
      case 24: {
        const done = this.#fetched.pop();
        if (done === undefined) break;
        const status = this.#below(2) === 0 ? TaskStatus.SUCCESS : TaskStatus.FAILED;
        const request = { id: done.task.id, status, message: "done" };
        core.movement.markTaskToComplete(clientId(done.client), request, nowMs);
        break;
      }
      case 25:
        this.#disk(client);
        break;
      case 26:
        this.#offload(client);
        break;
      case 27:
        this.#promote(client);
        break;
      case 28:
        this.#removeMany(client, bytes);
        break;
      case 29:
        this.#job(client);
        break;
      default:
        this.#pass();
    }
  }

  /** True once in `n` times. */
  chance(n: number): boolean {
    return this.#below(n) === 0;
  }

  #below(n: number): number {
    return randomBelow(this.#random, n);
  }

  /** Whose objects the next call is about; now and then the quotas change, too. */
  #pickTenant(): void {
    const { tenants } = this.driver.core;
    if (tenants.list().length === 0 || this.#below(50) === 0) {
      for (const name of TENANTS) tenants.setQuota(bytesOf(name), BigInt(1 + this.#below(3 * MIB)));
    }
    this.driver.tenant = tenants.find(bytesOf(TENANTS[this.#below(TENANTS.length)]));
  }

  #name(): string {
    return `name-${this.#below(5)}`;
  }

  #job(client: number): void {
    const { core, nowMs } = this.driver;
    const limits = {
      targets: this.#below(3) === 0 ? [this.#name()] : [],
      maxConcurrency: 1 + this.#below(8),
      bytesPerSecond: this.#below(2) * 1000,
      giveUpMs: 1000 + this.#below(60_000),
    };
    switch (this.#below(6)) {
      case 4:
      case 5: {
        const goalBytes = this.#below(2) * this.#below(MIB);
        const segments = this.#below(3) === 0 ? [this.#name()] : [];
        const leastBytes = this.#below(goalBytes + 1);
        const automatic = this.#below(2) === 0;
        core.jobs.createCompaction(
          { ...limits, segments, goalBytes, leastBytes, automatic },
          nowMs,
        );
        break;
      }
      case 0:
        core.jobs.createRebalance({ ...limits, threshold: 0.01 + this.#below(90) / 100 }, nowMs);
        break;
      case 1: {
        const jobs = core.jobs.list();
        if (jobs.length > 0) core.jobs.cancel(jobs[this.#below(jobs.length)].id, nowMs);
        break;
      }
      default: {
        const whole = this.#below(3) === 0;
        const named = { segments: whole ? [] : [this.#name()], client: null };
        core.jobs.createDrain({
          ...limits,
          ...(whole ? { segments: [], client: clientId(client) } : named),
          dropUnplaced: this.#below(2) === 0,
        }, nowMs);
      }
    }
  }

  #mount(client: number): void {
    const { cluster } = this.driver.core;
    if (this.driver.core.segments.count >= 8) return;
    const size = MIB + this.#below(MIB);
    const host = `host-${client}`;
    const fresh = segmentOf(this.#nextSegment++, this.#name(), size, host);
    const segment = this.#below(2) === 0 ? fresh : this.#lentBefore(fresh);
    this.#lent.push(segment);
    cluster.mountSegment(segment, clientId(client));
    if (this.#below(2) === 0) cluster.remountSegments([segment], clientId(client));
  }

  /** Memory that has left the pool, under its old id or a new one; if there is none, `fresh`. */
  #lentBefore(fresh: Segment): Segment {
    const { segments } = this.driver.core;
    const mounted = new Set(Array.from(segments.mounted(), ({ view }) => view.segment.base));
    const old = this.#lent.findLast(({ base }) => !mounted.has(base));
    if (old === undefined) return fresh;
    return this.#below(2) === 0 ? old : { ...old, id: fresh.id };
  }

  #unmount(client: number): void {
    const { core, nowMs } = this.driver;
    if (this.#below(3) !== 0) return;
    for (const { id, clientId: owner } of core.inspection.segmentDetails()) {
      if (owner !== clientId(client)) continue;
      if (this.#below(2) === 0) core.cluster.unmountSegment(id, owner, nowMs);
      else core.cluster.gracefulUnmountSegment(id, owner, this.#below(2000), nowMs);
      return;
    }
  }

  /** Of a transfer: none, or one of two, so that ends meet theirs often. */
  #number(): number {
    return this.#nextNumber++ % 3;
  }

  #endTransfer(client: number, key: Uint8Array): void {
    const { movement } = this.driver.core;
    const { nowMs, tenant } = this.driver;
    const id = clientId(client);
    const number = this.#number();
    switch (this.#below(4)) {
      case 0:
        return void movement.copyEnd(id, tenant, key, "0-0", 0, nowMs, number);
      case 1:
        return void movement.moveEnd(id, tenant, key, nowMs, number);
      case 2:
        return void movement.copyRevoke(id, tenant, key, "0-0", 0, nowMs, number);
      default:
        return void movement.moveRevoke(id, tenant, key, nowMs, number);
    }
  }

  #disk(client: number): void {
    const { cluster } = this.driver.core;
    const id = clientId(client);
    if (this.#below(8) === 0) cluster.unmountLocalDisk(id);
    else cluster.mountLocalDisk(id, true);
    cluster.reportSsdCapacity(id, 1e9);
    cluster.pollRemoveAll(id);
  }

  #offload(client: number): void {
    const { core, nowMs } = this.driver;
    const id = clientId(client);
    const enabled = this.#below(6) !== 0;
    for (const item of core.cluster.offloadHeartbeat(id, enabled, nowMs).value ?? []) {
      this.#offloads.push({ client, ...item });
    }
    while (this.#offloads.length > 0 && this.#below(4) !== 0) {
      const { client: owner, tenantId, key, size } = this.#offloads.shift()!;
      const dataSize = this.#below(5) === 0 ? -1 : size;
      const transportEndpoint = `disk-${owner}:${this.#below(2)}`;
      const stored = { bucketId: 0, offset: 0, keySize: key.length, dataSize, transportEndpoint };
      core.cluster.notifyOffloadSuccess(
        clientId(owner),
        [{ tenantId, key, size }],
        [stored],
        nowMs,
      );
    }
  }

  #promote(client: number): void {
    const { movement } = this.driver.core;
    const { nowMs } = this.driver;
    const id = clientId(client);
    for (const { tenantId, key, size } of movement.promotionHeartbeat(id).value ?? []) {
      if (this.#below(4) === 0) continue;
      const tenant = this.driver.core.internTenant(tenantId, 0, tenantId.length);
      movement.promotionAllocStart(id, tenant, key, size, [], nowMs);
      if (this.#below(3) === 0) movement.notifyPromotionFailure(id, tenant, key, nowMs);
      else if (this.#below(3) !== 0) movement.notifyPromotionSuccess(id, tenant, key, nowMs);
    }
  }

  #removeMany(client: number, key: Uint8Array): void {
    const { core, nowMs, tenant } = this.driver;
    const digit = `${this.#below(10)}$`;
    switch (this.#below(12)) {
      case 0:
        return void this.driver.removeAll(this.#below(2) === 0, tenant);
      case 1:
        return void this.driver.removeByRegex(digit, true);
      case 2:
        return void this.driver.listByRegex(digit);
      case 3:
        return void core.evictDiskReplica(clientId(client), tenant, key, ReplicaType.LOCAL_DISK);
      case 4:
        return void core.evictDiskReplica(clientId(client), tenant, key, ReplicaType.DISK);
      default: {
        const name = this.#below(2) === 0 ? "" : this.#name();
        return void core.batchReplicaClear(tenant, [key], clientId(client), name, nowMs);
      }
    }
  }

  #pass(): void {
    const { driver } = this;
    driver.nowMs += this.#below(50) === 0 ? this.#below(9000) : this.#below(250);
    for (let client = 1; client <= CLIENTS; client++) {
      if (!this.#silent.has(client)) driver.ping(client);
    }
    if (this.#below(4) === 0) driver.settle();
    else driver.core.tick(driver.nowMs);
  }
}
