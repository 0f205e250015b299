// Goal: memory that readers or writers may still use is not given to others because its segment left
// the pool and came back, whoever took it out and whether or not the master died in between.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import type { Segment } from "../../proto/types.ts";
import { assertCode, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { Counter } from "./counters.ts";

const QUARTER = MIB / 4;
const CONFIG: Partial<CoreConfig> = {
  ...{ clientTtlMs: 1000, defaultKvLeaseTtlMs: 5000, reattachGraceMs: 2000 },
  ...{ putStartDiscardTimeoutMs: 3000, putStartReleaseTimeoutMs: 20_000 },
};

/** A driver that keeps its facts, and now and then folds them into a snapshot. */
class Life {
  readonly driver = new CoreDriver(CONFIG);
  facts: Uint8Array[] = [];

  constructor() {
    this.driver.core.attachFacts(this);
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    this.facts.push(bytes.slice(start, end));
  }

  /** The core that takes over, from a snapshot or from the facts one by one. */
  next(fromSnapshot: boolean): CoreDriver {
    if (fromSnapshot) {
      this.facts = [];
      this.driver.core.tellSnapshot(this);
    }
    const next = new CoreDriver(CONFIG);
    next.nowMs = this.driver.nowMs;
    for (const fact of this.facts) next.core.replay(fact);
    next.core.finishReplay(next.nowMs);
    checkCore(next.core.state);
    return next;
  }
}

/** Bytes of a segment of 1 MiB that a put can have at once, in quarters. */
function freeQuarters(driver: CoreDriver): number {
  let free = 0;
  while (driver.start(`filler-${free}`, QUARTER, { client: 9 }) === ErrorCode.OK) free++;
  for (let i = 0; i < free; i++) driver.ok(driver.revoke(`filler-${i}`, 9));
  return free;
}

/** One quarter is leased, one being written, one held for a reader, and one free. */
function threeUses(driver: CoreDriver): Segment {
  const segment = driver.mount(1, MIB);
  driver.put("leased", QUARTER);
  driver.ok(driver.get("leased"));
  driver.put("removed", QUARTER);
  driver.ok(driver.get("removed"));
  driver.ok(driver.remove("removed", true));
  driver.ok(driver.start("unfinished", QUARTER, { client: 2 }));
  return segment;
}

function lendAgain(driver: CoreDriver, segment: Segment): void {
  driver.ok(driver.core.cluster.remountSegments([segment], clientId(1)));
  checkCore(driver.core.state);
}

Deno.test("an owner that was given up and returns brings held memory back held", () => {
  const driver = new CoreDriver(CONFIG);
  const segment = threeUses(driver);
  driver.pass(1100, []);
  assert.equal(driver.core.segments.count, 0);
  lendAgain(driver, segment);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 3 * QUARTER);
  assert.equal(freeQuarters(driver), 1);
  driver.pass(4000);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), QUARTER, "leases are over");
  driver.pass(15_000);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 0, "writers are late");
  assert.equal(freeQuarters(driver), 4);
  checkCore(driver.core.state);
});

Deno.test("memory that its owner takes back and lends anew is held, by address", () => {
  for (const graceMs of [0, 100]) {
    const driver = new CoreDriver(CONFIG);
    const segment = threeUses(driver);
    const { cluster } = driver.core;
    if (graceMs === 0) driver.ok(cluster.unmountSegment(segment.id, clientId(1), driver.nowMs));
    else driver.ok(cluster.gracefulUnmountSegment(segment.id, clientId(1), graceMs, driver.nowMs));
    driver.pass(100);
    assert.equal(driver.core.segments.count, 0);
    const half = { ...segment, id: "8-8", base: segment.base + BigInt(MIB / 2), size: MIB / 2 };
    driver.ok(cluster.mountSegment(half, clientId(1)));
    assert.equal(driver.core.counters.get(Counter.HELD_BYTES), QUARTER);
    const elsewhere = { ...segment, id: "9-9", teEndpoint: "elsewhere:1" };
    driver.ok(cluster.mountSegment(elsewhere, clientId(1)));
    assert.equal(driver.core.counters.get(Counter.HELD_BYTES), QUARTER);
    checkCore(driver.core.state);
  }
});

Deno.test("an odd address is held up to the next unit", () => {
  const driver = new CoreDriver(CONFIG);
  const segment = threeUses(driver);
  driver.ok(driver.core.cluster.unmountSegment(segment.id, clientId(1), driver.nowMs));
  const shifted = { ...segment, id: "8-8", base: segment.base + 3n * BigInt(QUARTER) - 1n };
  driver.ok(driver.core.cluster.mountSegment(shifted, clientId(1)));
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 64);
  checkCore(driver.core.state);
});

Deno.test("held memory that leaves and comes back twice keeps its time", () => {
  const driver = new CoreDriver(CONFIG);
  const segment = threeUses(driver);
  for (let i = 0; i < 3; i++) {
    driver.pass(1100, []);
    assert.equal(driver.core.segments.count, 0);
    lendAgain(driver, segment);
    assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 3 * QUARTER);
  }
  driver.pass(1800);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), QUARTER);
});

Deno.test("a segment that nobody uses comes back free", () => {
  const driver = new CoreDriver(CONFIG);
  const segment = driver.mount(1, MIB);
  driver.put("read", QUARTER);
  driver.ok(driver.get("read"));
  driver.pass(5100);
  driver.pass(1100, []);
  lendAgain(driver, segment);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 0);
  assert.equal(driver.core.state.promised.size, 0);
});

Deno.test("a master that dies still holds what it has promised", () => {
  for (const fromSnapshot of [false, true]) {
    for (const backBefore of [false, true]) {
      const life = new Life();
      const segment = threeUses(life.driver);
      life.driver.pass(1100, []);
      if (backBefore) lendAgain(life.driver, segment);
      const next = life.next(fromSnapshot);
      lendAgain(next, segment);
      assert.equal(next.core.counters.get(Counter.HELD_BYTES), 3 * QUARTER);
      assert.equal(freeQuarters(next), 1);
      next.pass(19_000);
      assert.equal(freeQuarters(next), 4);
    }
  }
});

Deno.test("an owner that was awaited in vain finds unfinished writes held", () => {
  const life = new Life();
  const segment = threeUses(life.driver);
  const next = life.next(false);
  next.pass(2100, []);
  assert.equal(next.core.segments.count, 0);
  lendAgain(next, segment);
  assert.equal(next.core.counters.get(Counter.HELD_BYTES), 3 * QUARTER);
});

Deno.test("the source and the target of a copy are held until its time is up", () => {
  const driver = new CoreDriver(CONFIG);
  const first = driver.mount(1, MIB);
  driver.put("k", QUARTER);
  const second = driver.mount(2, MIB, { client: 2 });
  driver.pass(100, [1, 2]);
  const { movement, cluster } = driver.core;
  const key = new TextEncoder().encode("k");
  const owner = clientId(1);
  const { nowMs } = driver;
  const copy = movement.copyStart(owner, 0, key, "segment-1", ["segment-2"], "0-0", nowMs);
  assertCode(copy.code, ErrorCode.OK);
  for (const [i, segment] of [first, second].entries()) {
    driver.ok(cluster.unmountSegment(segment.id, clientId(i + 1), driver.nowMs));
    driver.ok(cluster.mountSegment({ ...segment, id: `8-${i}` }, clientId(i + 1)));
  }
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 2 * QUARTER);
  driver.pass(20_100, [1, 2]);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 0);
});

Deno.test("a segment with very many extents counts as leased as a whole", () => {
  const driver = new CoreDriver(CONFIG);
  const segment = driver.mount(1, MIB);
  for (let i = 0; i < 5000; i++) driver.put(`k${i}`, 64);
  driver.ok(driver.start("unfinished", 64, { client: 2 }));
  driver.pass(1100, []);
  const beginsMs = driver.nowMs;
  lendAgain(driver, segment);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), MIB);
  driver.pass(5000);
  assert(driver.nowMs - beginsMs <= 5000);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 64, "the writer's extent alone");
});

Deno.test("very many leases of a segment are held as one range", () => {
  const driver = new CoreDriver(CONFIG);
  const segment = driver.mount(1, MIB);
  for (let i = 0; i < 1000; i++) driver.put(`k${i}`, 64);
  for (let i = 100; i < 700; i += 2) driver.ok(driver.get(`k${i}`));
  driver.pass(1100, []);
  lendAgain(driver, segment);
  assert.equal(driver.core.counters.get(Counter.HELD_BYTES), 64 * 599);
});

Deno.test("what its owner has taken back is not mounted again by a late request", () => {
  const driver = new CoreDriver(CONFIG);
  const { cluster } = driver.core;
  const segment = driver.mount(1, MIB);
  driver.ok(cluster.unmountSegment(segment.id, clientId(1), driver.nowMs));
  const late = () => cluster.mountSegment(segment, clientId(1));
  assertCode(late(), ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  const never = { ...segment, id: "8-8" };
  driver.ok(cluster.unmountSegment(never.id, clientId(1), driver.nowMs));
  assertCode(cluster.mountSegment(never, clientId(1)), ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  driver.pass(1100, []);
  const other = { ...segment, id: "9-9" };
  driver.ok(cluster.remountSegments([segment, other], clientId(1)));
  assert.deepEqual(driver.core.inspection.segmentDetails().map(({ id }) => id), ["9-9"]);
  driver.ok(cluster.mountSegment(never, clientId(2)));
});

Deno.test("a graceful unmount that is asked for again answers as the first time", () => {
  for (const fromSnapshot of [false, true]) {
    const life = new Life();
    const segment = life.driver.mount(1, MIB);
    life.driver.mount(2, MIB);
    const ask = ({ core, nowMs }: CoreDriver) =>
      core.cluster.gracefulUnmountSegment(segment.id, clientId(1), 500, nowMs);
    life.driver.ok(ask(life.driver));
    life.driver.pass(100);
    life.driver.ok(ask(life.driver));
    life.driver.pass(400);
    assert.equal(life.driver.core.segments.count, 1);
    life.driver.ok(ask(life.driver));
    const next = life.next(fromSnapshot);
    next.ok(ask(next));
    const late = next.core.cluster.mountSegment(segment, clientId(1));
    assertCode(late, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
    const stranger = next.core.cluster.gracefulUnmountSegment("5-5", clientId(1), 1, next.nowMs);
    assertCode(stranger, ErrorCode.INVALID_PARAMS);
  }
});

Deno.test("a segment that is being unmounted does not keep the others from being mounted again", () => {
  const driver = new CoreDriver(CONFIG);
  const { cluster } = driver.core;
  const [leaving, other] = [driver.mount(1, MIB), { ...driver.mount(2, MIB), id: "3-3" }];
  driver.ok(cluster.gracefulUnmountSegment(leaving.id, clientId(1), 60_000, driver.nowMs));
  driver.pass(1100, []);
  driver.ok(cluster.mountSegment({ ...leaving, id: "4-4" }, clientId(1)));
  driver.ok(cluster.gracefulUnmountSegment("4-4", clientId(1), 60_000, driver.nowMs));
  driver.ok(cluster.remountSegments([{ ...leaving, id: "4-4" }, leaving, other], clientId(1)));
  const ids = driver.core.inspection.segmentDetails().map(({ id }) => id);
  assert.deepEqual(ids, ["4-4", "3-3"]);
});
