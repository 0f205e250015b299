import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, clientId, MIB, replicateConfig } from "../../tests/support/core_driver.ts";
import { TransportErrorCode } from "../../proto/coro_rpc/header.ts";
import { appendWriteId } from "../../proto/coro_rpc/write_id.ts";
import type { Expected, Rpc } from "../../proto/messages.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { decodeAnswer, encodeBody, errorText } from "../../tests/support/dispatcher.ts";
import { ServedCore } from "../../tests/support/served_core.ts";

const tenantId = bytesOf("default");
const client = clientId(1);
const PUT_WAIT_MS = 50;
const KIB = 1024;

/** A core with one segment of 1 MiB, in which unfinished puts leave `freeKib`. */
function filledCore(freeKib: number): ServedCore {
  const both = new ServedCore({ putWaitMs: PUT_WAIT_MS });
  both.mount(1, MIB);
  for (const key of ["filler", "filler 2"]) {
    const answer = both.rpc.ask(m.PutStart, {
      ...{ clientId: client, key: bytesOf(key), tenantId, config: replicateConfig() },
      sliceLength: (MIB - freeKib * KIB) / 2,
    });
    assert.equal(answer.code, ErrorCode.OK);
  }
  both.counted.length = 0;
  return both;
}

function encode<Q, R>(call: Rpc<Q, R>, request: Q): Uint8Array {
  return encodeBody(call.request!, request, { width: 1, literal: true });
}

/** Gives the space of an unfinished put back. */
function free({ rpc }: ServedCore, key: string): void {
  const objectMeta = { key: bytesOf(key), objectChecksum: null };
  const end = { clientId: client, objectMeta, replicaType: ReplicaType.ALL, tenantId };
  assert.equal(rpc.ask(m.PutEnd, end).code, ErrorCode.OK);
  assert.equal(rpc.ask(m.Remove, { key: bytesOf(key), force: true, tenantId }).code, ErrorCode.OK);
}

/** Sends a start of some keys of equal size and sees it wait. */
function sendBatch({ rpc }: ServedCore, keys: string[], kib: number, batch = m.BatchPutStart) {
  const request = {
    ...{ clientId: client, keys: keys.map(bytesOf), tenantId, config: replicateConfig() },
    sliceLengths: keys.map(() => kib * KIB),
  };
  rpc.send(batch.functionId, encodeBody(batch.request!, request, { width: 1, literal: true }));
  assert.deepEqual(rpc.take(), []);
  assert.equal(rpc.dispatcher.waiting, 1);
}

/** The answer of what waited, as codes and the endpoints of the first replicas. */
function outcome({ rpc }: ServedCore, batch = m.BatchPutStart) {
  return decodeAnswer(batch, rpc.takeOne()).map(({ code, value }) => {
    const location = value?.[0].location;
    return [code, location?.kind === "memory" ? location.buffer.transportEndpoint : null];
  });
}

for (const batch of [m.BatchPutStart, m.BatchUpsertStart]) {
  Deno.test(`${batch.name}: a batch may wait at its first key`, () => {
    const both = filledCore(0);
    sendBatch(both, ["a", "b"], 256, batch);
    both.rpc.retry(1);
    free(both, "filler");
    assert.equal(both.rpc.retry(1), true);
    assert.deepEqual(outcome(both, batch), [[0, "node-1:1"], [0, "node-1:1"]]);
    assert.deepEqual(both.counted.at(-1), [batch.name, 2, 0]);
  });

  Deno.test(`${batch.name}: what a batch has it keeps while it waits for the rest`, () => {
    const both = filledCore(512);
    sendBatch(both, ["a", "b", "c", "d"], 256, batch);
    assert.equal(both.served.core.keyCount, 4);
    free(both, "filler");
    both.rpc.retry(1);
    both.pass(PUT_WAIT_MS);
    assert.equal(both.rpc.retry(), false);
    assert.deepEqual(outcome(both, batch), [
      [0, "node-1:1"],
      [0, "node-1:1"],
      [0, "node-1:1"],
      [ErrorCode.NO_AVAILABLE_HANDLE, null],
    ]);
    assert.deepEqual(both.counted.at(-1), [batch.name, 4, 1]);
    assert.deepEqual(both.sizes.slice(2), [256 * KIB, 256 * KIB, 256 * KIB]);
  });

  Deno.test(`${batch.name}: an answer becomes wider when a longer endpoint comes meanwhile`, () => {
    for (const length of [300, 4096]) {
      const both = filledCore(512);
      sendBatch(both, ["a", "b", "c"], 256, batch);
      const endpoint = "e".repeat(length);
      both.mount(2, MIB, endpoint);
      assert.equal(both.rpc.retry(1), true);
      assert.deepEqual(outcome(both, batch), [[0, "node-1:1"], [0, "node-1:1"], [0, endpoint]]);
      assert.deepEqual(both.rpc.faults, []);
    }
  });
}

Deno.test("a single put waits, and is refused with -200 when its time is over", () => {
  for (const put of [m.PutStart, m.UpsertStart]) {
    const both = filledCore(0);
    const request = {
      ...{ clientId: client, key: bytesOf("a"), tenantId, config: replicateConfig() },
      sliceLength: 100,
    };
    const body = encodeBody(put.request!, request, { width: 1, literal: true });
    both.rpc.send(put.functionId, body);
    assert.deepEqual(both.rpc.take(), []);
    both.rpc.retry(PUT_WAIT_MS - 1);
    assert.deepEqual(both.rpc.take(), []);
    both.rpc.retry(1);
    assert.deepEqual(decodeAnswer(put, both.rpc.takeOne()), { code: -200, value: null });

    both.rpc.send(put.functionId, body);
    free(both, "filler");
    both.rpc.retry(1);
    const { code, value } = decodeAnswer(put, both.rpc.takeOne());
    assert.deepEqual([code, value?.length], [0, 1]);
    assert.deepEqual(both.counted.filter(([name]) => name === put.name), [
      [put.name, 1, 1],
      [put.name, 1, 0],
    ]);
  }
});

Deno.test("a put whose client has hung up takes no space", () => {
  const both = filledCore(0);
  sendBatch(both, ["a"], 256);
  both.rpc.gone.add(1);
  free(both, "filler");
  both.rpc.take();
  both.rpc.retry(1);
  assert.equal(both.rpc.dispatcher.waiting, 0);
  assert.deepEqual(both.rpc.take(), []);
  assert.equal(both.served.core.keyCount, 1);
});

Deno.test("a put waits until a lease has run out", () => {
  const both = new ServedCore({ putWaitMs: 1000, core: { defaultKvLeaseTtlMs: 300 } });
  both.mount(1, MIB);
  const key = bytesOf("leased");
  const start = { clientId: client, key, tenantId, config: replicateConfig() };
  assert.equal(both.rpc.ask(m.PutStart, { ...start, sliceLength: MIB }).code, 0);
  const objectMeta = { key, objectChecksum: null };
  const end = { clientId: client, objectMeta, replicaType: ReplicaType.ALL, tenantId };
  assert.equal(both.rpc.ask(m.PutEnd, end).code, 0);
  assert.equal(both.rpc.ask(m.ExistKey, { key, tenantId }).value, true);
  sendBatch(both, ["a"], 512);
  both.rpc.retry(299);
  assert.deepEqual(both.rpc.take(), []);
  both.rpc.retry(2);
  assert.deepEqual(outcome(both), [[0, "node-1:1"]]);
});

function upsert(key: string) {
  return {
    ...{ clientId: client, key: bytesOf(key), tenantId, config: replicateConfig() },
    sliceLength: KIB,
  };
}

function end(key: string) {
  const objectMeta = { key: bytesOf(key), objectChecksum: null };
  return { clientId: client, objectMeta, replicaType: ReplicaType.ALL, tenantId };
}

Deno.test("an upsert waits for another one of its client that goes on, then replaces it", () => {
  const both = filledCore(512);
  const { rpc } = both;
  assert.equal(rpc.ask(m.UpsertStart, upsert("k")).code, ErrorCode.OK);
  rpc.send(m.UpsertStart.functionId, encode(m.UpsertStart, upsert("k")));
  assert.deepEqual(rpc.take(), []);
  rpc.retry(1);
  assert.equal(rpc.dispatcher.waiting, 1);
  assert.equal(rpc.ask(m.UpsertEnd, end("k")).code, ErrorCode.OK);
  assert.equal(rpc.retry(1), true);
  assert.equal(decodeAnswer(m.UpsertStart, rpc.takeOne()).code, ErrorCode.OK);
  assert.equal(rpc.ask(m.UpsertEnd, end("k")).code, ErrorCode.OK);
});

Deno.test("an upsert is refused when the other one of its client goes on for too long", () => {
  const both = filledCore(512);
  const { rpc } = both;
  assert.equal(rpc.ask(m.UpsertStart, upsert("k")).code, ErrorCode.OK);
  rpc.send(m.UpsertStart.functionId, encode(m.UpsertStart, upsert("k")));
  rpc.retry(PUT_WAIT_MS);
  assert.equal(
    decodeAnswer(m.UpsertStart, rpc.takeOne()).code,
    ErrorCode.OBJECT_REPLICA_BUSY,
  );
});

Deno.test("a batch does not wait for itself when it holds a key twice", () => {
  const both = filledCore(512);
  const request = {
    ...{ clientId: client, keys: ["a", "b", "a"].map(bytesOf), tenantId },
    ...{ config: replicateConfig(), sliceLengths: [KIB, KIB, KIB] },
  };
  const codes = both.rpc.ask(m.BatchUpsertStart, request).map(({ code }) => code);
  assert.deepEqual(codes, [ErrorCode.OK, ErrorCode.OK, ErrorCode.OBJECT_REPLICA_BUSY]);
});

Deno.test("writes with numbers do not wait for each other, and what waits keeps its number", () => {
  const both = filledCore(16);
  const { rpc } = both;
  const send = <Q, R>(call: Rpc<Q, R>, request: Q, writeId: number) => {
    const attachment = new Writer();
    appendWriteId(attachment, writeId);
    rpc.send(call.functionId, encode(call, request), 1, attachment.bytes.slice());
  };
  const code = <Q>(call: Rpc<Q, Expected<unknown>>) => decodeAnswer(call, rpc.takeOne()).code;
  for (const writeId of [1, 2]) {
    send(m.UpsertStart, upsert("k"), writeId);
    assert.equal(code(m.UpsertStart), ErrorCode.OK);
  }
  send(m.UpsertEnd, end("k"), 1);
  assert.equal(code(m.UpsertEnd), ErrorCode.ILLEGAL_CLIENT);
  send(m.UpsertEnd, end("k"), 2);
  assert.equal(code(m.UpsertEnd), ErrorCode.OK);

  send(m.UpsertStart, { ...upsert("large"), sliceLength: 256 * KIB }, 3);
  assert.equal(rpc.dispatcher.waiting, 1);
  free(both, "filler");
  rpc.retry(1);
  assert.equal(code(m.UpsertStart), ErrorCode.OK);
  send(m.UpsertEnd, end("large"), 3);
  assert.equal(code(m.UpsertEnd), ErrorCode.OK);
});

Deno.test("an attachment that is no number of a write is refused", () => {
  const both = filledCore(512);
  const { rpc } = both;
  rpc.send(m.UpsertStart.functionId, encode(m.UpsertStart, upsert("k")), 1, Uint8Array.of(1, 2));
  const { errorCode, body } = rpc.takeOne();
  assert.equal(errorCode, TransportErrorCode.INVALID_RPC_ARGUMENTS);
  assert.match(errorText(body, errorCode), /not the number of a write/);
  assert.equal(both.served.core.keyCount, 2);
});
