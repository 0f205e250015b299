import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { SoftPinAction } from "../../proto/types.ts";
import {
  assertCode,
  bytesOf,
  clientId,
  CoreDriver,
  MIB,
  replicateConfig,
} from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { Counter } from "./counters.ts";
import { durableState } from "./digest.ts";
import { FactKind } from "./facts.ts";
import { MAX_READ_HOLD_MS } from "./holds.ts";
import { KeyScan } from "./key_scan.ts";

const { INVALID_WRITE, NO_AVAILABLE_HANDLE, OBJECT_ALREADY_EXISTS, OBJECT_NOT_FOUND } = ErrorCode;
/** As long as the master keeps a reservation by default. */
const KEPT_MS = 10_000;
const PERCENT = Math.floor(MIB / 100);
const OPEN: Partial<CoreConfig> = { maxReservedShare: 0.5 };

function mounted(changes: Partial<CoreConfig> = OPEN, segments = 1): CoreDriver {
  const driver = new CoreDriver(changes);
  for (let i = 1; i <= segments; i++) driver.mount(i, MIB, { client: 100 + i });
  return driver;
}

function allocated({ core }: CoreDriver): number {
  return core.counters.get(Counter.ALLOCATED_BYTES);
}

Deno.test("a reserved write becomes the object of a key", () => {
  const driver = mounted();
  driver.ok(driver.reserve(7, 1000, { dataType: 3, withHardPin: true }));
  const [{ id, offset, size }] = driver.sink.replicas;
  assert.deepEqual([driver.core.reservations.count, driver.core.keyCount, size], [1, 0, 1000]);
  driver.ok(driver.endReserved("k", 7, 1, 99n));
  assert.deepEqual([driver.core.reservations.count, driver.core.keyCount], [0, 1]);
  driver.ok(driver.get("k"));
  assert.deepEqual(driver.sink.replicas.map((one) => [one.id, one.offset]), [[id, offset]]);
  assert.equal(driver.sink.sum, 99n);
  const detail = driver.peek("k")!;
  assert.deepEqual([detail.hardPinned, detail.dataType], [true, 3]);
  assertCode(driver.endReserved("other", 7), INVALID_WRITE);
  driver.nowMs += 20_000;
  driver.ok(driver.remove("k"));
  assert.equal(allocated(driver), 0);
  checkCore(driver.core.state);
});

Deno.test("nobody sees a reservation: no key, no listing, no scan, no count, no eviction", () => {
  const driver = mounted();
  driver.put("k", 1000);
  driver.ok(driver.reserve(7, 1000));
  const { core } = driver;
  const slot = core.state.objects.reserved.oldest;
  const name = core.state.objects.key(slot);
  assertCode(
    core.getReplicaList(0, name, 0, name.length, driver.nowMs, driver.sink),
    OBJECT_NOT_FOUND,
  );
  assert.deepEqual(driver.keys(), ["k"]);
  assert.equal(driver.listByRegex("[\\s\\S]*"), 1);
  assert.deepEqual([core.keyCount, core.state.objects.countOf(0)], [1, 1]);
  assert.deepEqual(driver.evictionOrder(), ["k"]);
  assert.equal(driver.removeByRegex("", true), 1);
  assert.equal(driver.removeAll(true), 0);
  assert.equal(core.reservations.count, 1);
  const scan = new KeyScan(core.state, -1, null, () => true);
  assert.equal(scan.next({ left: Infinity }), 0);
  // A client may have a key of these bytes: it is another object.
  driver.ok(core.putStart(
    driver.writer(1, 8),
    ...[0, name, 0, name.length, 100] as const,
    replicateConfig(),
    null,
    driver.nowMs,
    driver.sink,
  ));
  driver.ok(driver.endReserved("new", 7));
  assert.deepEqual(core.keyCount, 2);
  checkCore(core.state);
});

Deno.test("a key that is taken leaves the reservation as it is", () => {
  const driver = mounted();
  driver.put("there", 100);
  driver.ok(driver.start("begun", 100, { client: 2, writeId: 1 }));
  driver.ok(driver.reserve(7, 1000));
  assertCode(driver.endReserved("there", 7), OBJECT_ALREADY_EXISTS);
  assertCode(driver.endReserved("begun", 7), OBJECT_ALREADY_EXISTS);
  assertCode(driver.endReserved("", 7), ErrorCode.INVALID_PARAMS);
  driver.ok(driver.endReserved("k", 7));
  // As a put does it: a write that was begun long ago gives way.
  driver.ok(driver.reserve(8, 1000));
  driver.nowMs += 9000;
  driver.ok(driver.reserve(9, 1000));
  driver.core.state.config.putStartDiscardTimeoutMs = 8000;
  driver.ok(driver.endReserved("begun", 9));
  assertCode(driver.end("begun", 2, undefined, null, 1), ErrorCode.ILLEGAL_CLIENT);
  driver.ok(driver.get("begun"));
  checkCore(driver.core.state);
});

Deno.test("only its client, under its number and in its tenant, can end it or give it back", () => {
  const driver = mounted();
  driver.ok(driver.reserve(7, 1000));
  assertCode(driver.endReserved("k", 7, 2), INVALID_WRITE);
  assertCode(driver.endReserved("k", 8), INVALID_WRITE);
  driver.giveBack(7, true, 2);
  driver.giveBack(8);
  driver.tenant = 1;
  assertCode(driver.endReserved("k", 7), INVALID_WRITE);
  driver.giveBack(7);
  driver.tenant = 0;
  assertCode(driver.reserve(7, 1000), NO_AVAILABLE_HANDLE);
  assertCode(driver.reserve(0, 1000), ErrorCode.INVALID_PARAMS);
  driver.ok(driver.endReserved("k", 7));
});

Deno.test("what was given back is free at once, or held where bytes may still come", () => {
  const driver = mounted();
  driver.ok(driver.reserve(7, 1000));
  driver.giveBack(7, false);
  const held = () => driver.core.counters.get(Counter.HELD_BYTES);
  assert.deepEqual([allocated(driver), held()], [0, 0]);
  driver.ok(driver.reserve(8, 1000));
  driver.giveBack(8, true);
  assert.equal(allocated(driver), 0);
  assert(held() >= 1000);
  assertCode(driver.endReserved("k", 8), INVALID_WRITE);
  driver.pass(driver.core.state.config.clientTtlMs + 100);
  assert.equal(held(), 0);
  checkCore(driver.core.state);
});

Deno.test("the master takes it back after its time, and keeps the writer's bytes out of others", () => {
  const driver = mounted();
  const { core } = driver;
  assert.equal(core.reservations.useWithinMs, KEPT_MS / 2);
  driver.ok(driver.reserve(7, 1000));
  driver.nowMs += 1000;
  driver.ok(driver.reserve(8, 1000));
  driver.pass(KEPT_MS - 1100, [1, 101]);
  assert.equal(core.reservations.count, 2);
  driver.pass(200, [1, 101]);
  assert.equal(core.reservations.count, 1);
  assertCode(driver.endReserved("k", 7), INVALID_WRITE);
  driver.ok(driver.endReserved("k", 8));
  assert.equal(core.counters.get(Counter.RESERVATIONS_EXPIRED), 1);
  assert.equal(core.counters.get(Counter.WRITES_DISCARDED), 1);
  assert(core.counters.get(Counter.HELD_BYTES) >= 1000, "until the release time-out");
  driver.core.state.config.putStartDiscardTimeoutMs = 300;
  assert.equal(core.reservations.useWithinMs, 50, "it is shorter than the time of a write");
});

Deno.test("it goes with the session of its client", () => {
  const driver = mounted();
  driver.ping(1);
  driver.ok(driver.reserve(7, 1000));
  driver.core.state.config.clientTtlMs = 2000;
  driver.pass(3000, [101]);
  assert.equal(driver.core.reservations.count, 0);
  assert.equal(driver.core.counters.get(Counter.RESERVATIONS_EXPIRED), 0);
  assertCode(driver.endReserved("k", 7), INVALID_WRITE);
  checkCore(driver.core.state);
});

Deno.test("it goes with its segment; of two replicas one is enough", () => {
  const driver = mounted(OPEN, 2);
  driver.ok(driver.reserve(7, 1000));
  const [{ segment }] = driver.sink.replicas;
  driver.ok(driver.reserve(8, 1000, { replicaNum: 2 }));
  const gone = segment + 1;
  driver.ok(driver.core.cluster.unmountSegment(`${gone}-${gone}`, clientId(100 + gone), 0));
  assertCode(driver.endReserved("lost", 7), INVALID_WRITE);
  driver.ok(driver.endReserved("k", 8));
  driver.ok(driver.get("k"));
  assert.equal(driver.sink.replicas.length, 1);
  driver.settle();
  assert.equal(driver.core.reservations.count, 0);
  checkCore(driver.core.state);
});

Deno.test("nothing is evicted or crossed for a reservation", () => {
  const driver = mounted({ maxReservedShare: 0.5, evictionHighWatermarkRatio: 0.9 });
  const refused = (size: number, options = {}) =>
    assertCode(driver.reserve(100, size, options), NO_AVAILABLE_HANDLE);
  refused(60 * PERCENT);
  driver.ok(driver.reserve(1, 30 * PERCENT));
  refused(30 * PERCENT, { client: 2 });
  driver.giveBack(1, false);
  for (let i = 0; i < 8; i++) driver.put(`k${i}`, 10 * PERCENT);
  refused(15 * PERCENT);
  driver.ok(driver.reserve(2, 5 * PERCENT));
  assert.equal(driver.core.keyCount, 8);
  assert.equal(driver.core.counters.get(Counter.EVICTED_KEYS), 0);
  refused(1000, { replicaNum: 2 });
  assert.equal(driver.core.counters.get(Counter.RESERVATIONS_REFUSED), 4);
  for (let i = 3; i < 34; i++) driver.ok(driver.reserve(i, 10));
  refused(10);
  driver.ok(driver.reserve(100, 10, { client: 2 }));
  assertCode(mounted({}).reserve(1, MIB / 16), NO_AVAILABLE_HANDLE);
  assertCode(mounted({ maxReservedShare: 0 }).reserve(1, 1), NO_AVAILABLE_HANDLE);
  assertCode(mounted({ ...OPEN, fsdir: "/shared" }).reserve(1, 1), NO_AVAILABLE_HANDLE);
  const bad = { groupIds: [bytesOf("g")] };
  assertCode(driver.reserve(101, 10, bad), ErrorCode.INVALID_PARAMS);
  checkCore(driver.core.state);
});

Deno.test("a tenant's quota, registration and models count as for a put", () => {
  const driver = mounted({ ...OPEN, enableMultiTenants: true, keyFormat: "{model}/{}" });
  const { core } = driver;
  assertCode(driver.reserve(1, 1000), ErrorCode.TENANT_NOT_REGISTERED);
  driver.ok(core.tenants.setQuota(bytesOf("a"), 3000n));
  driver.tenant = core.tenants.find(bytesOf("a"));
  driver.ok(driver.reserve(1, 1000));
  driver.ok(driver.reserve(2, 1000));
  assertCode(driver.reserve(3, 1001), NO_AVAILABLE_HANDLE);
  const use = () => core.tenants.use(bytesOf("a"))!;
  assert.deepEqual([use().charged, use().objects, use().rejected], [2000, 0, 0]);
  const rules = { models: ["llama"], opsPerSecond: null, bytesPerSecond: null };
  driver.ok(core.tenants.setRules(bytesOf("a"), rules));
  assertCode(driver.endReserved("gemma/1", 1), ErrorCode.PERMISSION_DENIED);
  driver.ok(driver.endReserved("llama/1", 1));
  assert.deepEqual([use().charged, use().objects], [2000, 1]);
  driver.ok(driver.remove("llama/1"));
  driver.ok(core.tenants.removeQuota(bytesOf("a")));
  assertCode(driver.endReserved("llama/2", 2), ErrorCode.TENANT_NOT_REGISTERED);
  driver.giveBack(2, false);
  assert.equal(core.state.quotas.charged(driver.tenant), 0);
  checkCore(core.state);
});

Deno.test("a soft pin of a reserved put begins when it ends", () => {
  const driver = mounted();
  const pin = { softPinAction: SoftPinAction.ENABLE, softPinTtlMs: 5000 };
  driver.ok(driver.reserve(7, 1000, pin));
  driver.nowMs += 3000;
  driver.ok(driver.endReserved("k", 7));
  assert.equal(
    driver.core.state.objects.softPinUntil(driver.core.state.objects.find(0, bytesOf("k"), 0, 1)),
    driver.nowMs + 5000,
  );
});

Deno.test("facts and snapshots carry reservations, their names and their age", () => {
  const driver = mounted();
  const facts: Uint8Array[] = [];
  const keep = {
    append: (bytes: Uint8Array, start: number, end: number) => {
      facts.push(bytes.slice(start, end));
    },
  };
  const follower = new CoreDriver(OPEN);
  driver.core.tellSnapshot({
    append: (bytes, start, end) => follower.core.replay(bytes, start, end),
  });
  driver.core.attachFacts(keep);
  driver.ok(driver.reserve(1, 1000));
  driver.nowMs += 4000;
  driver.ok(driver.reserve(2, 1000));
  driver.ok(driver.reserve(3, 1000));
  driver.ok(driver.endReserved("k", 2, 1, 5n));
  assert.deepEqual(facts.slice(-2).map(([kind]) => kind), [
    FactKind.WRITE_NAMED,
    FactKind.WRITE_ENDED_CHECKED,
  ]);
  for (const fact of facts) {
    follower.core.replay(fact);
    follower.core.replay(fact);
  }
  assert.deepEqual(
    Array.from(durableState(follower.core.state)).sort(),
    Array.from(durableState(driver.core.state)).sort(),
  );
  const restored = new CoreDriver(OPEN);
  let told = 0;
  const sink = {
    append: (bytes: Uint8Array, start: number, end: number) => {
      restored.core.replay(bytes, start, end);
    },
  };
  told = follower.core.tellSnapshot(sink);
  assert.deepEqual([told, restored.core.keyCount, restored.core.reservations.count], [1, 1, 2]);
  assert.equal(restored.core.digest(), driver.core.digest());
  checkCore(restored.core.state);
  restored.core.finishReplay(restored.nowMs = driver.nowMs);
  // The owner of the memory is awaited; the write goes on, as one that was started does.
  restored.pass(MAX_READ_HOLD_MS, []);
  restored.ok(restored.endReserved("k3", 3));
  restored.pass(KEPT_MS - 4000 + 200 - MAX_READ_HOLD_MS, []);
  assertCode(restored.endReserved("k1", 1), INVALID_WRITE);
  assert.equal(restored.core.reservations.count, 0);

  const named = facts.find(([kind]) => kind === FactKind.WRITE_NAMED)!;
  const odd = named.slice();
  new DataView(odd.buffer).setUint32(3, 24, true);
  assert.throws(() => follower.core.replay(odd), /Malformed fact.*gets another one/);
});

Deno.test("a core that cannot keep facts reserves and ends nothing", () => {
  const driver = mounted();
  driver.ok(driver.reserve(7, 1000));
  driver.core.readOnly = true;
  assertCode(driver.reserve(8, 1000), ErrorCode.PERSISTENT_FAIL);
  assertCode(driver.endReserved("k", 7), ErrorCode.PERSISTENT_FAIL);
  driver.core.readOnly = false;
  driver.ok(driver.endReserved("k", 7));
});
