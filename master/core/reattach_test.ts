// Goal: a core that takes over keeps everything for owners that come back in time, and shows nothing
// of it before. Method: facts of one core, replayed by the next, and its clients one by one.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ClientStatus } from "../../proto/types.ts";
import { assertCode, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { MAX_READ_HOLD_MS } from "./holds.ts";

const DISK = { enableOffload: true };

/** A driver whose facts are kept. */
class Life {
  readonly driver: CoreDriver;
  readonly #facts: Uint8Array[] = [];

  constructor(readonly config: Partial<CoreConfig> = {}) {
    this.driver = new CoreDriver(config);
    this.driver.core.attachFacts({
      append: (bytes, start, end) => this.#facts.push(bytes.slice(start, end)),
    });
  }

  /** The core that takes over from this one. */
  next(): CoreDriver {
    const next = new CoreDriver(this.config);
    for (const fact of this.#facts) next.core.replay(fact);
    next.core.finishReplay(next.nowMs);
    checkCore(next.core.state);
    return next;
  }
}

function twoOwners(config: Partial<CoreConfig> = {}): Life {
  const life = new Life(config);
  life.driver.mount(1, MIB, { client: 1 });
  life.driver.put("a", 1000);
  life.driver.mount(2, MIB, { client: 2 });
  life.driver.put("b", 1000, { client: 2, preferredSegment: "segment-2" });
  return life;
}

Deno.test("a key reads as missing until its owner has remounted, with the same extent then", () => {
  const life = new Life();
  const segment = life.driver.mount(1, MIB);
  const [before] = life.driver.put("k", 1000, { softPinTtlMs: null, group: "g" });
  const next = life.next();
  assert.equal(next.exist("k"), 0);
  assertCode(next.get("k"), ErrorCode.OBJECT_NOT_FOUND);
  assert.equal(next.ping().clientStatus, ClientStatus.NEED_REMOUNT);
  next.ok(next.core.cluster.remountSegments([segment], clientId(1)));
  assert.equal(next.ping().clientStatus, ClientStatus.OK);
  next.ok(next.get("k"));
  assert.deepEqual(next.sink.replicas, [{ ...before, status: 3 }]);
  checkCore(next.core.state);
});

Deno.test("MountSegment with the same segment brings it back, too", () => {
  const life = new Life();
  const segment = life.driver.mount(1, MIB);
  life.driver.put("k", 1000);
  const next = life.next();
  next.ok(next.core.cluster.mountSegment(segment, clientId(1)));
  assert.equal(next.exist("k"), 1);
});

Deno.test("another owner, or another description, does not get an awaited segment", () => {
  const life = new Life();
  const segment = life.driver.mount(1, MIB);
  life.driver.put("k", 1000);
  const { cluster } = life.next().core;
  assertCode(cluster.remountSegments([segment], clientId(2)), ErrorCode.INVALID_PARAMS);
  assertCode(cluster.mountSegment(segment, clientId(2)), ErrorCode.INVALID_PARAMS);
  const moved = { ...segment, base: segment.base + 4096n };
  assertCode(cluster.mountSegment(moved, clientId(1)), ErrorCode.INVALID_PARAMS);
});

Deno.test("nothing new is put into an awaited segment", () => {
  const life = twoOwners();
  const next = life.next();
  assertCode(next.start("new", 1000), ErrorCode.NO_AVAILABLE_HANDLE);
  next.mount(2, MIB, { client: 2 });
  next.ok(next.start("new", 1000, { preferredSegment: "segment-1" }));
  assert.equal(next.core.segments.view(next.sink.replicas[0].segment).segment.name, "segment-2");
});

Deno.test("owners that do not come back in time lose what they held, and only they", () => {
  const life = twoOwners({ reattachGraceMs: 5000 });
  const next = life.next();
  next.mount(2, MIB, { client: 2 });
  const lost: string[][] = [];
  next.core.onClientExpired = (names) => lost.push(names);
  next.pass(4900, [2]);
  assert.deepEqual(lost, []);
  assert.equal(next.core.segments.count, 2);
  next.pass(200, [2]);
  assert.deepEqual(lost, [["segment-1"]]);
  assert.equal(next.core.segments.count, 1);
  assert.equal(next.exist("a"), 0);
  assert.equal(next.exist("b"), 1);
  assert.equal(next.core.keyCount, 1);
  checkCore(next.core.state);
});

Deno.test("a stall of the master does not count against owners", () => {
  const life = twoOwners({ reattachGraceMs: 5000 });
  const next = life.next();
  next.nowMs += 60_000;
  next.settle();
  next.mount(1, MIB, { client: 1 });
  assert.equal(next.exist("a"), 1);
});

Deno.test("a removal holds when the owner comes back", () => {
  const life = twoOwners();
  const next = life.next();
  next.pass(MAX_READ_HOLD_MS, []);
  next.ok(next.remove("a"));
  assert.equal(next.removeAll(), 1);
  next.mount(1, MIB, { client: 1 });
  next.mount(2, MIB, { client: 2 });
  assert.equal(next.exist("a"), 0);
  assert.equal(next.exist("b"), 0);
  checkCore(next.core.state);
});

Deno.test("a put replaces an awaited object, whose memory waits for readers of the old life", () => {
  const life = new Life();
  life.driver.mount(1, MIB, { client: 1 });
  life.driver.put("k", MIB);
  const next = life.next();
  next.mount(2, MIB, { client: 2 });
  next.pass(MAX_READ_HOLD_MS, [2]);
  const [replica] = next.put("k", 1000, { client: 2 });
  next.mount(1, MIB, { client: 1 });
  next.ok(next.get("k"));
  assert.deepEqual(next.sink.replicas, [{ ...replica, status: 3 }]);
  const full = () => next.start("big", MIB, { client: 1 });
  assertCode(full(), ErrorCode.NO_AVAILABLE_HANDLE);
  next.pass(10_001, [1, 2]);
  next.ok(full());
  checkCore(next.core.state);
});

Deno.test("an upsert writes beside an awaited object, and its revoke keeps that one", () => {
  const life = new Life();
  life.driver.mount(1, MIB, { client: 1 });
  life.driver.put("k", 1000);
  const next = life.next();
  next.mount(2, MIB, { client: 2 });
  next.ok(next.start("k", 2000, { client: 2, upsert: true }));
  next.ok(next.revoke("k", 2));
  next.mount(1, MIB, { client: 1 });
  next.ok(next.get("k"));
  assert.equal(next.sink.replicas[0].size, 1000);
});

Deno.test("a put that began before the master died can end before its segment is back", () => {
  const life = new Life();
  life.driver.mount(1, MIB, { client: 1 });
  life.driver.ok(life.driver.start("k", 1000, { client: 2 }));
  const next = life.next();
  next.pass(MAX_READ_HOLD_MS, []);
  next.ok(next.end("k", 2));
  assert.equal(next.exist("k"), 0);
  next.mount(1, MIB, { client: 1 });
  assert.equal(next.exist("k"), 1);
});

Deno.test("an end that is owed is still expected after a restart", () => {
  const life = new Life();
  const { driver } = life;
  driver.mount(1, MIB);
  driver.put("k", 1000);
  driver.ok(driver.start("k", 2000, { upsert: true }));
  driver.ok(driver.start("k", 3000, { upsert: true, client: 2 }));
  driver.ok(driver.end("k", 2));
  const next = life.next();
  next.mount(1, MIB);
  assertCode(next.start("k", 4000, { upsert: true }), ErrorCode.OBJECT_REPLICA_BUSY);
  assertCode(next.end("k"), ErrorCode.ILLEGAL_CLIENT);
  next.ok(next.start("k", 4000, { upsert: true }));
  next.ok(next.get("k"));
  assert.equal(next.sink.replicas[0].size, 3000);
});

Deno.test("eviction passes over what only awaited owners hold", () => {
  const life = twoOwners({ defaultKvLeaseTtlMs: 1000 });
  const next = life.next();
  next.mount(2, MIB, { client: 2 });
  next.pass(1100, [2]);
  for (let i = 0; i < 20; i++) {
    next.put(`more-${i}`, MIB / 8, { client: 2 });
    next.pass(100, [2]);
  }
  next.mount(1, MIB, { client: 1 });
  assert.equal(next.exist("a"), 1);
  checkCore(next.core.state);
});

Deno.test("a graceful unmount goes on with its segment awaited and back", () => {
  const life = new Life();
  const segment = life.driver.mount(1, MIB);
  life.driver.put("k", 1000);
  const { cluster } = life.driver.core;
  life.driver.ok(cluster.gracefulUnmountSegment(segment.id, clientId(1), 5000, life.driver.nowMs));
  const next = life.next();
  next.ok(next.core.cluster.remountSegments([segment], clientId(1)));
  assert.equal(next.exist("k"), 1);
  assertCode(next.start("new", 1000), ErrorCode.NO_AVAILABLE_HANDLE);
  next.pass(5000);
  assert.equal(next.exist("k"), 0);
});

Deno.test("what lies on a client's disk waits for the client, too", () => {
  const life = new Life(DISK);
  const { driver } = life;
  driver.ok(driver.core.cluster.mountLocalDisk(clientId(1), true));
  const key = new TextEncoder().encode("k");
  const task = { tenantId: new TextEncoder().encode("default"), key, size: 10 };
  const stored = {
    ...{ bucketId: 0, offset: 0, keySize: 1, dataSize: 10, transportEndpoint: "h:1" },
  };
  driver.ok(driver.core.cluster.notifyOffloadSuccess(clientId(1), [task], [stored], driver.nowMs));
  assert.equal(driver.exist("k"), 1);
  const next = life.next();
  assert.equal(next.exist("k"), 0);
  next.ok(next.core.cluster.mountLocalDisk(clientId(1), true));
  assert.equal(next.exist("k"), 1);
  const late = life.next();
  late.pass(60_100, []);
  assert.equal(late.core.keyCount, 0);
  checkCore(late.core.state);
});
