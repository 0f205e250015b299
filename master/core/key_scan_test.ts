import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { Random } from "../../tests/support/random.ts";
import { KeyScan } from "./key_scan.ts";

function filled(keys: number): CoreDriver {
  const driver = new CoreDriver();
  driver.mount(1, 64 * MIB);
  for (let i = 0; i < keys; i++) driver.put(`k${i}`, 100);
  return driver;
}

function scanOf(driver: CoreDriver, pattern: string | null): KeyScan {
  const bytes = pattern === null ? null : bytesOf(pattern);
  return new KeyScan(driver.core.state, 0, bytes, () => true);
}

/** Does one slice; the keys that it finds. */
function slice(driver: CoreDriver, scan: KeyScan, left: number): string[] {
  const { objects } = driver.core.state;
  const work = { left };
  const found: string[] = [];
  for (let slot = scan.next(work); slot !== 0; slot = scan.next(work)) {
    found.push(new TextDecoder().decode(objects.key(slot)));
  }
  return found;
}

Deno.test("keys that stay are found exactly once while others come and go", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Random(seed);
    const driver = filled(300);
    const pattern = random.oneIn(3) ? null : "k[0-9]*[02468]$";
    const scan = scanOf(driver, pattern);
    const stay = new Set(driver.keys());
    const found: string[] = [];
    for (let step = 0; !scan.isOver; step++) {
      found.push(...slice(driver, scan, 1 + random.below(1500)));
      const going = `k${random.below(300)}`;
      if (driver.remove(going) === ErrorCode.OK) stay.delete(going);
      driver.put(`new-${step}-0`, 100);
      if (random.oneIn(2)) driver.put(`new-${step}-2`, 100);
      assert(step < 10_000, "the scan never ends");
    }
    for (const key of stay) {
      const times = found.filter((one) => one === key).length;
      const wanted = pattern === null || /[02468]$/.test(key) ? 1 : 0;
      assert.equal(times, wanted, `seed ${seed}: ${key}`);
    }
    assert.equal(new Set(found).size, found.length, `seed ${seed}`);
  }
});

Deno.test("a key that takes more than a slice is gone on with, unless it has gone", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  const long = (tail: string) => `${"a".repeat(50_000)}${tail}`;
  for (const tail of ["-1", "-2", "-3"]) driver.put(long(tail), 10);
  const scan = scanOf(driver, "^a{3}.*-[0-9]$");
  const found: string[] = [];
  for (let step = 0; !scan.isOver; step++) {
    found.push(...slice(driver, scan, 10_000));
    if (step === 1) driver.ok(driver.remove(long("-1")));
    if (step === 1) driver.put("another", 10);
  }
  assert.deepEqual(found.map((key) => key.slice(-2)), ["-2", "-3"]);
});

Deno.test("a removal in slices takes what was there when it began", () => {
  const driver = filled(1000);
  const removal = driver.core.scans.removal(0, null, true);
  let steps = 0;
  for (let isOver = false; !isOver; steps++) {
    isOver = removal.step({ left: 100_000 }, driver.nowMs);
    const { length } = driver.keys();
    assert.equal(length, 1000 - removal.removed);
  }
  assert(steps > 5 && steps < 20, `${steps} steps`);
  assert.equal(removal.removed, 1000);
});

Deno.test("a removal is cut short when changes are refused, and keeps what it has done", () => {
  const driver = filled(1000);
  const removal = driver.core.scans.removal(0, bytesOf("^k"), true);
  assert.equal(removal.step({ left: 100_000 }, driver.nowMs), false);
  driver.core.readOnly = true;
  assert.equal(removal.step({ left: 100_000 }, driver.nowMs), true);
  assert.equal(removal.code, ErrorCode.PERSISTENT_FAIL);
  assert.equal(driver.keys().length, 1000 - removal.removed);
  assert(removal.removed > 0 && removal.removed < 1000);
});

Deno.test("a refused pattern ends a scan with the reason", () => {
  const driver = filled(10);
  const removal = driver.core.scans.removal(0, bytesOf("k("), true);
  assert.equal(removal.step({ left: 1000 }, driver.nowMs), true);
  assert.deepEqual([removal.code, removal.refusal], [ErrorCode.INVALID_PARAMS, 'lacks a ")"']);
  assert.equal(driver.keys().length, 10);
});
