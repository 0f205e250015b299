// Goal: what a reader was promised about an object stays true until the promise is over, whatever is
// done to the object, and nobody waits longer than that.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
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
import { MAX_READ_HOLD_MS } from "./holds.ts";

const HOLD_MS = 200;
const { OBJECT_REPLICA_BUSY, OBJECT_HAS_LEASE } = ErrorCode;

/** A driver with one segment and one object, which somebody holds. */
function held(config: Partial<CoreConfig> = {}): CoreDriver {
  const driver = new CoreDriver({ readHoldMs: HOLD_MS, ...config });
  driver.mount(1, MIB);
  driver.put("k", 1000);
  assert.equal(driver.hold("k"), HOLD_MS);
  return driver;
}

/** Tries until it may be done; for how long it had to wait. */
function waited(driver: CoreDriver, act: () => number, pinging = [1]): number {
  const startMs = driver.nowMs;
  for (let code = act(); code !== ErrorCode.OK; code = act()) {
    assertCode(code, OBJECT_REPLICA_BUSY);
    driver.pass(10, pinging);
  }
  checkCore(driver.core.state);
  return driver.nowMs - startMs;
}

Deno.test("an upsert becomes the version when the last hold is over", () => {
  const driver = held();
  driver.pass(100);
  assert.equal(driver.hold("k"), HOLD_MS);
  driver.ok(driver.start("k", 2000, { upsert: true }));
  driver.pass(100);
  assert.equal(waited(driver, () => driver.end("k")), HOLD_MS - 100);
  driver.ok(driver.get("k"));
  assert.equal(driver.sink.replicas[0].size, 2000);
});

Deno.test("an upsert that takes longer than the hold does not wait", () => {
  const driver = held();
  driver.ok(driver.start("k", 2000, { upsert: true }));
  driver.pass(HOLD_MS);
  assert.equal(waited(driver, () => driver.end("k")), 0);
});

Deno.test("a key that is replaced is held by nobody from then on", () => {
  const driver = held();
  driver.ok(driver.start("k", 2000, { upsert: true }));
  assert.equal(driver.hold("k"), 0, "while it is being replaced");
  driver.pass(HOLD_MS);
  driver.ok(driver.end("k"));
  assert.equal(driver.hold("k"), 0, "and later");
  for (let i = 0; i < 3; i++) {
    driver.ok(driver.start("k", 1000, { upsert: true }));
    assert.equal(waited(driver, () => driver.end("k")), 0);
  }
  driver.ok(driver.start("new", 1000, { upsert: true }));
  driver.ok(driver.end("new"));
  assert.equal(driver.hold("new"), HOLD_MS, "an upsert that replaces nothing is a put");
});

Deno.test("who only looks while somebody waits does not make it longer", () => {
  const driver = held();
  driver.ok(driver.start("k", 2000, { upsert: true }));
  const wait = waited(driver, () => {
    driver.exist("k");
    driver.ok(driver.get("k"));
    return driver.end("k");
  });
  assert.equal(wait, HOLD_MS);
});

Deno.test("a removal by force waits, and nobody holds the object meanwhile", () => {
  const driver = held();
  driver.pass(500);
  assertCode(driver.remove("k"), OBJECT_HAS_LEASE);
  assert.equal(driver.hold("k"), HOLD_MS, "what is refused changes nothing");
  const wait = waited(driver, () => {
    const code = driver.remove("k", true);
    if (code !== ErrorCode.OK) assert.equal(driver.hold("k"), 0);
    return code;
  });
  assert.equal(wait, HOLD_MS);
  driver.put("k", 500);
  assert.equal(driver.hold("k"), HOLD_MS, "a new object begins anew");
});

Deno.test("scans by force wait once for all that is held", () => {
  for (const pattern of [null, bytesOf("^k")]) {
    const driver = held();
    for (let i = 0; i < 20; i++) driver.put(`k${i}`, 100);
    for (let i = 0; i < 20; i += 2) driver.hold(`k${i}`);
    driver.put("other", 100);
    driver.hold("other");
    const removal = driver.core.scans.removal(0, pattern, true);
    const startMs = driver.nowMs;
    while (!removal.step({ left: Infinity }, driver.nowMs)) {
      driver.pass(10);
      if (driver.keys().includes("k18")) assert.equal(driver.hold("k18"), 0);
    }
    assert.equal(driver.nowMs - startMs, HOLD_MS);
    assert.equal(removal.removed, pattern === null ? 22 : 21);
    assert.deepEqual(driver.keys(), pattern === null ? [] : ["other"]);
    driver.put("k", 100);
    assert.equal(driver.hold("k"), HOLD_MS, "after the scan as before");
  }
});

Deno.test("a scan goes on when the object that it waits for has gone and its place is another's", () => {
  const driver = held();
  driver.put("last", 100);
  const removal = driver.core.scans.removal(0, bytesOf("k|last"), true);
  assert.equal(removal.step({ left: Infinity }, driver.nowMs), false);
  driver.pass(HOLD_MS);
  driver.ok(driver.remove("k", true));
  driver.put("stays", 100);
  assert.equal(removal.step({ left: Infinity }, driver.nowMs), true);
  assert.deepEqual(driver.keys(), ["stays"]);
});

Deno.test("a plain removal, a clearing and an eviction respect the lease, which is longer", () => {
  const driver = held({ defaultKvLeaseTtlMs: HOLD_MS });
  driver.pass(HOLD_MS - 1);
  assertCode(driver.remove("k"), OBJECT_HAS_LEASE);
  const clear = () =>
    driver.core.batchReplicaClear(0, [bytesOf("k")], clientId(1), "", driver.nowMs);
  assert.deepEqual(clear(), []);
  assertCode(driver.start("big", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  driver.pass(1);
  driver.ok(driver.start("big", MIB));
});

Deno.test("a hold is never longer than the lease, and none is given with 0", () => {
  const short = new CoreDriver({ defaultKvLeaseTtlMs: 70 });
  const off = new CoreDriver({ readHoldMs: 0 });
  for (const driver of [short, off]) {
    driver.mount(1, MIB);
    driver.put("k", 100);
  }
  assert.equal(short.hold("k"), 70);
  assert.equal(off.hold("k"), 0);
  off.ok(off.remove("k", true));
});

Deno.test("what was promised under other settings stays promised", () => {
  for (const change of [{ readHoldMs: 0 }, { readHoldMs: 10 }, { defaultKvLeaseTtlMs: 60_000 }]) {
    const driver = held();
    driver.pass(100);
    driver.core.reconfigure({ ...driver.core.state.config, ...change }, driver.nowMs);
    driver.ok(driver.start("k", 2000, { upsert: true }));
    const wait = waited(driver, () => driver.end("k"));
    assert(wait >= HOLD_MS - 100, `${JSON.stringify(change)}: ${wait} ms`);
    assert(wait <= HOLD_MS, `${JSON.stringify(change)}: ${wait} ms`);
  }
});

Deno.test("a new object under the key of one that went with its segment waits for holds on that", () => {
  const unmount = (driver: CoreDriver) =>
    driver.ok(driver.core.cluster.unmountSegment("1-1", clientId(1), driver.nowMs));
  // Swept up, or still lying about when the key is taken.
  for (const swept of [true, false]) {
    for (const upsert of [false, true]) {
      const driver = held();
      driver.mount(2, MIB, { client: 2 });
      driver.pass(100, [1, 2]);
      unmount(driver);
      if (swept) driver.settle();
      driver.ok(driver.start("k", 500, { client: 2, upsert }));
      assert.equal(waited(driver, () => driver.end("k", 2), [1, 2]), HOLD_MS - 100);
      assert.equal(driver.hold("k"), HOLD_MS);
      driver.put("another", 500, { client: 2 });
      assert.equal(driver.core.state.holds.count, 0, "what is over is forgotten");
    }
  }
});

Deno.test("the same when the owner's session ends", () => {
  const driver = held({ clientTtlMs: 1000 });
  driver.mount(2, MIB, { client: 2 });
  driver.pass(900, [2]);
  assert.equal(driver.hold("k"), HOLD_MS);
  driver.pass(200, [2]);
  assert.deepEqual(driver.keys(), []);
  driver.ok(driver.start("k", 500, { client: 2 }));
  assert.equal(waited(driver, () => driver.end("k", 2), [2]), HOLD_MS - 200);
});

Deno.test("an object that keeps another replica stays held", () => {
  const driver = new CoreDriver({ readHoldMs: HOLD_MS });
  driver.mount(1, MIB, { client: 1 });
  driver.mount(2, MIB, { client: 2 });
  driver.put("k", 1000, { replicaNum: 2 });
  driver.hold("k");
  driver.ok(driver.core.cluster.unmountSegment("1-1", clientId(1), driver.nowMs));
  driver.settle();
  driver.ok(driver.start("k", 500, { client: 2, upsert: true }));
  assert.equal(waited(driver, () => driver.end("k", 2), [1, 2]), HOLD_MS);
});

Deno.test("a revoke that leaves a copy on the shared disk as the new version waits", () => {
  const driver = held({ fsdir: "/shared" });
  driver.ok(driver.start("k", 2000, { upsert: true }));
  driver.ok(driver.end("k", 1, ReplicaType.DISK));
  const revoke = () => driver.revoke("k", 1, ReplicaType.MEMORY);
  assert.equal(waited(driver, revoke), HOLD_MS);
});

Deno.test("a revoke of a write of which nothing is complete does not wait", () => {
  const driver = held();
  driver.ok(driver.start("k", 2000, { upsert: true }));
  assert.equal(waited(driver, () => driver.revoke("k")), 0);
});

/** The facts of a life in which a key was put, and perhaps removed. */
function lived(removed: boolean): Uint8Array[] {
  const facts: Uint8Array[] = [];
  const driver = new CoreDriver();
  driver.core.attachFacts({ append: (bytes, from, to) => facts.push(bytes.slice(from, to)) });
  driver.mount(1, MIB);
  driver.put("k", 1000);
  if (removed) driver.ok(driver.remove("k"));
  return facts;
}

Deno.test("a core that takes over changes nothing while its predecessor's holds may last", () => {
  // Its own setting says nothing about the one before.
  for (const readHoldMs of [0, MAX_READ_HOLD_MS]) {
    for (const removed of [false, true]) {
      const driver = new CoreDriver({ readHoldMs });
      for (const fact of lived(removed)) driver.core.replay(fact);
      driver.core.finishReplay(driver.nowMs);
      driver.mount(1, MIB);
      driver.ok(driver.start("k", 500, { upsert: true }));
      assert.equal(waited(driver, () => driver.end("k")), MAX_READ_HOLD_MS);
      if (removed) continue;
      const again = new CoreDriver({ readHoldMs });
      for (const fact of lived(false)) again.core.replay(fact);
      again.core.finishReplay(again.nowMs);
      assert.equal(waited(again, () => again.remove("k")), MAX_READ_HOLD_MS, "one that is awaited");
    }
  }
});

Deno.test("a core before which there was nothing does not wait, one that knows nothing does", () => {
  for (const knows of [true, false]) {
    const driver = new CoreDriver();
    if (knows) driver.core.finishReplay(driver.nowMs);
    else driver.core.inheritHolds(driver.nowMs);
    driver.mount(1, MIB);
    driver.ok(driver.start("k", 500));
    assert.equal(waited(driver, () => driver.end("k")), knows ? 0 : MAX_READ_HOLD_MS);
  }
});

Deno.test("a put into reserved memory waits as any other, and keeps its memory meanwhile", () => {
  const driver = held();
  driver.mount(2, MIB, { client: 2 });
  const writer = () => driver.writer(2, 5);
  const { reservations } = driver.core;
  const config = replicateConfig({ preferredSegments: ["segment-2"] });
  driver.ok(reservations.reserve(writer(), 0, 500, config, driver.nowMs, driver.sink));
  driver.ok(driver.core.cluster.unmountSegment("1-1", clientId(1), driver.nowMs));
  const key = bytesOf("k");
  const end = () => reservations.end(writer(), 0, key, 0, key.length, null, driver.nowMs);
  assert.equal(waited(driver, end, [2]), HOLD_MS);
  driver.ok(driver.get("k"));
});
