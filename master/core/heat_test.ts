import assert from "node:assert/strict";
import { HeatMeter } from "./heat.ts";

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 0.02 * expected, `${actual}, not ${expected}`);
}

Deno.test("a key that is read steadily has its rate, and loses all but 1/e of it in a window", () => {
  const meter = new HeatMeter(10_000, 0);
  let nowMs = 0;
  for (let i = 0; i < 2000; i++) meter.note(77, nowMs += 50);
  near(meter.rate(77, nowMs), 20);
  near(meter.rate(77, nowMs + 10_000), 20 / Math.E);
  assert.equal(meter.rate(78, nowMs), 0);
});

Deno.test("rates outlast changes of scale, and nothing outlasts a long time without reads", () => {
  const meter = new HeatMeter(1000, 0);
  for (let nowMs = 0; nowMs <= 200_000; nowMs += 100) {
    meter.note(5, nowMs);
    meter.noteSegment(300, 1, nowMs);
  }
  near(meter.rate(5, 200_000), 10.5);
  near(meter.segmentRate(300, 200_000), 10.5);
  assert.equal(meter.segmentRate(301, 200_000), 0);
  assert.equal(meter.note(5, 1e9), 1);
  assert.equal(meter.segmentRate(300, 1e9), 0);
});
