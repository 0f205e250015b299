import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType, SoftPinAction } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { Counter } from "./counters.ts";

function mounted(size = 64 * MIB): CoreDriver {
  const driver = new CoreDriver();
  driver.mount(1, size);
  return driver;
}

function read(driver: CoreDriver, key: string) {
  driver.ok(driver.get(key));
  return driver.sink.replicas[0];
}

Deno.test("an upsert of a new key is a put", () => {
  const driver = mounted();
  driver.ok(driver.start("k", 100, { upsert: true }));
  assertCode(driver.get("k"), ErrorCode.REPLICA_IS_NOT_READY);
  driver.ok(driver.end("k"));
  assert.equal(read(driver, "k").size, 100);
});

Deno.test("an upsert of equal size is written beside the old value, which stays readable", () => {
  const driver = mounted();
  const [old] = driver.put("k", 100);
  driver.ok(driver.start("k", 100, { upsert: true, client: 2 }));
  const [staged] = driver.sink.replicas;
  assert.notEqual(staged.offset, old.offset);
  assert.equal(staged.status, 2);
  assert.equal(read(driver, "k").offset, old.offset);
  assertCode(driver.remove("k", true), ErrorCode.REPLICA_IS_NOT_READY);
  driver.ok(driver.end("k", 2));
  assert.equal(read(driver, "k").offset, staged.offset);
  assert.equal(driver.peek("k")!.client, clientId(2));
});

Deno.test("the old value's space is not used again while a reader may read it", () => {
  const driver = mounted(MIB);
  const [old] = driver.put("k", MIB / 4);
  read(driver, "k");
  driver.ok(driver.start("k", MIB / 4, { upsert: true }));
  driver.ok(driver.end("k"));
  driver.put("a", MIB / 4);
  driver.put("b", MIB / 4);
  driver.exist("a");
  driver.exist("b");
  assertCode(driver.start("c", MIB / 4), ErrorCode.NO_AVAILABLE_HANDLE);
  driver.pass(10_000);
  driver.ok(driver.start("c", MIB / 4));
  assert.equal(driver.sink.replicas[0].offset, old.offset);
});

Deno.test("a revoked upsert keeps the old value", () => {
  const driver = mounted();
  const [old] = driver.put("k", 100);
  driver.ok(driver.start("k", 200, { upsert: true }));
  driver.ok(driver.revoke("k"));
  assert.deepEqual([read(driver, "k").offset, read(driver, "k").size], [old.offset, 100]);
  assertCode(driver.revoke("k"), ErrorCode.INVALID_WRITE);
  driver.nowMs += 20_000;
  driver.ok(driver.remove("k"));
});

Deno.test("without room the old value stays and is not evicted for the new one", () => {
  const driver = mounted(MIB);
  const [old] = driver.put("k", MIB * 0.75);
  driver.nowMs += 60_000;
  driver.ping();
  assertCode(driver.start("k", MIB * 0.75, { upsert: true }), ErrorCode.NO_AVAILABLE_HANDLE);
  assert.equal(read(driver, "k").offset, old.offset);
  checkCore(driver.core.state);
});

Deno.test("a change of size swaps at the end", () => {
  const driver = mounted();
  driver.put("k", 100);
  driver.ok(driver.start("k", 5000, { upsert: true }));
  assert.equal(read(driver, "k").size, 100);
  driver.ok(driver.end("k"));
  assert.equal(read(driver, "k").size, 5000);
  assert.equal(driver.core.counters.get(Counter.IN_MEMORY), 1);
});

Deno.test("an unfinished write of another client is preempted, its space held for its writer", () => {
  const driver = mounted(MIB);
  driver.ok(driver.start("k", MIB / 2));
  const [first] = driver.sink.replicas;
  driver.ok(driver.start("k", MIB / 2, { upsert: true, client: 2 }));
  assertCode(driver.end("k", 1), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(driver.end("k", 2));
  driver.nowMs += 300_000;
  driver.put("other", MIB / 2);
  assert.equal(driver.exist("k"), 0, "there was no other room than that of the old value");
  driver.nowMs += 300_001;
  driver.settle();
  driver.ok(driver.start("third", MIB / 2));
  assert.equal(driver.sink.replicas[0].offset, first.offset);
});

Deno.test("threads of one client that upsert a key take turns when their writes have no numbers", () => {
  const driver = mounted();
  const [old] = driver.put("k", 100);
  driver.ok(driver.start("k", 100, { upsert: true }));
  const [first] = driver.sink.replicas;
  assertCode(driver.start("k", 100, { upsert: true }), ErrorCode.OBJECT_REPLICA_BUSY);
  assert.equal(read(driver, "k").offset, old.offset);
  driver.ok(driver.end("k"));
  assert.equal(read(driver, "k").offset, first.offset);
  driver.ok(driver.start("k", 100, { upsert: true }));
  driver.ok(driver.revoke("k"));
  assert.equal(read(driver, "k").offset, first.offset);
});

Deno.test("the end of an upsert that another client replaced ends no later one", () => {
  const driver = mounted();
  const [old] = driver.put("k", 100);
  driver.ok(driver.start("k", 100, { upsert: true }));
  driver.ok(driver.start("k", 100, { upsert: true, client: 2 }));
  assertCode(driver.start("k", 100, { upsert: true }), ErrorCode.OBJECT_REPLICA_BUSY);
  assertCode(driver.end("k"), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(driver.start("k", 100, { upsert: true }));
  assert.equal(read(driver, "k").offset, old.offset);
  const [last] = driver.sink.replicas;
  assertCode(driver.end("k", 2), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(driver.end("k"));
  assert.notEqual(read(driver, "k").offset, old.offset);
  assert.equal(last.offset, old.offset);
});

Deno.test("writes that have numbers are told apart, whoever replaces whom", () => {
  const driver = mounted();
  const upsert = (client: number, writeId: number) =>
    driver.start("k", 100, { upsert: true, client, writeId });
  const end = (client: number, writeId: number) =>
    driver.end("k", client, ReplicaType.ALL, null, writeId);
  const [old] = driver.put("k", 100);
  driver.ok(upsert(1, 1));
  driver.ok(upsert(2, 1));
  driver.ok(upsert(1, 2));
  const [last] = driver.sink.replicas;
  assertCode(end(1, 1), ErrorCode.ILLEGAL_CLIENT);
  assertCode(end(2, 1), ErrorCode.ILLEGAL_CLIENT);
  assert.equal(read(driver, "k").offset, old.offset, "the last one is still being written");
  assertCode(driver.revoke("k", 1, ReplicaType.ALL, 1), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(end(1, 2));
  assert.equal(read(driver, "k").offset, last.offset);
  assertCode(end(1, 1), ErrorCode.ILLEGAL_CLIENT);
  assert.equal(driver.core.state.owedEnds.size, 0);
});

Deno.test("the group of an object cannot be changed, only be left out", () => {
  const driver = mounted();
  driver.put("k", 100, { group: "g" });
  assertCode(driver.start("k", 100, { upsert: true, group: "h" }), ErrorCode.INVALID_PARAMS);
  driver.ok(driver.start("k", 100, { upsert: true, group: "g" }));
  driver.ok(driver.end("k"));
  driver.ok(driver.start("k", 100, { upsert: true }));
  driver.ok(driver.end("k"));
  assert.deepEqual(driver.peek("k")!.group, bytesOf("g"));
});

Deno.test("pins survive an upsert that does not speak of them", () => {
  const driver = mounted();
  const enable = { softPinAction: SoftPinAction.ENABLE, softPinTtlMs: 60_000 };
  driver.put("k", 100, { withHardPin: true, ...enable });
  const until = driver.peek("k")!.softPinUntilMs;
  driver.nowMs += 1000;
  driver.put("k", 200, { upsert: true });
  assert.equal(driver.peek("k")!.softPinUntilMs, until);
  assert(driver.peek("k")!.hardPinned);
  driver.put("k", 200, { upsert: true, softPinAction: SoftPinAction.DISABLE });
  assert.equal(driver.peek("k")!.softPinUntilMs, 0);
  driver.put("k", 200, { upsert: true, ...enable, softPinTtlMs: 0 });
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 0);
});

Deno.test("a revoked upsert leaves pins as they were", () => {
  const driver = mounted();
  driver.put("k", 100);
  driver.ok(driver.start("k", 100, { upsert: true, softPinAction: SoftPinAction.ENABLE }));
  driver.ok(driver.revoke("k"));
  assert.equal(driver.peek("k")!.softPinUntilMs, 0);
});

Deno.test("an object that is being copied cannot be upserted", () => {
  const driver = mounted();
  driver.mount(2, MIB);
  driver.ok(driver.start("k", 100, { preferredSegment: "segment-1" }));
  driver.ok(driver.end("k"));
  const { movement } = driver.core;
  const started = movement.copyStart(
    ...[clientId(1), 0, bytesOf("k"), "segment-1", ["segment-2"], "0-0", driver.nowMs] as const,
  );
  driver.ok(started.code);
  const code = driver.start("k", 100, { upsert: true });
  assertCode(code, ErrorCode.OBJECT_HAS_REPLICATION_TASK);
});

Deno.test("the file of an upserted object is not read while it is overwritten", () => {
  const driver = new CoreDriver({ fsdir: "/fs" });
  driver.mount(1, MIB);
  driver.put("k", 100);
  driver.ok(driver.end("k", 1, ReplicaType.DISK));
  driver.ok(driver.start("k", 100, { upsert: true }));
  driver.ok(driver.get("k"));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["memory"]);
  driver.ok(driver.end("k", 1, ReplicaType.DISK));
  driver.ok(driver.get("k"));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["memory"]);
  driver.ok(driver.end("k"));
  driver.ok(driver.get("k"));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["memory", "disk"]);
  checkCore(driver.core.state);
});
