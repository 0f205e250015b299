import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { compilePattern } from "./key_pattern.ts";

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
  const remove = (pattern: string, force = false) =>
    driver.core.removeByRegex(0, bytesOf(pattern), force, driver.nowMs);
  assert.deepEqual(remove("["), { code: ErrorCode.INVALID_PARAMS, value: null });
  assert.deepEqual(remove("x".repeat(4097)), { code: ErrorCode.INVALID_PARAMS, value: null });
  assert.deepEqual(remove("^b"), { code: 0, value: 1 });
  assert.deepEqual(driver.keys(), ["ab", "b2", "b3", "c", "päth"]);
  assert.deepEqual(remove("b", true), { code: 0, value: 2 });
  assert.deepEqual(remove("^p..th$"), { code: 0, value: 1 }, "a dot is one byte");
  assert.deepEqual(driver.keys(), ["b3", "c"]);
});

Deno.test("named character classes mean what they mean to the reference", () => {
  const matches = (pattern: string, text: string) =>
    compilePattern(bytesOf(pattern))?.test(text) ?? null;
  assert.equal(matches("^[[:digit:]]+$", "0123"), true);
  assert.equal(matches("^[[:digit:]]+$", "d"), false);
  assert.equal(matches("^[^[:space:][:upper:]]$", "a"), true);
  assert.equal(matches("[[:nonsense:]]", "a"), null);
  assert.equal(matches("[[:punct:]]", "]"), true);
});

Deno.test("RemoveAll takes what may go and counts it", () => {
  const driver = mounted();
  for (let i = 0; i < 10; i++) driver.put(`k${i}`, 100);
  driver.ok(driver.start("unfinished", 100));
  driver.exist("k3");
  assert.equal(driver.core.removeAll(0, false, driver.nowMs), 9);
  assert.equal(driver.core.removeAll(0, true, driver.nowMs), 1);
  assert.equal(driver.core.removeAll(-1, true, driver.nowMs), 0);
  assert.deepEqual(driver.keys(), ["unfinished"]);
});

Deno.test("a removal in slices takes what was there when it began", () => {
  const driver = mounted();
  for (let i = 0; i < 1000; i++) driver.put(`k${i}`, 100);
  const sweep = driver.core.beginRemoval(0, null, true)!;
  assert.equal(driver.core.stepRemoval(sweep, 300, driver.nowMs), false);
  assert.equal(driver.keys().length, 700);
  let steps = 1;
  while (!driver.core.stepRemoval(sweep, 300, driver.nowMs)) steps++;
  assert.equal(steps, 3);
  assert.equal(sweep.removed, 1000);
  assert.equal(driver.core.beginRemoval(0, bytesOf("("), true), null);
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
