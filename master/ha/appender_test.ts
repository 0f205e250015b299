import assert from "node:assert/strict";
import { FakeClock, settle } from "../../tests/support/fake_clock.ts";
import { Appender } from "./appender.ts";
import {
  EarlyGroupError,
  EngineError,
  type FactLog,
  FencedError,
  type LogGroup,
  LogRefusal,
} from "./fact_log.ts";

/** A log whose appends end when and how the test says. */
function driver() {
  const clock = new FakeClock();
  const calls: { sequence: number; end: (error?: Error) => void }[] = [];
  const log = {
    append: (_epoch: number, { sequence }: LogGroup) =>
      new Promise<void>((resolve, reject) => {
        calls.push({ sequence, end: (error) => error === undefined ? resolve() : reject(error) });
      }),
  } as unknown as FactLog;
  const told: unknown[] = [];
  const appender = new Appender({
    ...{ log, epoch: 7, timers: clock },
    onKept: ({ sequence }) => told.push(sequence),
    onRefused: (why) => told.push(why),
    onFenced: () => told.push("fenced"),
    onFault: (error) => told.push(error),
  });
  const push = (...sequences: number[]) => {
    for (const sequence of sequences) appender.push({ sequence, bytes: new Uint8Array(1) });
  };
  return { clock, calls, told, appender, push };
}

Deno.test("groups are under way together and told in their order", async () => {
  const { calls, told, push, appender } = driver();
  push(1, 2, 3);
  assert.deepEqual(calls.map(({ sequence }) => sequence), [1, 2, 3]);
  calls[2].end();
  calls[1].end();
  await settle();
  assert.deepEqual([told, appender.pending], [[], 3]);
  calls[0].end();
  await settle();
  assert.deepEqual([told, appender.pending], [[1, 2, 3], 0]);
});

Deno.test("a group that got no answer is appended again", async () => {
  const { clock, calls, told, push } = driver();
  push(1);
  calls[0].end(new EngineError("no answer"));
  await clock.advance(300);
  assert.equal(calls.length, 2);
  calls[1].end();
  await settle();
  assert.deepEqual(told, [1]);
});

Deno.test("groups that came too early follow in their order once the missing one is kept", async () => {
  const { clock, calls, told, push } = driver();
  push(1, 2, 3);
  calls[0].end(new EngineError("no answer"));
  await clock.advance(100);
  calls[2].end(new EarlyGroupError("early"));
  calls[1].end(new EarlyGroupError("early"));
  await clock.advance(200);
  assert.deepEqual(calls.slice(3).map(({ sequence }) => sequence), [1]);
  calls[3].end();
  await settle();
  assert.deepEqual(calls.slice(4).map(({ sequence }) => sequence), [2, 3]);
  calls[4].end();
  calls[5].end();
  await settle();
  assert.deepEqual([told, clock.pending], [[1, 2, 3], 0]);
});

Deno.test("a group that came too early tries again though nothing is kept meanwhile", async () => {
  const { clock, calls, told, push } = driver();
  push(2);
  calls[0].end(new EarlyGroupError("early"));
  await clock.advance(300);
  calls[1].end();
  await settle();
  assert.deepEqual(told, [2]);
});

Deno.test("a refusal is told once, and its end when everything is kept", async () => {
  const { clock, calls, told, push } = driver();
  push(1, 2);
  calls[0].end(new LogRefusal("full"));
  calls[1].end(new LogRefusal("full"));
  await clock.advance(300);
  calls[2].end();
  await settle();
  assert.deepEqual(told, ["full", 1]);
  calls[3].end();
  await settle();
  assert.deepEqual(told, ["full", 1, 2, null]);
});

Deno.test("once another epoch has begun nothing is told and nothing tried again", async () => {
  const { clock, calls, told, push } = driver();
  push(1, 2);
  calls[1].end();
  calls[0].end(new FencedError("another"));
  await clock.advance(1000);
  assert.deepEqual([told, calls.length], [["fenced"], 2]);
});

Deno.test("not more than some are under way; the others follow in order", async () => {
  const { calls, told, push } = driver();
  push(...Array.from({ length: 20 }, (_, i) => i + 1));
  assert.equal(calls.length, 8);
  for (let i = 0; i < 20; i++) {
    calls[i].end();
    await settle();
  }
  assert.deepEqual(calls.map(({ sequence }) => sequence), told);
  assert.equal(told.length, 20);
});
