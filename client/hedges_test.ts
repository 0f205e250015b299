import assert from "node:assert/strict";
import { Hedges } from "./hedges.ts";

Deno.test("the patience with a peer follows what it takes for a size", () => {
  const hedges = new Hedges(5);
  assert.equal(hedges.patienceMs("a", 65_536), 101);
  for (let i = 0; i < 50; i++) hedges.took("a", 65_536, 20 + i % 3);
  const learnt = hedges.patienceMs("a", 65_536);
  assert(learnt > 30 && learnt < 60, `${learnt}`);
  assert.equal(hedges.patienceMs("a", 64 << 20), 1124, "another size is another matter");
  assert.equal(hedges.patienceMs("b", 65_536), 101, "and so is another peer");
  for (let i = 0; i < 50; i++) hedges.took("a", 100, 0.1);
  assert.equal(hedges.patienceMs("a", 4000), 10, "never below what a busy host needs");
  for (const bytes of [0, 1, 2 ** 32, 2 ** 45]) {
    hedges.took("c", bytes, 1);
    assert(Number.isFinite(hedges.patienceMs("c", bytes)));
  }
});

Deno.test("second reads have a share of the bytes that are read", () => {
  const hedges = new Hedges(5);
  const size = 1 << 20;
  let second = 0;
  for (let i = 0; i < 10_000; i++) {
    hedges.earn(size);
    if (hedges.spend(size)) second++;
  }
  assert(second >= 500 && second <= 520, `${second}`);
  assert.equal(hedges.begun, second);
  const off = new Hedges(0);
  off.earn(1 << 30);
  assert(!off.enabled && !off.spend(1));
});
