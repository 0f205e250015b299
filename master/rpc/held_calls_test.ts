// Goal: calls that would make stale what a reader holds wait for it, and hold nobody else up.
import assert from "node:assert/strict";
import { readHold } from "../../proto/coro_rpc/read_hold.ts";
import { appendWriteId, KNOWS_CHECKSUMS, TAKES_HOLDS } from "../../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import type { Rpc } from "../../proto/messages.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, clientId, MIB, replicateConfig } from "../../tests/support/core_driver.ts";
import { type Answer, decodeAnswer, encodeBody } from "../../tests/support/dispatcher.ts";
import { ServedCore, type ServedCoreOptions } from "../../tests/support/served_core.ts";

const tenantId = bytesOf("default");
const client = clientId(1);
const HOLD_MS = 200;
const KEYS = ["a", "b", "c"];
const ends = { clientId: client, replicaType: ReplicaType.ALL, tenantId };
const metaOf = (key: string) => ({ key: bytesOf(key), objectChecksum: null });

/** Three objects. */
function filled(options: ServedCoreOptions = {}): ServedCore {
  const both = new ServedCore({ ...options, core: { readHoldMs: HOLD_MS } });
  both.mount(1, MIB);
  startAll(both, KEYS, m.BatchPutStart);
  const codes = both.rpc.ask(m.BatchPutEnd, { ...ends, objectMetas: KEYS.map(metaOf) });
  assert(codes.every(({ code }) => code === ErrorCode.OK));
  return both;
}

function startAll({ rpc }: ServedCore, keys: string[], call: typeof m.BatchPutStart): void {
  const answers = rpc.ask(call, {
    ...{ clientId: client, keys: keys.map(bytesOf), tenantId, config: replicateConfig() },
    sliceLengths: keys.map(() => 2000),
  });
  assert(answers.every(({ code }) => code === ErrorCode.OK));
}

function send<Q, R>({ rpc }: ServedCore, call: Rpc<Q, R>, request: Q, mark = 0, connection = 1) {
  const attachment = new Writer();
  if (mark !== 0) appendWriteId(attachment, mark);
  const body = encodeBody(call.request!, request, { width: 1, literal: true });
  rpc.send(call.functionId, body, connection, attachment.bytes.slice());
}

/** What a look-up of keys is promised, key by key. */
function look(both: ServedCore, keys: string[], mark = TAKES_HOLDS): number[] {
  send(both, m.BatchGetReplicaList, { keys: keys.map(bytesOf), tenantId }, mark);
  return promised(both.rpc.takeOne(), keys.length);
}

function promised({ attachment = new Uint8Array(0) }: Answer, count: number): number[] {
  return Array.from({ length: count }, (_, i) => readHold(attachment, 0, attachment.length, i));
}

/** How long the one request that waits has to, in steps of 10 ms. */
function waits({ rpc }: ServedCore): number {
  let ms = 0;
  for (; rpc.dispatcher.waiting > 0; ms += 10) {
    assert.deepEqual(rpc.replies.length, 0);
    rpc.retry(10);
  }
  return ms;
}

Deno.test("holds are given to those who take them, and told key by key", () => {
  const both = filled();
  assert.deepEqual(look(both, KEYS, 0), [0, 0, 0]);
  assert.deepEqual(look(both, KEYS, KNOWS_CHECKSUMS), [0, 0, 0]);
  assert.deepEqual(look(both, KEYS), [HOLD_MS, HOLD_MS, HOLD_MS]);
  startAll(both, ["b"], m.BatchUpsertStart);
  assert.deepEqual(look(both, KEYS), [HOLD_MS, 0, HOLD_MS]);
  assert.deepEqual(look(both, ["b"]), [0]);
  for (const [key, ms] of [["a", HOLD_MS], ["b", 0]] as const) {
    send(both, m.GetReplicaList, { key: bytesOf(key), tenantId }, TAKES_HOLDS);
    const answer = both.rpc.takeOne();
    assert.deepEqual(promised(answer, 1), [ms]);
    assert.equal(decodeAnswer(m.GetReplicaList, answer).code, ErrorCode.OK);
  }
  send(both, m.GetReplicaList, { key: bytesOf("none"), tenantId }, TAKES_HOLDS);
  assert.equal(both.rpc.takeOne().attachment, undefined);
  const many = Array.from({ length: 70 }, (_, i) => i % 7 === 3 ? "b" : "a");
  assert.deepEqual(look(both, many), many.map((key) => key === "a" ? HOLD_MS : 0));
});

Deno.test("an end waits for readers and is answered then, others meanwhile", () => {
  for (
    const [start, end] of [[m.BatchUpsertStart, m.UpsertEnd], [
      m.BatchUpsertStart,
      m.PutEnd,
    ]] as const
  ) {
    const both = filled();
    look(both, ["a"]);
    startAll(both, ["a"], start);
    send(both, end, { ...ends, objectMeta: metaOf("a") });
    assert.deepEqual(both.rpc.take(), []);
    assert.equal(both.rpc.dispatcher.waiting, 1);
    assert.equal(both.rpc.ask(m.ExistKey, { key: bytesOf("a"), tenantId }).value, true);
    const list = both.rpc.ask(m.GetReplicaList, { key: bytesOf("a"), tenantId }).value!;
    assert.equal(list.replicas.length, 1);
    assert.equal(waits(both), HOLD_MS);
    assert.equal(decodeAnswer(end, both.rpc.takeOne()).code, ErrorCode.OK);
    assert.equal(both.rpc.dispatcher.heldWaits, 1);
    assert.equal(both.rpc.dispatcher.waits, 0);
  }
});

Deno.test("batches wait at the keys that are held, and once for all of them", () => {
  for (const end of [m.BatchPutEnd, m.BatchUpsertEnd]) {
    for (const heldKeys of [["a"], ["b"], ["a", "c"]]) {
      const both = filled();
      look(both, heldKeys);
      startAll(both, KEYS, m.BatchUpsertStart);
      send(both, end as typeof m.BatchPutEnd, { ...ends, objectMetas: KEYS.map(metaOf) });
      assert.equal(waits(both), HOLD_MS);
      const codes = decodeAnswer(end, both.rpc.takeOne()).map(({ code }) => code);
      assert.deepEqual(codes, [0, 0, 0]);
      assert.deepEqual(both.counted.at(-1), [end.name, 3, 0]);
    }
  }
  const both = filled();
  look(both, KEYS);
  send(both, m.BatchRemove, { keys: [...KEYS, "none"].map(bytesOf), force: true, tenantId });
  both.rpc.retry(HOLD_MS - 10);
  assert.deepEqual(look(both, ["c"]), [0], "no more of those that come last");
  assert.equal(waits(both), 10);
  const codes = decodeAnswer(m.BatchRemove, both.rpc.takeOne()).map(({ code }) => code);
  assert.deepEqual(codes, [0, 0, 0, ErrorCode.OBJECT_NOT_FOUND]);
});

Deno.test("removals by force wait, in scans, too, and plain ones are refused as ever", () => {
  for (const call of [m.Remove, m.RemoveByRegex, m.RemoveAll]) {
    const both = filled();
    const { rpc } = both;
    look(both, ["a"]);
    const request = { key: bytesOf("a"), regex: "a", tenantId };
    const ask = (force: boolean) =>
      send<unknown, unknown>(both, call as Rpc<unknown, unknown>, { ...request, force });
    if (call === m.Remove) {
      ask(false);
      assert.equal(decodeAnswer(call, rpc.takeOne()).code, ErrorCode.OBJECT_HAS_LEASE);
    }
    ask(true);
    let ms = 0;
    for (; rpc.dispatcher.waiting + rpc.dispatcher.scanning > 0; ms += 10) {
      assert.equal(rpc.replies.length, 0);
      rpc.retry(10);
      rpc.scan();
    }
    assert.equal(ms, HOLD_MS);
    rpc.takeOne();
    const left = rpc.ask(m.BatchExistKey, { keys: KEYS.map(bytesOf), tenantId });
    assert.equal(left[0].value, false);
  }
});

Deno.test("a scan that waits lets the others go on", () => {
  const both = filled();
  look(both, ["a"]);
  send(both, m.RemoveAll, { force: true, tenantId });
  send(both, m.RemoveByRegex, { regex: "nothing", force: false, tenantId }, 0, 2);
  both.rpc.scan();
  both.rpc.scan();
  const [{ connection }] = both.rpc.take();
  assert.equal(connection, 2);
  assert.equal(both.rpc.dispatcher.scanning, 1);
});

Deno.test("who hangs up does not change anything", () => {
  const both = filled();
  look(both, ["a"]);
  send(both, m.Remove, { key: bytesOf("a"), force: true, tenantId }, 0, 9);
  both.rpc.gone.add(9);
  both.rpc.retry(HOLD_MS);
  assert.equal(both.rpc.dispatcher.waiting, 0);
  assert.equal(both.rpc.ask(m.ExistKey, { key: bytesOf("a"), tenantId }).value, true);
});
