import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { Counter } from "./counters.ts";

const TENANT = bytesOf("default");

class Store extends CoreDriver {
  constructor(changes: Partial<CoreConfig> = {}) {
    super({ enableOffload: true, ...changes });
    this.mount(1, 4 * MIB);
    this.ok(this.core.cluster.mountLocalDisk(clientId(1), true));
  }

  /** The keys that a client is asked to store. */
  asked(client = 1, enabled = true): string[] {
    const { code, value } = this.core.cluster.offloadHeartbeat(
      clientId(client),
      enabled,
      this.nowMs,
    );
    this.ok(code);
    return value!.map(({ key }) => new TextDecoder().decode(key));
  }

  stored(key: string, dataSize: number, client = 1): number {
    const task = { tenantId: TENANT, key: bytesOf(key), size: dataSize };
    const result = {
      ...{ bucketId: 0, offset: 0, keySize: key.length, dataSize },
      transportEndpoint: `disk-${client}:1`,
    };
    const { cluster } = this.core;
    return cluster.notifyOffloadSuccess(clientId(client), [task], [result], this.nowMs);
  }

  kinds(key: string): string[] {
    this.ok(this.get(key));
    return this.sink.replicas.map(({ kind }) => kind);
  }
}

Deno.test("without offloading disks are refused and heartbeats find nothing", () => {
  const { core } = new CoreDriver();
  const { cluster, movement } = core;
  const id = clientId(1);
  assertCode(cluster.mountLocalDisk(id, true), ErrorCode.UNABLE_OFFLOAD);
  assertCode(cluster.unmountLocalDisk(id), ErrorCode.UNABLE_OFFLOAD);
  assertCode(cluster.offloadHeartbeat(id, true, 0).code, ErrorCode.SEGMENT_NOT_FOUND);
  assertCode(cluster.reportSsdCapacity(id, 5), ErrorCode.SEGMENT_NOT_FOUND);
  assertCode(cluster.reportSsdCapacity(id, -5), ErrorCode.INVALID_PARAMS);
  assertCode(cluster.pollRemoveAll(id).code, ErrorCode.SEGMENT_NOT_FOUND);
  assertCode(movement.promotionHeartbeat(id).code, ErrorCode.SEGMENT_NOT_FOUND);
  assertCode(cluster.notifyOffloadSuccess(id, [], [], 0), ErrorCode.OK);
});

Deno.test("a put is offered to its owner once, and what is stored adds one disk replica", () => {
  const store = new Store();
  store.mount(2, MIB, { client: 2 });
  store.put("k", 1000, { replicaNum: 2 });
  assert.deepEqual(store.asked(), ["k"]);
  assert.deepEqual(store.asked(), []);
  store.ok(store.stored("k", 1000));
  assert.deepEqual(store.kinds("k"), ["memory", "memory", "local_disk"]);
  assert.equal(store.sink.replicas[2].path, `${clientId(1)}@disk-1:1`);
  assert.equal(store.core.counters.get(Counter.DISK_BYTES), 1000);
  store.ok(store.remove("k", true));
  assert.equal(store.core.counters.get(Counter.DISK_BYTES), 0);
  checkCore(store.core.state);
});

Deno.test("an object that could not be stored is forgotten by the queue only", () => {
  const store = new Store();
  store.put("k", 1000);
  store.asked();
  assert.deepEqual(store.evictionOrder(), [], "it is being read");
  store.ok(store.stored("k", -1));
  assert.deepEqual(store.kinds("k"), ["memory"]);
  assert.deepEqual(store.evictionOrder(), ["k"]);
});

Deno.test("a disabled owner is offered nothing and keeps nothing waiting", () => {
  const store = new Store();
  store.put("k", 1000);
  assert.deepEqual(store.asked(1, false), []);
  assert.deepEqual(store.evictionOrder(), ["k"]);
  store.put("l", 1000);
  assert.deepEqual(store.asked(), []);
});

Deno.test("the queue of an owner has a limit", () => {
  const store = new Store({ offloadingQueueLimit: 2 });
  for (const key of ["a", "b", "c"]) store.put(key, 1000);
  assert.deepEqual(store.asked(), ["a", "b"]);
});

Deno.test("what a client finds on its disk after a restart comes into being", () => {
  const store = new Store();
  store.ok(store.stored("old", 5000));
  assert.deepEqual(store.kinds("old"), ["local_disk"]);
  assert.equal(store.sink.replicas[0].size, 5000);
  store.put("other", 100);
  store.ok(store.stored("other", 77));
  assert.deepEqual(store.kinds("other"), ["memory"], "another size is another value");
  store.ok(store.stored("old", 5000));
  assert.deepEqual(store.kinds("old"), ["local_disk"]);
  checkCore(store.core.state);
});

Deno.test("only clients with a disk can report", () => {
  const store = new Store();
  assertCode(store.stored("k", 100, 2), ErrorCode.SEGMENT_NOT_FOUND);
  assert.deepEqual(store.keys(), []);
  const { cluster } = store.core;
  const task = { tenantId: TENANT, key: bytesOf("k"), size: 1 };
  const code = cluster.notifyOffloadSuccess(clientId(1), [task], [], store.nowMs);
  assertCode(code, ErrorCode.INVALID_PARAMS);
});

Deno.test("an object removed while it is written to disk does not come back by the report", () => {
  const store = new Store();
  const [{ offset }] = store.put("k", MIB);
  store.asked();
  store.ok(store.remove("k"));
  store.ok(store.start("next", MIB));
  assert.notEqual(store.sink.replicas[0].offset, offset, "the owner may still be reading it");
  store.ok(store.stored("k", MIB));
  assert.equal(store.exist("k"), 0);
  store.ok(store.stored("k", MIB));
  assert.equal(store.exist("k"), 1, "a later report is about something it found");
});

Deno.test("what was stored while its memory went away is found on the disk", () => {
  const store = new Store();
  store.mount(2, MIB, { client: 2 });
  store.put("k", 1000, { preferredSegment: "segment-1" });
  store.asked();
  store.ok(store.core.cluster.unmountSegment("1-1", clientId(1), store.nowMs));
  assert.equal(store.exist("k"), 0);
  store.ok(store.stored("k", 1000));
  assert.deepEqual(store.kinds("k"), ["local_disk"]);
  store.settle();
  checkCore(store.core.state);
});

Deno.test("an upsert takes a queued offload over, but not one that has been fetched", () => {
  const store = new Store();
  store.put("k", 1000);
  store.ok(store.start("k", 1000, { upsert: true }));
  store.ok(store.end("k"));
  assert.deepEqual(store.asked(), ["k"]);
  const code = store.start("k", 1000, { upsert: true });
  assertCode(code, ErrorCode.OBJECT_HAS_REPLICATION_TASK);
  store.ok(store.stored("k", 1000));
  store.ok(store.start("k", 1000, { upsert: true }));
  assert.deepEqual(store.kinds("k"), ["memory", "local_disk"]);
  store.ok(store.end("k"));
  assert.deepEqual(store.kinds("k"), ["memory"], "the copy on disk was of the old value");
});

Deno.test("an object on a disk survives the eviction of its memory", () => {
  const store = new Store({ evictionHighWatermarkRatio: 1 });
  store.put("k", 2 * MIB);
  store.asked();
  store.ok(store.stored("k", 2 * MIB));
  store.nowMs += 1;
  store.put("l", 4 * MIB);
  assert.deepEqual(store.kinds("k"), ["local_disk"]);
  assert.equal(store.core.counters.get(Counter.IN_MEMORY), 1);
  assert.equal(store.core.counters.get(Counter.ON_DISK), 1);
});

Deno.test("a lost disk takes with it what lay nowhere else", () => {
  const store = new Store();
  store.put("both", 100);
  store.ok(store.stored("both", 100));
  store.ok(store.stored("disk", 100));
  store.put("queued", 100);
  store.ok(store.core.cluster.unmountLocalDisk(clientId(1)));
  assert.equal(store.exist("disk"), 0);
  assert.deepEqual(store.kinds("both"), ["memory"]);
  store.settle();
  assert.deepEqual(store.keys(), ["both", "queued"]);
  assert(store.evictionOrder().includes("queued"), "nobody will store it");
  checkCore(store.core.state);
  store.ok(store.core.cluster.unmountLocalDisk(clientId(1)));
});

Deno.test("an offload that is never reported is given up after the release time-out", () => {
  const store = new Store();
  store.put("k", 100);
  store.asked();
  store.pass(600_200);
  assert.deepEqual(store.evictionOrder(), ["k"]);
});

Deno.test("evicting means storing first, if that is wanted", () => {
  const store = new Store({ offloadOnEvict: true });
  for (let i = 0; i < 4; i++) {
    store.nowMs++;
    store.put(`k${i}`, MIB);
  }
  assert.deepEqual(store.asked(), [], "nothing is stored before it has to go");
  assertCode(store.start("new", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  const asked = store.asked();
  assert.deepEqual(asked.slice(0, 1), ["k0"]);
  assert(asked.length < 4, "no more than the put and the eviction ratio need");
  assertCode(store.start("new", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  for (const key of asked) store.ok(store.stored(key, MIB));
  store.ok(store.start("new", MIB));
  store.ok(store.end("new"));
  assert.deepEqual(store.kinds("k0"), ["local_disk"]);
  assert(store.keys().length === 5, "nothing is lost");
  checkCore(store.core.state);
});

Deno.test("without an owner that stores, evicting by force loses what must go", () => {
  const careful = new Store({ offloadOnEvict: true });
  const forced = new Store({ offloadOnEvict: true, offloadForceEvict: true });
  for (const store of [careful, forced]) {
    store.ok(store.core.cluster.unmountLocalDisk(clientId(1)));
    for (let i = 0; i < 4; i++) store.put(`k${i}`, MIB);
  }
  assertCode(careful.start("new", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  assert.equal(careful.keys().length, 4);
  forced.ok(forced.start("new", MIB));
  assert.equal(forced.keys().length, 4);
});

Deno.test("after RemoveAll the owner wipes its disk, unless something lies only there", () => {
  const store = new Store();
  const poll = () => store.core.cluster.pollRemoveAll(clientId(1)).value;
  assert.equal(poll(), false);
  store.ok(store.stored("a", 100));
  store.put("b", 100);
  store.asked();
  store.ok(store.stored("b", 100));
  store.exist("b");
  assert.equal(store.removeAll(), 1);
  assert.deepEqual(store.kinds("b"), ["memory"], "its copy is about to be wiped");
  assert.equal(poll(), true);
  assert.equal(poll(), false);
  store.ok(store.stored("c", 100));
  store.ok(store.stored("d", 100));
  store.exist("d");
  assert.equal(store.removeAll(), 1);
  assert.equal(poll(), false);
  assert.equal(store.exist("d"), 1);
  checkCore(store.core.state);
});

Deno.test("what is reported before an ordered wipe was done is not counted on", () => {
  const store = new Store();
  store.ok(store.stored("a", 100));
  store.removeAll(true);
  store.ok(store.stored("late", 100));
  assert.deepEqual(store.keys(), []);
});

Deno.test("EvictDiskReplica takes the client's own copies only", () => {
  const store = new Store();
  store.ok(store.stored("k", 100));
  const evict = (client: number) =>
    store.core.evictDiskReplica(clientId(client), 0, bytesOf("k"), ReplicaType.LOCAL_DISK);
  store.ok(evict(2));
  assert.equal(store.exist("k"), 1);
  store.ok(evict(1));
  assert.equal(store.exist("k"), 0);
  assert.deepEqual(store.keys(), []);
});
