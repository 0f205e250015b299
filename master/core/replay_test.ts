// Goal: a core rebuilt from the facts of another holds the same durable state, at any moment, and
// nothing inside either of them breaks.
// Method: random calls of every kind, clients that come, fall silent and return, little space; after
// some of them the facts so far go to a second core and the digests are compared.
import assert from "node:assert/strict";
import { Chaos } from "../../tests/support/core_chaos.ts";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import type { FactSink } from "./api.ts";
import type { MasterCore } from "./core.ts";
import { durableState } from "./digest.ts";

const EPOCH_SHIFT_MS = 12_345;

/** Keeps the facts that have not been handed on yet. */
class FactBuffer implements FactSink {
  readonly #facts: Uint8Array[] = [];

  append(bytes: Uint8Array, start: number, end: number): void {
    this.#facts.push(bytes.slice(start, end));
  }

  /** The facts since the last time, one by one. */
  each(): Uint8Array[] {
    return this.#facts.splice(0);
  }

  /** The facts since the last time, one after the other. */
  take(): Uint8Array {
    const facts = this.each();
    const all = new Uint8Array(facts.reduce((sum, fact) => sum + fact.length, 0));
    let at = 0;
    for (const fact of facts) {
      all.set(fact, at);
      at += fact.length;
    }
    return all;
  }
}

function run(seed: number, operations: number): void {
  const chaos = new Chaos(seed);
  const { core } = chaos.driver;
  const facts = new FactBuffer();
  core.attachFacts(facts);
  const { config } = core.state;
  const epochOffsetMs = config.epochOffsetMs + EPOCH_SHIFT_MS;
  const follower = new CoreDriver({ ...config, epochOffsetMs }, seed + 1).core;
  let restored: MasterCore | null = null;
  for (let i = 0; i < operations; i++) {
    chaos.step();
    if (i % 300 !== 0 && i !== operations - 1) continue;
    checkCore(core.state);
    const told = facts.take();
    follower.replay(told);
    checkCore(follower.state);
    restored?.replay(told);
    compareRestored(follower, restored, seed);
    if (chaos.chance(3)) {
      restored = restoredFrom(follower, epochOffsetMs, seed);
      compareRestored(follower, restored, seed);
    }
    if (follower.digest() === core.digest()) continue;
    const expected = Array.from(durableState(core.state)).sort();
    assert.deepEqual(Array.from(durableState(follower.state)).sort(), expected, `seed ${seed}`);
    assert.fail(`seed ${seed}: the digests differ, the states do not`);
  }
  follower.finishReplay(chaos.driver.nowMs - EPOCH_SHIFT_MS);
  assert.equal(follower.digest(), core.digest());
  checkCore(follower.state);
}

/** A core built from the snapshot of another. */
function restoredFrom(core: MasterCore, epochOffsetMs: number, seed: number): MasterCore {
  const snapshot = new FactBuffer();
  core.tellSnapshot(snapshot);
  const restored = new CoreDriver({ ...core.state.config, epochOffsetMs }, seed + 2).core;
  restored.replay(snapshot.take());
  return restored;
}

/** A snapshot leaves out what only waits to be swept up; apart from that the cores are equal. */
function compareRestored(core: MasterCore, restored: MasterCore | null, seed: number): void {
  if (restored === null) return;
  if (core.segments.dead.length > 0 || core.state.disks.dead.length > 0) return;
  const expected = Array.from(durableState(core.state)).sort();
  assert.deepEqual(Array.from(durableState(restored.state)).sort(), expected, `seed ${seed}`);
  restored.state.clients.forgetUnused();
  checkCore(restored.state);
}

const given = Deno.env.get("SEED");
const seeds = given === undefined ? Array.from({ length: 30 }, (_, i) => i + 1) : [Number(given)];

Deno.test("a core rebuilt from facts equals the one that told them", () => {
  for (const seed of seeds) run(seed, 6_000);
});

Deno.test("applying a fact twice is the same as once", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("a", 1000, { group: "g" });
  driver.ok(driver.start("b", 1000));
  driver.ok(driver.start("a", 2000, { upsert: true }));
  driver.ok(driver.end("a"));
  driver.ok(driver.revoke("b"));
  driver.ok(driver.remove("a", true));
  const follower = new CoreDriver().core;
  for (const fact of facts.each()) {
    follower.replay(fact);
    follower.replay(fact);
  }
  assert.equal(follower.digest(), driver.core.digest());
});

Deno.test("a core that takes over never hands out what a writer of the old one may fill", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.ok(driver.start("k", MIB / 2));
  const [writing] = driver.sink.replicas;
  const next = new CoreDriver();
  next.core.replay(facts.take());
  next.core.finishReplay(next.nowMs);
  next.mount(1, MIB);
  next.ok(next.start("other", MIB / 2));
  assert.notEqual(next.sink.replicas[0].offset, writing.offset);
  assert(next.sink.replicas[0].id > writing.id);
  assert.equal(next.start("third", MIB / 2), ErrorCode.NO_AVAILABLE_HANDLE);
});

Deno.test("a time that is the beginning of the next core's clock is a time", () => {
  const facts = new FactBuffer();
  const driver = new CoreDriver();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("k", MIB);
  driver.ok(driver.get("k"));
  driver.ok(driver.remove("k", true));
  const { config } = driver.core.state;
  const untilMs = driver.nowMs + config.defaultKvLeaseTtlMs;
  const next = new CoreDriver({ ...config, epochOffsetMs: config.epochOffsetMs + untilMs }).core;
  next.replay(facts.take());
  assert.equal(next.digest(), driver.core.digest());
});

Deno.test("what a core has recovered is not evicted for one lease", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("k", MIB);
  const next = new CoreDriver();
  next.core.replay(facts.take());
  next.core.finishReplay(next.nowMs);
  next.mount(1, MIB);
  assert.equal(next.start("other", MIB), ErrorCode.NO_AVAILABLE_HANDLE);
  next.nowMs += 10_001;
  next.ok(next.start("other", MIB));
});

Deno.test("facts that are cut off are refused", () => {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("k", 1000);
  const told = facts.take();
  const follower = new CoreDriver().core;
  assert.throws(() => follower.replay(told.subarray(0, told.length - 1)), /Malformed fact/);
});

Deno.test("a checksum is part of the fact that ends a write, and is read from a fact of its own", () => {
  const { core, facts } = ended(0xfedc_ba98_7654_3210n);
  assert.equal(facts.length, ended(null).facts.length);
  const follower = new CoreDriver(core.state.config).core;
  for (const fact of facts) follower.replay(fact);
  assert.equal(follower.digest(), core.digest());

  // As format 2 of the journal has it: the end, then kind 21 with tenant, key, flag and halves.
  const earlier = new CoreDriver(core.state.config).core;
  for (const fact of ended(null).facts) earlier.replay(fact);
  const key = new TextEncoder().encode("k");
  const fact = new Uint8Array(1 + 2 + 4 + 1 + 1 + 8);
  const view = new DataView(fact.buffer);
  fact[0] = 21;
  view.setUint32(3, key.length, true);
  fact.set(key, 7);
  fact[8] = 1;
  view.setBigUint64(9, 0xfedc_ba98_7654_3210n, true);
  earlier.replay(fact);
  assert.equal(earlier.digest(), core.digest());
});

/** A core with one put, and the facts that it told. */
function ended(checksum: bigint | null): { core: MasterCore; facts: Uint8Array[] } {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.ok(driver.start("k", 100));
  driver.ok(driver.end("k", 1, undefined, checksum));
  return { core: driver.core, facts: facts.each() };
}
