import assert from "node:assert/strict";
import { InlineWait } from "./inline_wait.ts";

Deno.test("waits that run out double up to eight times the first, for their size alone", () => {
  const wait = new InlineWait(50);
  const seen: number[] = [];
  for (let i = 0; i < 4; i++) {
    seen.push(wait.limitUs(1 << 20));
    wait.waited(1 << 20, false);
  }
  assert.deepEqual(seen, [50, 100, 200, 400]);
  assert.equal(wait.limitUs(1 << 20), 400);
  assert.equal(wait.limitUs((1 << 21) - 1), 400);
  assert.equal(wait.limitUs(4096), 50);
});

Deno.test("a size that outlasts the longest wait is left alone, then tried again", () => {
  const wait = new InlineWait(50);
  const miss = () => {
    const us = wait.limitUs(2 ** 40);
    if (us > 0) wait.waited(2 ** 40, false);
    return us;
  };
  assert.deepEqual([miss(), miss(), miss(), miss(), miss()], [50, 100, 200, 400, 400]);
  let left = 0;
  while (miss() === 0) left++;
  assert.equal(left, 64);
  assert.equal(miss(), 100);
});

Deno.test("a wait that runs out now and then does not end waiting", () => {
  const wait = new InlineWait(50);
  for (let i = 0; i < 100; i++) {
    assert.notEqual(wait.limitUs(4096), 0);
    wait.waited(4096, i % 2 === 0);
  }
});

Deno.test("no first wait means none at all", () => {
  const wait = new InlineWait(0);
  for (let i = 0; i < 10; i++) {
    assert.equal(wait.limitUs(1), 0);
    wait.waited(1, false);
  }
});
