import assert from "node:assert/strict";
import { Outcome } from "./call.ts";
import { WaitingLine, type WaitingRequest } from "./waiting_line.ts";

const LIMITS = { requests: 10_000, bodyBytes: 1 << 20, totalBytes: 8 << 20 };
const served = { functionId: 1, name: "Test", handler: () => Outcome.DONE, meter: null };

function request(seq: number, untilMs: number, bodyBytes = 10): WaitingRequest {
  const body = new Uint8Array(bodyBytes);
  return {
    ...{
      connection: 1,
      seq,
      served,
      body,
      writeId: 0,
      untilMs,
      reply: new Uint8Array(0),
      width: 1,
    },
    ...{ resumeAt: 0, items: 0, failedItems: 0 },
  };
}

Deno.test("what may wait is bounded in number and in bytes", () => {
  const line = new WaitingLine({ requests: 3, bodyBytes: 100, totalBytes: 150 });
  assert.equal(line.admits(101), false);
  assert.equal(line.admits(100), true);
  line.add(request(1, 0, 100));
  assert.equal(line.admits(51), false);
  assert.equal(line.admits(50), true);
  line.add(request(2, 0, 10));
  line.add(request(3, 0, 10));
  assert.equal(line.admits(1), false);
  line.round(1, ({ seq }) => seq === 1);
  assert.equal(line.length, 2);
  assert.equal(line.admits(100), true);
});

Deno.test("a round tries everybody once, in order, as long as they are few", () => {
  const line = new WaitingLine(LIMITS);
  for (let i = 0; i < 20; i++) line.add(request(i, 100));
  for (let round = 0; round < 3; round++) {
    const tried: number[] = [];
    assert.equal(line.round(0, ({ seq }) => tried.push(seq) < 0), false);
    assert.deepEqual(tried, Array.from({ length: 20 }, (_, i) => i));
    line.add(request(1000, 100));
    line.round(0, ({ seq }) => seq === 1000);
  }
});

Deno.test("a long line is tried in parts, each of bounded cost, and nobody is left out", () => {
  const line = new WaitingLine(LIMITS);
  const count = 1000;
  for (let i = 0; i < count; i++) line.add(request(i, 100));
  const tried: number[] = [];
  let rounds = 0;
  while (tried.length < count) {
    const before = tried.length;
    line.round(0, ({ seq }) => tried.push(seq) < 0);
    assert(tried.length - before <= 150, `${tried.length - before} in one round`);
    rounds++;
  }
  assert.deepEqual(tried.slice(0, count), Array.from({ length: count }, (_, i) => i));
  assert(rounds > 5);
});

Deno.test("large requests are tried one at a time", () => {
  const line = new WaitingLine(LIMITS);
  for (let i = 0; i < 5; i++) line.add(request(i, 100, 100_000));
  const tried: number[] = [];
  for (let i = 0; i < 7; i++) line.round(0, ({ seq }) => tried.push(seq) < 0);
  assert.deepEqual(tried, [0, 1, 2, 3, 4, 0, 1]);
});

Deno.test("whose time is over is tried in every round, however long the line", () => {
  const line = new WaitingLine(LIMITS);
  for (let i = 0; i < 500; i++) line.add(request(i, i));
  line.round(-1, () => false);
  const done: number[] = [];
  line.round(299, ({ seq, untilMs }) => untilMs <= 299 && done.push(seq) > 0);
  assert.deepEqual(done, Array.from({ length: 300 }, (_, i) => i));
  assert.equal(line.length, 200);
});

Deno.test("requests that leave in the middle of a long line leave no gap", () => {
  const line = new WaitingLine(LIMITS);
  for (let i = 0; i < 400; i++) line.add(request(i, 100));
  const left: number[] = [];
  for (let round = 0; round < 50 && line.length > 0; round++) {
    const progress = line.round(0, ({ seq }) => seq % 2 === round % 2 && left.push(seq) > 0);
    if (round === 0) assert.equal(progress, true);
  }
  assert.equal(line.length, 0);
  assert.deepEqual(left.toSorted((a, b) => a - b), Array.from({ length: 400 }, (_, i) => i));
  assert.equal(line.round(0, () => assert.fail("nobody is left")), false);
});
