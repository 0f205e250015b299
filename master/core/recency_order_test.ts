// Goal: a core that was rebuilt from facts evicts in the order of the core that told them, reads
// included. Method: random puts, reads, pins and removals; the order is handed over at once, or in
// slices while the calls go on; eviction orders compared.
import assert from "node:assert/strict";
import { CoreDriver } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { SoftPinAction } from "../../proto/types.ts";
import type { RecencyWalk } from "./recency_order.ts";
import { randomBelow, SeededRng } from "./rng.ts";

const LEASE_MS = 50;
const KEYS = 300;

/** A core under random calls, and which keys they have used. */
class Traffic {
  readonly driver: CoreDriver;
  readonly used = new Set<string>();
  readonly #random: SeededRng;

  constructor(seed: number) {
    this.#random = new SeededRng(seed);
    this.driver = new CoreDriver({ defaultKvLeaseTtlMs: LEASE_MS }, seed);
    this.driver.mount(1, 2 ** 30);
  }

  step(): void {
    const below = (n: number) => randomBelow(this.#random, n);
    const { driver } = this;
    driver.nowMs += below(3) === 0 ? 0 : below(20);
    const key = `key-${below(KEYS)}`;
    const choice = below(10);
    this.used.add(key);
    if (choice < 4) {
      const softPinAction = below(8) === 0 ? SoftPinAction.ENABLE : SoftPinAction.DISABLE;
      const upsert = below(4) === 0;
      if (driver.start(key, 4096, { softPinAction, upsert }) === 0) driver.ok(driver.end(key));
    } else if (choice < 9) {
      driver.exist(key);
    } else {
      driver.remove(key, true);
    }
    driver.ping();
    driver.core.tick(driver.nowMs);
  }

  steps(count: number): void {
    for (let i = 0; i < count; i++) this.step();
  }

  /** A core that knows what this one knows now, but not in which order it was read. */
  copy(): CoreDriver {
    const copy = new CoreDriver({ defaultKvLeaseTtlMs: LEASE_MS }, 99);
    const replay = (bytes: Uint8Array, start: number, end: number) =>
      copy.core.replay(bytes, start, end);
    this.driver.core.tellSnapshot({ append: replay });
    return copy;
  }
}

/** The next slice of a walk, `null` when it is over. */
function slice(walk: RecencyWalk, nowMs: number, length: number): Float64Array | null {
  const ids = new Float64Array(length);
  const count = walk.next(ids, nowMs);
  return count === 0 ? null : ids.subarray(0, count);
}

Deno.test("a rebuilt core evicts in the order in which the first one would have", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const traffic = new Traffic(seed);
    traffic.steps(1500);
    const { core } = traffic.driver;
    traffic.driver.nowMs += LEASE_MS + 1;
    const { nowMs } = traffic.driver;
    const copy = traffic.copy();
    const before = copy.evictionOrder();
    const walk = core.walkRecency();
    const order: Float64Array[] = [];
    for (let ids = slice(walk, nowMs, 7); ids !== null; ids = slice(walk, nowMs, 7)) {
      order.push(ids);
    }
    copy.core.orderByRecency(order);
    copy.core.finishReplay(nowMs);
    checkCore(copy.core.state);
    const expected = traffic.driver.evictionOrder();
    assert(expected.length > 100);
    assert.notDeepEqual(before, expected, "the reads made a difference");
    assert.deepEqual(copy.evictionOrder(), expected, `seed ${seed}`);
  }
});

Deno.test("calls during the walk change only the places of the keys they use, to later ones", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const traffic = new Traffic(seed);
    traffic.steps(1500);
    const { core } = traffic.driver;
    traffic.driver.nowMs += LEASE_MS + 1;
    const expected = traffic.driver.evictionOrder();
    const copy = traffic.copy();
    traffic.used.clear();
    const walk = core.walkRecency();
    const order: Float64Array[] = [];
    for (;;) {
      const ids = slice(walk, traffic.driver.nowMs, 5);
      if (ids === null) break;
      order.push(ids);
      traffic.step();
    }
    copy.core.orderByRecency(order);
    checkCore(copy.core.state);
    const found = copy.evictionOrder();
    const pinned = (key: string) => copy.peek(key)!.softPinUntilMs > 0;
    for (const half of [true, false]) {
      const wanted = expected.filter((key) => pinned(key) === half);
      const got = found.filter((key) => pinned(key) === half);
      const place = new Map(got.map((key, i) => [key, i]));
      const unused = wanted.filter((key) => !traffic.used.has(key));
      assert(half || unused.length > 20);
      assert.deepEqual(got.filter((key) => !traffic.used.has(key)), unused, `seed ${seed}`);
      for (const key of wanted.filter((key) => traffic.used.has(key))) {
        const older = wanted.slice(0, wanted.indexOf(key)).filter((k) => !traffic.used.has(k));
        for (const other of older) assert(place.get(other)! < place.get(key)!, `seed ${seed}`);
      }
    }
  }
});

Deno.test("what a walk names may be gone, and what it does not name counts as used last", () => {
  const driver = new CoreDriver();
  driver.mount(1, 2 ** 30);
  const ids = ["a", "b", "c"].map((key) => driver.put(key, 4096)[0].id);
  const copy = new CoreDriver();
  driver.core.tellSnapshot({
    append: (bytes, start, end) => copy.core.replay(bytes, start, end),
  });
  copy.core.orderByRecency([new Float64Array([ids[2], 12_345, ids[1], 2 ** 40, ids[2]])]);
  assert.deepEqual(copy.evictionOrder(), ["b", "c", "a"]);
  checkCore(copy.core.state);
});
