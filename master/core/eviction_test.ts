import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { SoftPinAction } from "../../proto/types.ts";
import { assertCode, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { Counter } from "./counters.ts";
import { randomBelow, SeededRng } from "./rng.ts";

const BLOCK = 64 * 1024;
const LEASE_MS = 50;

interface Entry {
  usedMs: number;
  leaseUntilMs: number;
  hardPin: boolean;
  softPin: boolean;
}

/** A pool of equal blocks with exact least-recently-used eviction, as plainly as possible. */
class LruModel {
  readonly entries = new Map<string, Entry>();
  /** When the blocks of removed objects with a lease can be used again. */
  held: number[] = [];

  constructor(readonly blocks: number) {}

  put(key: string, nowMs: number, pins: Pick<Entry, "hardPin" | "softPin">): number {
    if (this.entries.has(key)) return ErrorCode.OBJECT_ALREADY_EXISTS;
    if (this.entries.size + this.held.length >= this.blocks) {
      const victim = this.#victim(nowMs, false) ?? this.#victim(nowMs, true);
      if (victim === undefined) return ErrorCode.NO_AVAILABLE_HANDLE;
      this.entries.delete(victim);
    }
    this.entries.set(key, { ...pins, usedMs: nowMs, leaseUntilMs: nowMs });
    return ErrorCode.OK;
  }

  read(key: string, nowMs: number): boolean {
    const entry = this.entries.get(key);
    if (entry === undefined) return false;
    entry.usedMs = nowMs;
    entry.leaseUntilMs = nowMs + LEASE_MS;
    return true;
  }

  remove(key: string, nowMs: number): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    if (entry.leaseUntilMs > nowMs) this.held.push(entry.leaseUntilMs);
  }

  tick(nowMs: number): void {
    this.held = this.held.filter((untilMs) => untilMs > nowMs);
  }

  #victim(nowMs: number, softPin: boolean): string | undefined {
    const candidates = Array.from(this.entries).filter(([_, entry]) =>
      !entry.hardPin && entry.softPin === softPin && entry.leaseUntilMs <= nowMs
    );
    candidates.sort(([_, a], [__, b]) => a.usedMs - b.usedMs);
    return candidates[0]?.[0];
  }
}

Deno.test("the victims are those of an exact LRU, with leases and pins", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = new SeededRng(seed);
    const below = (n: number) => randomBelow(random, n);
    const blocks = 10 + below(30);
    const driver = new CoreDriver({
      defaultKvLeaseTtlMs: LEASE_MS,
      evictionHighWatermarkRatio: 1,
      evictionRatio: 0,
    }, seed);
    driver.mount(1, blocks * BLOCK);
    const model = new LruModel(blocks);
    for (let step = 0; step < 6000; step++) {
      driver.nowMs += 1 + (below(60) === 0 ? below(100) : 0);
      const { nowMs } = driver;
      const key = `key-${below(blocks * 2)}`;
      const choice = below(20);
      if (choice < 9) {
        const pins = { hardPin: below(60) === 0, softPin: below(12) === 0 };
        const code = driver.start(key, BLOCK, {
          withHardPin: pins.hardPin,
          softPinAction: pins.softPin ? SoftPinAction.ENABLE : SoftPinAction.DISABLE,
        });
        assertCode(code, model.put(key, nowMs, pins));
        if (code === ErrorCode.OK) driver.ok(driver.end(key));
      } else if (choice < 16) {
        assert.equal(driver.exist(key) === 1, model.read(key, nowMs), `seed ${seed}`);
      } else if (choice < 18) {
        driver.remove(key, true);
        model.remove(key, nowMs);
      } else {
        driver.ping();
        driver.settle();
        model.tick(nowMs);
      }
      if (step % 200 === 0) {
        checkCore(driver.core.state);
        assert.deepEqual(driver.keys(), Array.from(model.entries.keys()).sort(), `seed ${seed}`);
      }
    }
    const order = driver.evictionOrder();
    const expected = Array.from(model.entries).filter(([_, { hardPin }]) => !hardPin);
    expected.sort(([_, a], [__, b]) =>
      Number(a.softPin) - Number(b.softPin) || a.usedMs - b.usedMs
    );
    assert.deepEqual(order, expected.map(([key]) => key), `seed ${seed}`);
  }
});

Deno.test("a put succeeds at once while anything can be evicted", () => {
  const driver = new CoreDriver();
  driver.mount(1, 10 * MIB);
  for (let i = 0; i < 1000; i++) {
    driver.nowMs += 1;
    driver.ok(driver.start(`k${i}`, MIB));
    driver.ok(driver.end(`k${i}`));
  }
  assert.equal(driver.exist("k999"), 1);
  assert.equal(driver.core.counters.get(Counter.ALLOCATION_FAILURES), 0);
});

Deno.test("room for a large object is made from many small ones", () => {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1 });
  driver.mount(1, 16 * MIB);
  for (let i = 0; i < 256; i++) driver.put(`small-${i}`, BLOCK);
  driver.put("large", 8 * MIB);
  assert.equal(driver.keys().length, 129);
  assert.equal(driver.exist("small-127"), 0);
  assert.equal(driver.exist("small-128"), 1);
});

Deno.test("nothing is evicted for an object that no segment could hold", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  driver.mount(2, MIB / 2, { client: 1 });
  for (let i = 0; i < 8; i++) driver.put(`k${i}`, 1000);
  assertCode(driver.start("big", MIB + 1), ErrorCode.NO_AVAILABLE_HANDLE);
  driver.pass(1000);
  assert.equal(driver.keys().length, 8);
  assertCode(driver.start("whole", MIB), ErrorCode.OK);
});

Deno.test("leased, hard pinned and unfinished objects are never evicted", () => {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1 });
  driver.mount(1, 4 * BLOCK);
  driver.put("hard", BLOCK, { withHardPin: true });
  driver.ok(driver.start("unfinished", BLOCK));
  driver.put("leased", BLOCK);
  driver.put("free", BLOCK);
  driver.exist("leased");
  driver.put("a", BLOCK);
  assert.equal(driver.exist("free"), 0);
  driver.exist("a");
  assertCode(driver.start("b", BLOCK), ErrorCode.NO_AVAILABLE_HANDLE);
  assert.deepEqual(driver.keys(), ["a", "hard", "leased", "unfinished"]);
});

Deno.test("soft pinned objects go last, and only if that is allowed", () => {
  for (const allowed of [true, false]) {
    const driver = new CoreDriver({
      evictionHighWatermarkRatio: 1,
      allowEvictSoftPinnedObjects: allowed,
    });
    driver.mount(1, 2 * BLOCK);
    driver.put("pinned", BLOCK, { softPinAction: SoftPinAction.ENABLE });
    driver.nowMs++;
    driver.put("plain", BLOCK);
    driver.put("next", BLOCK);
    assert.deepEqual(driver.keys(), ["next", "pinned"]);
    driver.exist("next");
    assertCode(driver.start("x", BLOCK), allowed ? ErrorCode.OK : ErrorCode.NO_AVAILABLE_HANDLE);
  }
});

Deno.test("above the watermark ticks evict down to the watermark less the eviction ratio", () => {
  const driver = new CoreDriver();
  driver.mount(1, 1000 * BLOCK);
  for (let i = 0; i < 901; i++) {
    driver.nowMs++;
    driver.put(`k${i}`, BLOCK);
  }
  driver.settle();
  assert.equal(driver.keys().length, 850);
  assert.equal(driver.exist("k50"), 0);
  assert.equal(driver.exist("k51"), 1);
  assert.equal(driver.core.counters.get(Counter.EVICTED_KEYS), 51);
  assert.equal(driver.core.counters.get(Counter.EVICTED_BYTES), 51 * BLOCK);
  assert.equal(driver.core.counters.get(Counter.EVICTIONS_SUCCESSFUL), 1);
});

Deno.test("a tick evicts a bounded number of objects and asks to be called again", () => {
  const driver = new CoreDriver();
  driver.mount(1, 20_000 * BLOCK);
  for (let i = 0; i < 19_000; i++) driver.put(`k${i}`, BLOCK);
  assert.equal(driver.core.tick(driver.nowMs), 0);
  assert(driver.keys().length >= 19_000 - 256);
  driver.settle();
  assert.equal(driver.keys().length, 17_000);
});

Deno.test("a group is evicted together, and not while one of its members is leased", () => {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1 });
  driver.mount(1, 6 * BLOCK);
  for (const key of ["g1", "g2", "g3"]) driver.put(key, BLOCK, { group: "g" });
  driver.nowMs++;
  for (const key of ["a", "b", "c"]) driver.put(key, BLOCK);
  driver.nowMs++;
  driver.exist("g2");
  driver.put("d", BLOCK);
  assert.deepEqual(driver.keys(), ["b", "c", "d", "g1", "g2", "g3"]);
  driver.nowMs += 20_000;
  driver.exist("b");
  driver.exist("c");
  driver.exist("d");
  driver.put("e", BLOCK);
  assert.deepEqual(driver.keys(), ["b", "c", "d", "e"]);
});

Deno.test("the order of eviction is that of the last uses", () => {
  const driver = new CoreDriver();
  driver.mount(1, 100 * BLOCK);
  for (const key of ["a", "b", "c", "d"]) {
    driver.nowMs += 10;
    driver.put(key, BLOCK);
  }
  driver.nowMs += 10;
  driver.get("a");
  driver.nowMs += 10;
  driver.put("e", BLOCK);
  assert.deepEqual(driver.evictionOrder(), ["b", "c", "d", "a", "e"]);
});
