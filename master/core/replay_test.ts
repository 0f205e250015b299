// Goal: a core rebuilt from the facts of another holds the same durable state, at any moment, and
// nothing inside either of them breaks.
// Method: random calls of every kind, clients that come, fall silent and return, little space; after
// some of them the facts so far go to a second core and the digests are compared.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType, SoftPinAction, type TaskAssignment, TaskStatus } from "../../proto/types.ts";
import { bytesOf, clientId, CoreDriver, MIB, segmentOf } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { FactSink } from "./api.ts";
import type { MasterCore } from "./core.ts";
import { durableState } from "./digest.ts";
import { randomBelow, SeededRng } from "./rng.ts";

const CLIENTS = 4;
const EPOCH_SHIFT_MS = 12_345;

/** Keeps the facts that have not been handed on yet. */
class FactBuffer implements FactSink {
  readonly #facts: Uint8Array[] = [];

  append(bytes: Uint8Array, start: number, end: number): void {
    this.#facts.push(bytes.slice(start, end));
  }

  /** The facts since the last time, one by one. */
  each(): Uint8Array[] {
    return this.#facts.splice(0);
  }

  /** The facts since the last time, one after the other. */
  take(): Uint8Array {
    const facts = this.each();
    const all = new Uint8Array(facts.reduce((sum, fact) => sum + fact.length, 0));
    let at = 0;
    for (const fact of facts) {
      all.set(fact, at);
      at += fact.length;
    }
    return all;
  }
}

/** Random calls of every kind on one core. */
class Chaos {
  readonly driver: CoreDriver;
  readonly #random: SeededRng;
  readonly #silent = new Set<number>();
  readonly #fetched: { client: number; task: TaskAssignment }[] = [];
  readonly #offloads: { client: number; key: Uint8Array; size: number }[] = [];
  #nextSegment = 1;

  constructor(seed: number) {
    this.#random = new SeededRng(seed, 77);
    const offload = this.#below(3);
    this.driver = new CoreDriver({
      defaultKvLeaseTtlMs: 1500,
      putStartDiscardTimeoutMs: 2000,
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
      fsdir: this.#below(3) === 0 ? "/shared/cluster" : "",
      allocationStrategy: (["random", "free_ratio_first", "local_first"] as const)[this.#below(3)],
    }, seed);
  }

  step(): void {
    const { driver } = this;
    const { core, nowMs } = driver;
    const client = 1 + this.#below(CLIENTS);
    const key = `key-${this.#below(60)}`;
    const bytes = bytesOf(key);
    const id = clientId(client);
    switch (this.#below(30)) {
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
        core.movement.copyStart(id, 0, bytes, this.#name(), [this.#name()], "0-0", nowMs);
        break;
      case 19:
        core.movement.moveStart(id, 0, bytes, this.#name(), this.#name(), nowMs);
        break;
      case 20:
      case 21:
        this.#endTransfer(client, bytes);
        break;
      case 22:
        if (this.#below(2) === 0) core.movement.createCopyTask(0, bytes, [this.#name()], nowMs);
        else core.movement.createMoveTask(0, bytes, this.#name(), this.#name(), nowMs);
        break;
      case 23:
        for (const task of core.movement.fetchTasks(id, 2, nowMs)) {
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

  #name(): string {
    return `name-${this.#below(5)}`;
  }

  #mount(client: number): void {
    const { cluster } = this.driver.core;
    if (this.driver.core.segments.count >= 8) return;
    const size = MIB + this.#below(MIB);
    const host = `host-${client}`;
    const segment = segmentOf(this.#nextSegment++, this.#name(), size, host);
    cluster.mountSegment(segment, clientId(client));
    if (this.#below(2) === 0) cluster.remountSegments([segment], clientId(client));
  }

  #unmount(client: number): void {
    const { core, nowMs } = this.driver;
    if (this.#below(3) !== 0) return;
    for (const { id, clientId: owner } of core.inspection.segmentDetails()) {
      if (owner !== clientId(client)) continue;
      if (this.#below(2) === 0) core.cluster.unmountSegment(id, owner);
      else core.cluster.gracefulUnmountSegment(id, owner, this.#below(2000), nowMs);
      return;
    }
  }

  #endTransfer(client: number, key: Uint8Array): void {
    const { movement } = this.driver.core;
    const { nowMs } = this.driver;
    const id = clientId(client);
    switch (this.#below(4)) {
      case 0:
        return void movement.copyEnd(id, 0, key, "0-0", 0, nowMs);
      case 1:
        return void movement.moveEnd(id, 0, key, nowMs);
      case 2:
        return void movement.copyRevoke(id, 0, key, "0-0", 0, nowMs);
      default:
        return void movement.moveRevoke(id, 0, key, nowMs);
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
    for (const { key, size } of core.cluster.offloadHeartbeat(id, enabled, nowMs).value ?? []) {
      this.#offloads.push({ client, key, size });
    }
    while (this.#offloads.length > 0 && this.#below(4) !== 0) {
      const { client: owner, key, size } = this.#offloads.shift()!;
      const dataSize = this.#below(5) === 0 ? -1 : size;
      const tenantId = bytesOf("default");
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
    for (const { key, size } of movement.promotionHeartbeat(id).value ?? []) {
      if (this.#below(4) === 0) continue;
      movement.promotionAllocStart(id, 0, key, size, [], nowMs);
      if (this.#below(3) === 0) movement.notifyPromotionFailure(id, 0, key, nowMs);
      else if (this.#below(3) !== 0) movement.notifyPromotionSuccess(id, 0, key, nowMs);
    }
  }

  #removeMany(client: number, key: Uint8Array): void {
    const { core, nowMs } = this.driver;
    const digit = bytesOf(`${this.#below(10)}$`);
    switch (this.#below(12)) {
      case 0:
        return void core.removeAll(0, this.#below(2) === 0, nowMs);
      case 1:
        return void core.removeByRegex(0, digit, true, nowMs);
      case 2:
        return void core.getReplicaListByRegex(0, digit, nowMs);
      case 3:
        return void core.evictDiskReplica(clientId(client), 0, key, ReplicaType.LOCAL_DISK);
      case 4:
        return void core.evictDiskReplica(clientId(client), 0, key, ReplicaType.DISK);
      default: {
        const name = this.#below(2) === 0 ? "" : this.#name();
        return void core.batchReplicaClear(0, [key], clientId(client), name, nowMs);
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

function run(seed: number, operations: number): void {
  const chaos = new Chaos(seed);
  const { core } = chaos.driver;
  const facts = new FactBuffer();
  core.attachFacts(facts);
  const { config } = core.state;
  const epochOffsetMs = config.epochOffsetMs + EPOCH_SHIFT_MS;
  const follower = new CoreDriver({ ...config, epochOffsetMs }, seed + 1).core;
  let restored: MasterCore | null = null;
  for (let i = 0; i < operations; i++) {
    chaos.step();
    if (i % 300 !== 0 && i !== operations - 1) continue;
    checkCore(core.state);
    const told = facts.take();
    follower.replay(told);
    checkCore(follower.state);
    restored?.replay(told);
    compareRestored(follower, restored, seed);
    if (chaos.chance(3)) {
      restored = restoredFrom(follower, epochOffsetMs, seed);
      compareRestored(follower, restored, seed);
    }
    if (follower.digest() === core.digest()) continue;
    const expected = Array.from(durableState(core.state)).sort();
    assert.deepEqual(Array.from(durableState(follower.state)).sort(), expected, `seed ${seed}`);
    assert.fail(`seed ${seed}: the digests differ, the states do not`);
  }
  follower.finishReplay(chaos.driver.nowMs - EPOCH_SHIFT_MS);
  assert.equal(follower.digest(), core.digest());
  checkCore(follower.state);
}

/** A core built from the snapshot of another. */
function restoredFrom(core: MasterCore, epochOffsetMs: number, seed: number): MasterCore {
  const snapshot = new FactBuffer();
  core.tellSnapshot(snapshot);
  const restored = new CoreDriver({ ...core.state.config, epochOffsetMs }, seed + 2).core;
  restored.replay(snapshot.take());
  return restored;
}

/** A snapshot leaves out what only waits to be swept up; apart from that the cores are equal. */
function compareRestored(core: MasterCore, restored: MasterCore | null, seed: number): void {
  if (restored === null) return;
  if (core.segments.dead.length > 0 || core.state.disks.dead.length > 0) return;
  const expected = Array.from(durableState(core.state)).sort();
  assert.deepEqual(Array.from(durableState(restored.state)).sort(), expected, `seed ${seed}`);
  restored.state.clients.forgetUnused();
  checkCore(restored.state);
}

const given = Deno.env.get("SEED");
const seeds = given === undefined ? Array.from({ length: 30 }, (_, i) => i + 1) : [Number(given)];

Deno.test("a core rebuilt from facts equals the one that told them", () => {
  for (const seed of seeds) run(seed, 6_000);
});

Deno.test("applying a fact twice is the same as once", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("a", 1000, { group: "g" });
  driver.ok(driver.start("b", 1000));
  driver.ok(driver.start("a", 2000, { upsert: true }));
  driver.ok(driver.end("a"));
  driver.ok(driver.revoke("b"));
  driver.ok(driver.remove("a", true));
  const follower = new CoreDriver().core;
  for (const fact of facts.each()) {
    follower.replay(fact);
    follower.replay(fact);
  }
  assert.equal(follower.digest(), driver.core.digest());
});

Deno.test("a core that takes over never hands out what a writer of the old one may fill", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.ok(driver.start("k", MIB / 2));
  const [writing] = driver.sink.replicas;
  const next = new CoreDriver();
  next.core.replay(facts.take());
  next.core.finishReplay(next.nowMs);
  next.mount(1, MIB);
  next.ok(next.start("other", MIB / 2));
  assert.notEqual(next.sink.replicas[0].offset, writing.offset);
  assert(next.sink.replicas[0].id > writing.id);
  assert.equal(next.start("third", MIB / 2), ErrorCode.NO_AVAILABLE_HANDLE);
});

Deno.test("what a core has recovered is not evicted for one lease", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("k", MIB);
  const next = new CoreDriver();
  next.core.replay(facts.take());
  next.core.finishReplay(next.nowMs);
  next.mount(1, MIB);
  assert.equal(next.start("other", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  next.nowMs += 10_001;
  next.ok(next.start("other", MIB));
});

Deno.test("facts that are cut off are refused", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("k", 1000);
  const told = facts.take();
  const follower = new CoreDriver().core;
  assert.throws(() => follower.replay(told.subarray(0, told.length - 1)), /Malformed fact/);
});
