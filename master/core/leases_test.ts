import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { SoftPinAction } from "../../proto/types.ts";
import { assertCode, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { Counter } from "./counters.ts";

function mounted(): CoreDriver {
  const driver = new CoreDriver();
  driver.mount(1, 64 * MIB);
  return driver;
}

Deno.test("reading and asking for existence give a lease of the whole length, ending a put none", () => {
  const driver = mounted();
  driver.put("a", 100);
  driver.ok(driver.remove("a"));
  driver.put("b", 100);
  driver.get("b");
  driver.nowMs += 9_999;
  assertCode(driver.remove("b"), ErrorCode.OBJECT_HAS_LEASE);
  driver.exist("b");
  driver.nowMs += 9_999;
  assertCode(driver.remove("b"), ErrorCode.OBJECT_HAS_LEASE);
  driver.nowMs += 1;
  driver.ok(driver.remove("b"));
});

Deno.test("a lease on one member of a group is a lease on all", () => {
  const driver = mounted();
  for (const key of ["a", "b", "c"]) driver.put(key, 100, { group: "g" });
  driver.put("other", 100, { group: "h" });
  driver.get("a");
  assertCode(driver.remove("b"), ErrorCode.OBJECT_HAS_LEASE);
  assertCode(driver.remove("c"), ErrorCode.OBJECT_HAS_LEASE);
  driver.ok(driver.remove("other"));
  driver.nowMs += 10_000;
  driver.ok(driver.remove("b"));
});

Deno.test("the key that is read always gets its whole lease, whenever its group got one last", () => {
  const driver = mounted();
  driver.put("a", 100, { group: "g" });
  driver.put("b", 100, { group: "g" });
  driver.get("a");
  driver.nowMs += 4_000;
  driver.get("b");
  driver.nowMs += 9_000;
  assertCode(driver.remove("b"), ErrorCode.OBJECT_HAS_LEASE);
  driver.ok(driver.remove("a"));
});

Deno.test("an empty group id is no group", () => {
  const driver = mounted();
  driver.put("a", 100, { group: "" });
  driver.put("b", 100, { group: "" });
  driver.get("a");
  driver.ok(driver.remove("b"));
  assert.equal(driver.core.state.groups.count, 0);
});

Deno.test("groups come and go with their members", () => {
  const driver = mounted();
  driver.put("a", 100, { group: "g" });
  driver.put("b", 100, { group: "g" });
  assert.equal(driver.core.state.groups.count, 1);
  driver.remove("a", true);
  driver.remove("b", true);
  assert.equal(driver.core.state.groups.count, 0);
  checkCore(driver.core.state);
});

Deno.test("a soft pin takes its time from the end of the put and ends by itself", () => {
  const driver = mounted();
  driver.ok(driver.start("k", 100, { softPinAction: SoftPinAction.ENABLE, softPinTtlMs: 1000 }));
  driver.pass(500);
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 0);
  driver.ok(driver.end("k"));
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 1);
  driver.pass(900);
  driver.get("k");
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 1);
  driver.pass(100);
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 0, "reading does not prolong it");
  checkCore(driver.core.state);
});

Deno.test("without a time of its own a soft pin has the default one", () => {
  const driver = mounted();
  driver.put("k", 100, { softPinAction: SoftPinAction.ENABLE });
  const epochMs = driver.nowMs + driver.core.state.config.epochOffsetMs;
  assert.equal(driver.peek("k")!.softPinUntilMs, epochMs + 1_800_000);
});

Deno.test("a soft pin that ended counts as a use until then", () => {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1 });
  driver.mount(1, 3 * MIB);
  driver.put("pinned", MIB, { softPinAction: SoftPinAction.ENABLE, softPinTtlMs: 1000 });
  driver.pass(500);
  driver.put("older", MIB);
  driver.pass(1000);
  driver.put("newer", MIB);
  assert.deepEqual(driver.evictionOrder(), ["older", "pinned", "newer"]);
});

Deno.test("pins that are set again and again do not pile up", () => {
  const driver = mounted();
  const pin = { softPinAction: SoftPinAction.ENABLE, upsert: true };
  for (let i = 0; i < 100; i++) {
    driver.nowMs++;
    driver.put("k", 100, { ...pin, softPinTtlMs: 1000 + 10 * i });
    driver.put("gone", 100, { ...pin, softPinTtlMs: 5000 });
    driver.ok(driver.remove("gone"));
  }
  assert(driver.core.state.softPins.size <= 4);
  driver.pass(1980);
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 1);
  driver.pass(10);
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 0);
  driver.put("k", 100, { ...pin, softPinTtlMs: 5000 });
  driver.put("k", 100, { ...pin, softPinTtlMs: 200 });
  driver.pass(200);
  assert.equal(driver.core.counters.get(Counter.SOFT_PINNED), 0, "an earlier end counts");
});
