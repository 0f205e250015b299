import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";

function mounted(): CoreDriver {
  const driver = new CoreDriver();
  driver.mount(1, 64 * MIB);
  return driver;
}

Deno.test("Remove answers why it does not remove", () => {
  const driver = mounted();
  assertCode(driver.remove("k"), ErrorCode.OBJECT_NOT_FOUND);
  driver.ok(driver.start("k", 100));
  assertCode(driver.remove("k"), ErrorCode.REPLICA_IS_NOT_READY);
  assertCode(driver.remove("k", true), ErrorCode.REPLICA_IS_NOT_READY);
  driver.ok(driver.end("k"));
  driver.exist("k");
  assertCode(driver.remove("k"), ErrorCode.OBJECT_HAS_LEASE);
  driver.ok(driver.remove("k", true));
});

Deno.test("memory of a leased object that was removed by force is held until the lease ends", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  driver.put("k", MIB);
  driver.exist("k");
  driver.ok(driver.remove("k", true));
  assertCode(driver.start("next", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  driver.pass(9_900);
  assertCode(driver.start("next", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  driver.pass(100);
  driver.ok(driver.start("next", MIB));
});

Deno.test("RemoveByRegex searches in the bytes of keys and skips what may not go", () => {
  const driver = mounted();
  for (const key of ["b1", "b2", "ab", "c", "päth"]) driver.put(key, 100);
  driver.ok(driver.start("b3", 100));
  driver.exist("b2");
  const remove = (pattern: string, force = false) => driver.removeByRegex(pattern, force);
  assertCode(remove("["), ErrorCode.INVALID_PARAMS);
  assertCode(remove("x".repeat(4097)), ErrorCode.INVALID_PARAMS);
  assert.equal(remove("^b"), 1);
  assert.deepEqual(driver.keys(), ["ab", "b2", "b3", "c", "päth"]);
  assert.equal(remove("b", true), 2);
  assert.equal(remove("^p..th$"), 1, "a dot is one byte");
  assert.deepEqual(driver.keys(), ["b3", "c"]);
});

Deno.test("RemoveAll takes what may go and counts it", () => {
  const driver = mounted();
  for (let i = 0; i < 10; i++) driver.put(`k${i}`, 100);
  driver.ok(driver.start("unfinished", 100));
  driver.exist("k3");
  assert.equal(driver.removeAll(), 9);
  assert.equal(driver.removeAll(true), 1);
  assert.equal(driver.removeAll(true, -1), 0);
  assert.deepEqual(driver.keys(), ["unfinished"]);
});

Deno.test("BatchReplicaClear takes only the client's own, unleased, finished objects", () => {
  const driver = mounted();
  driver.mount(2, MIB);
  driver.put("own", 100);
  driver.put("leased", 100);
  driver.put("other", 100, { client: 2 });
  driver.ok(driver.start("unfinished", 100));
  driver.exist("leased");
  const keys = ["own", "leased", "other", "unfinished", "missing", ""].map(bytesOf);
  const clear = (segment: string) =>
    driver.core.batchReplicaClear(0, keys, clientId(1), segment, driver.nowMs);
  assert.deepEqual(clear("nowhere"), []);
  assert.deepEqual(clear(""), [keys[0]]);
  assert.deepEqual(driver.core.batchReplicaClear(0, keys, clientId(7), "", driver.nowMs), []);
  driver.put("two", 100, { replicaNum: 2 });
  const two = [bytesOf("two")];
  const cleared = driver.core.batchReplicaClear(0, two, clientId(1), "segment-2", driver.nowMs);
  assert.deepEqual(cleared, two);
  driver.ok(driver.get("two"));
  assert.equal(driver.sink.replicas.length, 1);
  const rest = driver.core.batchReplicaClear(0, two, clientId(1), "segment-1", driver.nowMs);
  assert.deepEqual(rest, [], "it has just been read");
  checkCore(driver.core.state);
});

Deno.test("EvictDiskReplica forgets copies on disk and refuses other kinds", () => {
  const driver = new CoreDriver({ fsdir: "/fs" });
  driver.mount(1, MIB);
  const evict = (key: string, type: number) =>
    driver.core.evictDiskReplica(clientId(1), 0, bytesOf(key), type);
  assertCode(evict("k", ReplicaType.DISK), ErrorCode.OBJECT_NOT_FOUND);
  driver.put("k", 100);
  assertCode(evict("k", ReplicaType.MEMORY), ErrorCode.INVALID_PARAMS);
  driver.ok(driver.end("k", 1, ReplicaType.DISK));
  driver.ok(evict("k", ReplicaType.LOCAL_DISK));
  driver.ok(evict("k", ReplicaType.DISK));
  driver.ok(driver.get("k"));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["memory"]);
});
