import assert from "node:assert/strict";
import { defaultCoreConfig } from "../core/config.ts";
import { ordinaryPages } from "../core/pages.ts";
import { WarmUp } from "./warm_up.ts";

Deno.test("a warm-up makes calls that succeed, in short steps, and leaves nothing behind", () => {
  let nowMs = 0;
  const warmUp = new WarmUp(defaultCoreConfig(), ordinaryPages, () => nowMs += 0.01);
  let steps = 0;
  for (let before = nowMs; warmUp.step(); before = nowMs, steps++) {
    assert(nowMs - before < 10, `a step of ${nowMs - before} ms`);
  }
  assert(steps > 20);
  assert.equal(warmUp.keyCount, 8);
  assert.equal(warmUp.step(), false);
});
