import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType, SoftPinAction } from "../../proto/types.ts";
import {
  assertCode,
  clientId,
  CoreDriver,
  MIB,
  segmentOf,
} from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { Counter } from "./counters.ts";

function mounted(...sizes: number[]): CoreDriver {
  const driver = new CoreDriver();
  (sizes.length > 0 ? sizes : [64 * MIB]).forEach((size, i) => driver.mount(i + 1, size));
  return driver;
}

Deno.test("PutStart refuses what makes no sense", () => {
  const driver = mounted();
  const bad = (key: string, size: number, options = {}) =>
    assertCode(driver.start(key, size, options), ErrorCode.INVALID_PARAMS);
  bad("", 10);
  bad("k", 0);
  bad("k", 2 ** 53);
  bad("k", 10, { replicaNum: 0 });
  bad("k", 10, { nofReplicaNum: 1 });
  bad("k", 10, { dfsReplicaNum: 2 });
  bad("k", 10, { dfsReplicaNum: 1, replicaNum: 0 });
  bad("k", 10, { softPinAction: 3 });
  bad("k", 10, { softPinTtlMs: 5 });
  bad("k", 10, { softPinAction: SoftPinAction.DISABLE, softPinTtlMs: 5 });
  bad("k", 10, { softPinAction: SoftPinAction.ENABLE, softPinTtlMs: 86_400_001 });
  assertCode(driver.start("k", 10, { dfsReplicaNum: 1 }), ErrorCode.DFS_SERVICE_UNAVAILABLE);
  assert.deepEqual(driver.keys(), []);
  assert.equal(driver.core.counters.get(Counter.ALLOCATED_BYTES), 0);
});

Deno.test("PutStart without any segment answers that there is no room", () => {
  const driver = new CoreDriver();
  assertCode(driver.start("k", 10), ErrorCode.NO_AVAILABLE_HANDLE);
  assert.equal(driver.core.counters.get(Counter.ALLOCATION_FAILURES), 1);
});

Deno.test("replica ids are unique and growing, replicas of one object lie under different names", () => {
  const driver = mounted(MIB, MIB, MIB);
  driver.ok(driver.start("a", 100, { replicaNum: 2 }));
  const first = driver.sink.replicas;
  assert.deepEqual(first.map(({ id }) => id), [1, 2]);
  assert.notEqual(first[0].segment, first[1].segment);
  driver.ok(driver.start("b", 100, { replicaNum: 3 }));
  assert.deepEqual(driver.sink.replicas.map(({ id }) => id), [3, 4, 5]);
});

Deno.test("fewer segments than replicas is a put with what there is", () => {
  const driver = mounted(MIB);
  driver.ok(driver.start("k", 100, { replicaNum: 2 }));
  assert.equal(driver.sink.replicas.length, 1);
  assert.equal(driver.core.counters.get(Counter.PARTIAL_ALLOCATIONS), 1);
});

Deno.test("a key is taken while it is readable or its put is young", () => {
  const driver = mounted();
  driver.ok(driver.start("k", 100));
  assertCode(driver.start("k", 100, { client: 2 }), ErrorCode.OBJECT_ALREADY_EXISTS);
  driver.pass(30_000);
  assertCode(driver.start("k", 100, { client: 2 }), ErrorCode.OBJECT_ALREADY_EXISTS);
  driver.pass(1);
  driver.ok(driver.start("k", 100, { client: 2 }));
  assertCode(driver.end("k", 1), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(driver.end("k", 2));
  driver.pass(700_000);
  assertCode(driver.start("k", 100), ErrorCode.OBJECT_ALREADY_EXISTS);
});

Deno.test("space of a replaced put stays back until its writer's time is up", () => {
  const driver = mounted(MIB);
  driver.ok(driver.start("k", MIB / 2));
  const { offset } = driver.sink.replicas[0];
  driver.pass(30_001);
  driver.ok(driver.start("k", MIB / 2, { client: 2 }));
  assert.notEqual(driver.sink.replicas[0].offset, offset);
  assertCode(driver.start("other", MIB / 2), ErrorCode.NO_AVAILABLE_HANDLE);
  assert.equal(driver.core.counters.get(Counter.WRITES_DISCARDED), 1);
  assert.equal(driver.core.counters.get(Counter.DISCARDED_BYTES), MIB / 2);
  driver.pass(570_000);
  driver.ok(driver.start("other", MIB / 2));
  assert.equal(driver.sink.replicas[0].offset, offset);
  assert.equal(driver.core.counters.get(Counter.DISCARDED_RELEASED), 1);
  assert.equal(driver.core.counters.get(Counter.DISCARDED_BYTES), 0);
});

Deno.test("a put that is never ended is gone after the release time-out", () => {
  const driver = mounted(MIB);
  driver.ok(driver.start("k", MIB));
  driver.pass(600_100);
  assert.deepEqual(driver.keys(), []);
  assertCode(driver.end("k"), ErrorCode.OBJECT_NOT_FOUND);
  driver.ok(driver.start("next", MIB));
  checkCore(driver.core.state);
});

Deno.test("PutEnd and PutRevoke answer who may and when", () => {
  const driver = mounted();
  assertCode(driver.end("k"), ErrorCode.OBJECT_NOT_FOUND);
  assertCode(driver.revoke("k"), ErrorCode.OBJECT_NOT_FOUND);
  driver.ok(driver.start("k", 100));
  assertCode(driver.end("k", 2), ErrorCode.ILLEGAL_CLIENT);
  assertCode(driver.revoke("k", 2), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(driver.end("k", 1, ReplicaType.MEMORY));
  driver.ok(driver.end("k"));
  assertCode(driver.end("k", 1, ReplicaType.DISK), ErrorCode.INVALID_WRITE);
  assertCode(driver.revoke("k"), ErrorCode.INVALID_WRITE);
  assertCode(driver.end("k", 2), ErrorCode.ILLEGAL_CLIENT);
});

Deno.test("a revoked put gives its space back once a node that hung would have been missed", () => {
  const driver = mounted(MIB);
  driver.ok(driver.start("k", MIB));
  driver.ok(driver.revoke("k"));
  assert.deepEqual(driver.keys(), []);
  const { clientTtlMs } = driver.core.state.config;
  driver.pass(clientTtlMs - 200, [1]);
  assertCode(driver.start("next", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  driver.pass(400, [1]);
  driver.ok(driver.start("next", MIB));
});

Deno.test("a checksum is kept as given, and cleared by an end without one", () => {
  const driver = mounted();
  driver.ok(driver.start("k", 100));
  driver.ok(driver.end("k", 1, ReplicaType.ALL, 0xfedc_ba98_7654_3210n));
  driver.ok(driver.get("k"));
  assert.equal(driver.sink.sum, 0xfedc_ba98_7654_3210n);
  driver.ok(driver.start("k", 100, { upsert: true }));
  driver.ok(driver.end("k"));
  driver.ok(driver.get("k"));
  assert.equal(driver.sink.sum, null);
});

Deno.test("with a shared file system each object gets a file, ended by itself in any order", () => {
  const driver = new CoreDriver({ fsdir: "/fs/cluster" });
  driver.mount(1, MIB);
  assert(driver.core.segments.longestText >= 200);
  driver.ok(driver.start("dir/a b", 100));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["memory", "disk"]);
  const { path } = driver.sink.replicas[1];
  assert.match(path, /^\/fs\/cluster\/[a-p]\/[a-p]\/dir%2fa%20b$/);
  driver.ok(driver.end("dir/a b", 1, ReplicaType.DISK));
  driver.ok(driver.end("dir/a b"));
  driver.ok(driver.get("dir/a b"));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["memory", "disk"]);

  driver.ok(driver.start("b", 100));
  driver.ok(driver.end("b"));
  driver.ok(driver.get("b"));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["memory"]);
  assertCode(driver.remove("b", true), ErrorCode.REPLICA_IS_NOT_READY);
  driver.ok(driver.end("b", 1, ReplicaType.DISK));
  driver.ok(driver.remove("b", true));

  driver.ok(driver.start("c", 100));
  driver.ok(driver.revoke("c"));
  assert.equal(driver.peek("c")!.replicas.length, 1);
  driver.ok(driver.end("c", 1, ReplicaType.DISK));
  driver.ok(driver.get("c"));
  assert.deepEqual(driver.sink.replicas.map(({ kind }) => kind), ["disk"]);
  checkCore(driver.core.state);
});

Deno.test("a key whose segment went while it was written can be put again at once", () => {
  const driver = new CoreDriver();
  const segment = driver.mount(1, MIB, { client: 1 });
  driver.ok(driver.start("k", 100, { client: 2 }));
  driver.ok(driver.core.cluster.unmountSegment(segment.id, "1-7", driver.nowMs));
  assertCode(driver.end("k", 2), ErrorCode.OBJECT_NOT_FOUND);
  driver.mount(2, MIB, { client: 1 });
  driver.ok(driver.start("k", 100, { client: 2 }));
  driver.ok(driver.end("k", 2));
  driver.settle();
  checkCore(driver.core.state);
});

Deno.test("keys are bytes: any bytes and any length", () => {
  const driver = mounted();
  for (const key of ["\0", "a\0b", "../../etc/passwd", ".*", "k".repeat(100_000), "ключ"]) {
    driver.put(key, 100);
    assert.equal(driver.exist(key), 1);
  }
  const binary = Uint8Array.of(0xff, 0, 0xfe);
  assert.equal(driver.core.existKey(0, binary, 0, 3, driver.nowMs), 0);
  driver.remove("k".repeat(100_000), true);
  assert.equal(driver.exist("k".repeat(100_000)), 0);
});

Deno.test("an unfinished put of a client that numbers none is not replaced by itself", () => {
  const driver = mounted();
  driver.ok(driver.start("k", 100));
  driver.pass(31_000);
  assertCode(driver.start("k", 100), ErrorCode.OBJECT_REPLICA_BUSY);
  driver.ok(driver.start("k", 100, { client: 2 }));
  driver.ok(driver.end("k", 2));
  driver.ok(driver.remove("k", true));
  assertCode(driver.start("k", 100), ErrorCode.OBJECT_REPLICA_BUSY);
  assertCode(driver.end("k"), ErrorCode.OBJECT_NOT_FOUND);
  driver.ok(driver.start("k", 100));
  driver.ok(driver.end("k"));
});

Deno.test("an end that is owed is not expected beyond the release time-out", () => {
  const driver = mounted();
  driver.ok(driver.start("k", 100));
  driver.ok(driver.start("k", 100, { upsert: true, client: 2 }));
  driver.ok(driver.end("k", 2));
  driver.pass(599_000);
  assertCode(driver.start("k", 100, { upsert: true }), ErrorCode.OBJECT_REPLICA_BUSY);
  driver.pass(1_100);
  assert.equal(driver.core.state.owedEnds.size, 0);
  driver.ok(driver.start("k", 100, { upsert: true }));
  checkCore(driver.core.state);
});

Deno.test("the end of a put whose segment went does not end the next put of the client", () => {
  const driver = mounted();
  driver.mount(2, MIB, { client: 2 });
  driver.ok(driver.start("k", 100, { preferredSegment: "segment-2" }));
  driver.ok(
    driver.core.cluster.unmountSegment(
      segmentOf(2, "segment-2", MIB).id,
      clientId(2),
      driver.nowMs,
    ),
  );
  driver.settle();
  assertCode(driver.start("k", 100), ErrorCode.OBJECT_REPLICA_BUSY);
  assertCode(driver.end("k"), ErrorCode.OBJECT_NOT_FOUND);
  driver.ok(driver.start("k", 100));
  assert.equal(driver.exist("k"), 0);
});

Deno.test("a client whose session has ended can replace its own unfinished put", () => {
  const driver = mounted();
  driver.ok(driver.start("k", 100, { client: 2, writeId: 1 }));
  driver.pass(31_000, [1]);
  driver.ok(driver.start("k", 100, { client: 2, writeId: 2 }));
  assertCode(driver.end("k", 2, ReplicaType.ALL, null, 1), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(driver.end("k", 2, ReplicaType.ALL, null, 2));
  assert.equal(driver.exist("k"), 1);
  checkCore(driver.core.state);
});
