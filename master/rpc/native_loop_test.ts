import assert from "node:assert/strict";
import type { FrameVisitor } from "../../ffi/rpc_server.ts";
import { RpcKind } from "../../ffi/rpc_symbols.ts";
import { type Answer, readAnswers } from "../../tests/support/dispatcher.ts";
import { Outcome } from "./call.ts";
import { Dispatcher } from "./dispatcher.ts";
import { NativeLoop, type RpcPoller } from "./native_loop.ts";
import { Replies } from "./replies.ts";
import { openGate } from "./reply_gate.ts";

const ECHO = 1;
const LARGE = 2;
const WAIT = 3;
const SCAN = 4;
const MIB = 1 << 20;

interface Frame {
  functionId: number;
  connection?: number;
  kind?: number;
}

/** What one poll brings: time passes, frames arrive. */
interface Poll {
  ms?: number;
  frames?: Frame[];
  woken?: boolean;
}

/** A loop whose polls are scripted; it stops at the end of the script. */
class Scripted implements RpcPoller {
  nowMs = 10_000;
  /** What happened, in order. */
  readonly events: string[] = [];
  /** What the next wakes leave to do. */
  readonly leavesSome: boolean[] = [];
  readonly answers: Answer[] = [];
  /** Sizes of what was sent between polls. */
  readonly sent: number[] = [];
  readonly sleeps: number[] = [];
  readonly faults: string[] = [];
  readonly gone = new Set<number>();
  room = false;
  /** Slices that the next scan takes, a millisecond each. */
  slices = 1;
  tick: () => number = () => 500;
  readonly loop: NativeLoop;
  #frames: Frame[] = [];
  #seq = 0;

  constructor(readonly script: Poll[], putWaitMs = 0) {
    const replies = new Replies();
    const dispatcher = new Dispatcher({
      functions: [
        { functionId: ECHO, name: "Echo", meter: null, handler: () => this.#serve("echo") },
        {
          ...{ functionId: LARGE, name: "Large", meter: null },
          handler: ({ replies: { writer } }) => {
            writer.raw(new Uint8Array(MIB));
            return Outcome.DONE;
          },
        },
        {
          ...{ functionId: WAIT, name: "Wait", meter: null },
          handler: ({ nowMs, waitUntilMs }) => {
            if (!this.room && nowMs < waitUntilMs) return Outcome.WAIT;
            return this.#serve(this.room ? "got room" : "refused");
          },
        },
        {
          ...{ functionId: SCAN, name: "Scan", meter: null },
          handler: (call) => {
            call.scan = ({ work }) => {
              this.events.push("slice");
              this.nowMs += 1;
              work.left = 0;
              return --this.slices > 0 ? Outcome.SCAN : Outcome.DONE;
            };
            return Outcome.SCAN;
          },
        },
      ],
      ...{ replies, putWaitMs },
      onFault: (name) => this.faults.push(name),
    });
    this.loop = new NativeLoop({
      ...{ server: this, dispatcher, replies, maxFrameBytes: 1000, gate: openGate },
      clock: () => this.nowMs,
      tick: () => {
        this.events.push("tick");
        return this.tick();
      },
      onFault: (what) => this.faults.push(what),
      onWake: () => {
        this.events.push("wake");
        return this.leavesSome.shift() ?? false;
      },
    });
  }

  #serve(event: string): Outcome {
    this.events.push(event);
    return Outcome.DONE;
  }

  poll(replies: Uint8Array, timeoutMs: number): boolean {
    this.#take(replies, "polled");
    this.sleeps.push(timeoutMs);
    const { ms = 0, frames = [], woken = false } = this.script.shift() ?? {};
    if (this.script.length === 0) this.loop.stop();
    this.nowMs += ms;
    this.#frames = frames;
    return woken;
  }

  send(replies: Uint8Array): void {
    this.sent.push(replies.length);
    this.#take(replies, "sent");
  }

  visit(visitor: FrameVisitor): number {
    const frames = this.#frames;
    this.#frames = [];
    const bytes = new Uint8Array(0);
    for (const { functionId, connection = 1, kind = RpcKind.REQUEST } of frames) {
      visitor(connection, kind, ++this.#seq, functionId, bytes, 0, 0, 0);
    }
    return frames.length;
  }

  isOpen(connection: number): boolean {
    return !this.gone.has(connection);
  }

  #take(replies: Uint8Array, how: string): void {
    if (replies.length === 0) return;
    const answers = readAnswers(replies);
    this.answers.push(...answers);
    this.events.push(`${how} ${answers.length}`);
  }
}

const echo: Frame = { functionId: ECHO };

Deno.test("answers leave with the next poll, the last ones when the loop ends", async () => {
  const server = new Scripted([{ frames: [echo, echo] }, {}, { frames: [echo] }]);
  await server.loop.run();
  assert.deepEqual(server.answers.map(({ seq }) => seq), [1, 2, 3]);
  assert.equal(server.events.at(-1), "polled 1");
});

Deno.test("answers leave before periodic work and before what others have asked for", async () => {
  const server = new Scripted([{ ms: 1, frames: [echo], woken: true }, { ms: 30, frames: [echo] }]);
  await server.loop.run();
  assert.deepEqual(server.events, ["echo", "sent 1", "tick", "wake", "echo", "sent 1", "tick"]);
});

Deno.test("answers of many mebibytes leave in parts, in order", async () => {
  const frames = Array.from({ length: 20 }, () => ({ functionId: LARGE }));
  const server = new Scripted([{ frames }, {}]);
  await server.loop.run();
  assert.deepEqual(server.answers.map(({ seq }) => seq), frames.map((_, i) => i + 1));
  assert(server.sent.length >= 3 && Math.max(...server.sent) < 6 * MIB, server.sent.join());
});

Deno.test("a request that is too large is answered", async () => {
  const server = new Scripted([{ frames: [{ functionId: ECHO, kind: RpcKind.TOO_LARGE }] }, {}]);
  await server.loop.run();
  assert.deepEqual(server.answers.map(({ errorCode }) => errorCode), [14]);
});

Deno.test("an idle loop sleeps until the core wants to be asked, and not for long", async () => {
  const server = new Scripted([{}, { ms: 250 }, { ms: 249.5 }, { ms: 1 }, {}]);
  await server.loop.run();
  assert.deepEqual(server.sleeps.slice(0, 5), [0, 250, 250, 1, 250]);
  assert.equal(server.events.filter((event) => event === "tick").length, 2);
});

Deno.test("after requests the core is asked soon, however long it wanted to sleep", async () => {
  const server = new Scripted([{}, { ms: 5, frames: [echo] }, { ms: 14 }, { ms: 1 }]);
  await server.loop.run();
  assert.deepEqual(server.sleeps.slice(0, 4), [0, 250, 15, 1]);
  assert.equal(server.events.filter((event) => event === "tick").length, 2);
});

Deno.test("unfinished periodic work goes on at once in an idle loop", async () => {
  const server = new Scripted(Array.from({ length: 20 }, () => ({ ms: 0.1 })));
  server.tick = () => 0;
  await server.loop.run();
  assert.equal(server.events.filter((event) => event === "tick").length, 20);
  assert(server.sleeps.every((sleep) => sleep === 0));
});

Deno.test("unfinished periodic work takes a third of a busy loop", async () => {
  const server = new Scripted(Array.from({ length: 1000 }, () => ({ ms: 0.1, frames: [echo] })));
  let workedMs = 0;
  server.tick = () => {
    workedMs += 1;
    server.nowMs += 1;
    return 0;
  };
  const startedMs = server.nowMs;
  await server.loop.run();
  const share = workedMs / (server.nowMs - startedMs);
  assert(share > 0.25 && share < 0.4, `${share}`);
});

Deno.test("periodic work that throws is reported and tried again after a pause", async () => {
  const server = new Scripted(Array.from({ length: 300 }, () => ({ ms: 10, frames: [echo] })));
  server.tick = () => {
    throw new Error("broken invariant");
  };
  await server.loop.run();
  assert.equal(server.events.filter((event) => event === "echo").length, 300);
  assert(server.faults.length >= 2 && server.faults.length <= 4, server.faults.join());
});

Deno.test("after a stall everything that has arrived is served before periodic work", async () => {
  const server = new Scripted([
    {},
    { ms: 3000 },
    { frames: [echo, echo] },
    { frames: [echo] },
    { frames: [echo] },
    {},
    {},
  ]);
  await server.loop.run();
  const events = server.events.filter((event) => event === "echo" || event === "tick");
  assert.deepEqual(events, ["tick", "echo", "echo", "echo", "echo", "tick"]);
});

Deno.test("a loop that is always behind does its periodic work all the same", async () => {
  const server = new Scripted(Array.from({ length: 200 }, () => ({ ms: 400, frames: [echo] })));
  await server.loop.run();
  assert(server.events.filter((event) => event === "tick").length >= 3);
});

Deno.test("while requests wait the loop sleeps for a millisecond at most", async () => {
  const server = new Scripted([{ frames: [{ functionId: WAIT }] }, { ms: 1 }, { ms: 1 }, {}], 50);
  await server.loop.run();
  assert.deepEqual(server.sleeps.slice(1, 4), [1, 1, 1]);
  assert.equal(server.answers.length, 0);
});

Deno.test("what waits comes before what has just arrived, and not at all when its client is gone", async () => {
  const waiting = [1, 2, 3].map((connection) => ({ functionId: WAIT, connection }));
  const server = new Scripted([{ frames: waiting }, { ms: 1, frames: [echo] }, {}], 50);
  const { poll } = server;
  let polls = 0;
  server.poll = (replies, timeoutMs) => {
    if (++polls === 2) {
      server.room = true;
      server.gone.add(2);
    }
    return poll.call(server, replies, timeoutMs);
  };
  await server.loop.run();
  const events = server.events.filter((event) => event === "echo" || event === "got room");
  assert.deepEqual(events, ["got room", "got room", "echo"]);
  assert.deepEqual(server.answers.map(({ connection }) => connection), [1, 3, 1]);
});

Deno.test("an idle loop goes on with a scan without sleeping, after what has to leave", async () => {
  const scan = { functionId: SCAN };
  const server = new Scripted([{ frames: [echo, scan] }, {}, {}, {}, {}]);
  server.slices = 3;
  await server.loop.run();
  const events = server.events.filter((event) => event !== "tick");
  assert.deepEqual(events, ["echo", "sent 1", "slice", "slice", "slice", "polled 1"]);
  assert.deepEqual(server.sleeps.slice(1, 3), [0, 0]);
  assert(server.sleeps[4] > 0, "the scan is over");
});

Deno.test("scans take a third of a busy loop", async () => {
  const frames = [echo];
  const server = new Scripted(Array.from({ length: 1000 }, () => ({ ms: 0.1, frames })));
  server.script[0] = { frames: [{ functionId: SCAN }] };
  server.slices = 1e6;
  const startedMs = server.nowMs;
  await server.loop.run();
  const share = server.events.filter((event) => event === "slice").length /
    (server.nowMs - startedMs);
  assert(share > 0.25 && share < 0.4, `${share}`);
  assert.equal(server.events.filter((event) => event === "echo").length, 999);
});

Deno.test("what a wake has left is done after the requests that have arrived", async () => {
  const server = new Scripted([{ ms: 1, woken: true }, { frames: [echo] }, {}, {}]);
  server.leavesSome.push(true, true);
  await server.loop.run();
  const events = server.events.filter((event) => event !== "tick");
  assert.deepEqual(events, ["wake", "echo", "sent 1", "wake", "wake"]);
  assert.deepEqual(server.sleeps.slice(1, 3), [0, 0]);
});
