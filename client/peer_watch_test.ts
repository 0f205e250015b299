import assert from "node:assert/strict";
import { PeerWatch } from "./peer_watch.ts";

const all = () => true;
const none = () => false;

Deno.test("who works is told now and then, and only when it was used", () => {
  const watch = new PeerWatch();
  watch.worked("a:1");
  assert.deepEqual(watch.report(0, none), [{ endpoint: "a:1", suspected: false }]);
  watch.worked("a:1");
  assert.deepEqual(watch.report(1000, none), []);
  assert.deepEqual(watch.report(4000, none), [{ endpoint: "a:1", suspected: false }]);
  assert.deepEqual(watch.report(9000, none), []);
});

Deno.test("a suspicion is urgent, is repeated, and is taken back when the peer works", () => {
  const watch = new PeerWatch();
  let urgent = 0;
  watch.onSuspicion = () => urgent++;
  watch.worked("a:1");
  watch.report(0, none);
  watch.failed("a:1", false);
  assert.equal(urgent, 1);
  for (const nowMs of [10, 1010, 2010]) {
    assert.deepEqual(watch.report(nowMs, all), [{ endpoint: "a:1", suspected: true }]);
  }
  assert.deepEqual(watch.report(3010, none), [], "its cool-down is over, and nobody has tried");
  watch.worked("a:1");
  assert.deepEqual(watch.report(3020, none), [{ endpoint: "a:1", suspected: false }]);
});

Deno.test("a peer that refuses is there", () => {
  const watch = new PeerWatch();
  watch.onSuspicion = () => assert.fail("a refusal is an answer");
  watch.failed("a:1", true);
  assert.deepEqual(watch.report(0, all), [{ endpoint: "a:1", suspected: false }]);
});
