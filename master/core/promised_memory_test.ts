import assert from "node:assert/strict";
import { PromisedMemory } from "./promised_memory.ts";

Deno.test("memory is promised by endpoint and address", () => {
  const promised = new PromisedMemory();
  promised.add("a:1", 100n, 200n, 5000, 0);
  promised.add("b:1", 100n, 200n, 6000, 0);
  assert.deepEqual(promised.within("a:1", 150n, 300n), [{ start: 150n, end: 200n, untilMs: 5000 }]);
  assert.deepEqual(promised.within("a:1", 200n, 300n), []);
  assert.deepEqual(promised.within("c:1", 100n, 200n), []);
});

Deno.test("promises whose time has come make room for others", () => {
  const promised = new PromisedMemory();
  for (let i = 0; i < 1_000_000; i++) {
    promised.add("a:1", BigInt(2 * i), BigInt(2 * i + 1), i + 100, i);
  }
  assert(promised.size <= 1024);
  assert.equal(promised.everywhereUntilMs, 0);
});

Deno.test("promises that do not fit hold all memory until their time has come", () => {
  const promised = new PromisedMemory();
  let i = 0;
  while (promised.everywhereUntilMs === 0) {
    assert.equal(promised.crowded, i >= 32_768);
    promised.add(`${i}:1`, 0n, 10n, 500_000 + i, 1);
    i++;
  }
  assert.equal(promised.size, 65_536);
  assert.equal(promised.everywhereUntilMs, 500_000 + 65_536);
  assert.deepEqual(promised.within("0:1", 5n, 15n), [{ start: 5n, end: 15n, untilMs: 565_536 }]);
  promised.add("late:1", 0n, 10n, 700_000, 600_000);
  assert.equal(promised.everywhereUntilMs, 0);
  assert.equal(promised.size, 1);
  assert.deepEqual(promised.within("0:1", 5n, 15n), []);
});
