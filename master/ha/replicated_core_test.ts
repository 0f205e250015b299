// Goal: a reply leaves when the log holds everything before it and the lease is good, never sooner.
// Method: a core, a dispatcher and replies as in a master; the test is the log and the clock.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { Replies } from "../rpc/replies.ts";
import { GROUP_HEADER_BYTES, isGroup } from "../journal/group_format.ts";
import type { LogGroup } from "./fact_log.ts";
import { ReplicatedCore } from "./replicated_core.ts";

class Driver {
  readonly core = new CoreDriver();
  readonly replies = new Replies();
  readonly sent: LogGroup[] = [];
  readonly refusals: (string | null)[] = [];
  nowMs = 0;
  readonly leading = new ReplicatedCore({
    core: this.core.core,
    replies: this.replies,
    clock: () => this.nowMs,
    // As in a master, where they go to another thread.
    send: ({ sequence, bytes }) =>
      this.sent.push({
        sequence,
        bytes: new Uint8Array(structuredClone(bytes.buffer, { transfer: [bytes.buffer] })),
      }),
    refuseChanges: (why) =>
      this.replies.replaceChanges(10, (writer) => writer.raw(new TextEncoder().encode(why))),
    onRefusal: (why) => this.refusals.push(why),
  });

  constructor() {
    this.leading.begin(10, 100);
  }

  /** A batch of one request; `change` puts an object. */
  batch(connection: number, change: string | null): void {
    const told = this.leading.told;
    this.replies.begin(connection, 1);
    if (change !== null) this.core.put(change, 1000);
    this.replies.end();
    if (this.leading.told !== told) this.replies.markChange();
    else if (change === null) this.replies.markRead();
  }

  /** Connections whose replies would leave now; negative = with an error. */
  leave(): number[] {
    this.leading.settle();
    const view = new DataView(this.replies.bytes.slice().buffer);
    const left: number[] = [];
    for (let at = 0; at < view.byteLength; at += 8 + view.getUint32(at + 4, true)) {
      const failed = view.getUint32(at + 8, true) >>> 16 !== 0;
      left.push((failed ? -1 : 1) * view.getUint32(at, true));
    }
    this.replies.clear();
    return left;
  }
}

function driver(): Driver {
  const t = new Driver();
  t.core.mount(1, 16 * MIB);
  t.leave();
  t.leading.acknowledge(11);
  return t;
}

Deno.test("reads leave at once while nothing is on its way, and behind changes otherwise", () => {
  const t = driver();
  t.batch(1, null);
  assert.deepEqual(t.leave(), [1]);
  t.batch(2, "a");
  assert.deepEqual(t.leave(), []);
  t.batch(3, null);
  assert.deepEqual(t.leave(), []);
  assert.deepEqual(t.sent.map(({ sequence }) => sequence), [11, 12]);
  assert(isGroup(t.sent[1].bytes, 12) && t.sent[1].bytes.length > GROUP_HEADER_BYTES);
  t.leading.acknowledge(12);
  assert.deepEqual(t.leave(), [2, 3]);
});

Deno.test("what is told while the window is full goes as one group", () => {
  const t = driver();
  for (let i = 1; i <= 10; i++) {
    t.batch(i, `k${i}`);
    assert.deepEqual(t.leave(), []);
  }
  assert.deepEqual(t.sent.map(({ sequence }) => sequence), [11, 12, 13, 14, 15]);
  t.leading.acknowledge(13);
  assert.deepEqual(t.leave(), [1, 2]);
  assert.equal(t.sent.at(-1)?.sequence, 16);
  t.leading.acknowledge(15);
  assert.deepEqual(t.leave(), [3, 4]);
  t.leading.acknowledge(16);
  assert.deepEqual(t.leave(), [5, 6, 7, 8, 9, 10]);
});

Deno.test("nothing leaves when the lease may have ended, and everything once it is renewed", () => {
  const t = driver();
  t.nowMs = 100;
  t.batch(1, null);
  t.batch(2, "a");
  assert.deepEqual(t.leave(), []);
  t.leading.extend(200);
  assert.deepEqual(t.leave(), []);
  t.leading.acknowledge(12);
  assert.deepEqual(t.leave(), [1, 2]);
});

Deno.test("after the end of the epoch nothing is answered and nothing sent", () => {
  const t = driver();
  t.batch(1, "a");
  t.leave();
  t.leading.end();
  t.leading.acknowledge(12);
  t.batch(2, null);
  assert.deepEqual(t.leave(), []);
  assert.equal(t.sent.length, 2);
});

Deno.test("a log that refuses makes changes fail and lets reads of what it holds through", () => {
  const t = driver();
  t.core.put("kept", 1000);
  t.leave();
  t.leading.acknowledge(12);
  t.batch(1, "a");
  t.batch(2, null);
  assert.deepEqual(t.leave(), []);
  t.leading.refuse("etcd is full");
  assert.deepEqual(t.leave(), [-1, -2], "who was answered behind a change may have seen it");
  assert.equal(t.core.start("b", 10), ErrorCode.PERSISTENT_FAIL);
  assert.deepEqual([t.core.exist("kept"), t.core.exist("a")], [1, 0]);
  assert.equal(t.core.get("a"), ErrorCode.REPLICA_IS_NOT_READY);
  t.batch(3, null);
  assert.deepEqual(t.leave(), [3]);
  t.leading.acknowledge(13);
  t.leading.refuse(null);
  assert.equal(t.core.exist("a"), 1);
  t.batch(4, "c");
  assert.deepEqual(t.leave(), []);
  t.leading.acknowledge(14);
  assert.deepEqual(t.leave(), [4]);
  assert.deepEqual(t.refusals, ["etcd is full", null]);
});

Deno.test("who waits for the log is told what became of it", async () => {
  const t = driver();
  t.core.put("a", 1000);
  const kept = t.leading.kept();
  assert.equal(t.leading.needsTurns, true);
  t.leave();
  t.leading.acknowledge(12);
  assert.equal(await kept, true);
  t.core.put("b", 1000);
  const lost = t.leading.kept();
  t.leading.end();
  assert.equal(await lost, false);
  assert.equal(t.leading.needsTurns, false);
  t.leading.acknowledge(13);
  t.core.put("c", 1000);
  assert.equal(await t.leading.kept(), false, "nobody was told of that change");
});
