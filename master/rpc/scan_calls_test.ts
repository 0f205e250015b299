import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, clientId, MIB, replicateConfig } from "../../tests/support/core_driver.ts";
import { decodeAnswer, encodeBody } from "../../tests/support/dispatcher.ts";
import { ServedCore } from "../../tests/support/served_core.ts";

const tenantId = bytesOf("");
const narrow = { width: 1, literal: true } as const;

function filled(keys: number): ServedCore {
  const both = new ServedCore();
  both.mount(1, 64 * MIB);
  for (let i = 0; i < keys; i++) {
    const key = bytesOf(`key-${i}`);
    const config = replicateConfig();
    const start = { clientId: clientId(1), key, sliceLength: 1, config, tenantId };
    assert.equal(both.rpc.ask(m.PutStart, start, { width: 4 }).code, 0);
    const end = {
      ...{ clientId: clientId(1), objectMeta: { key, objectChecksum: null } },
      ...{ replicaType: ReplicaType.ALL, tenantId },
    };
    assert.equal(both.rpc.ask(m.PutEnd, end).code, 0);
  }
  return both;
}

Deno.test("many keys are removed in several turns, between which others are served", () => {
  const { rpc, counted } = filled(2000);
  const request = { regex: "[05]$", force: true, tenantId };
  rpc.send(m.RemoveByRegex.functionId, encodeBody(m.RemoveByRegex.request!, request, narrow));
  assert.deepEqual(rpc.take(), []);
  let turns = 0;
  let last = true;
  for (; rpc.dispatcher.scanning > 0; turns++) {
    const body = encodeBody(m.ExistKey.request!, { key: bytesOf("key-1995"), tenantId }, narrow);
    rpc.send(m.ExistKey.functionId, body);
    last = decodeAnswer(m.ExistKey, rpc.takeOne()).value!;
    rpc.scan();
  }
  assert.deepEqual(decodeAnswer(m.RemoveByRegex, rpc.takeOne()), { code: 0, value: 400 });
  assert(turns > 2 && last, `${turns} turns`);
  assert.deepEqual(counted.at(-1), ["RemoveByRegex", 1, 0]);
  assert.equal(rpc.ask(m.RemoveAll, { force: false, tenantId }), 1600);
});

Deno.test("a pattern may be any bytes", () => {
  const { rpc, served } = filled(2);
  served.put("p\u00e4th", 1);
  const request = { regex: "^p..th$", force: true, tenantId };
  const body = encodeBody(m.RemoveByRegex.request!, request, narrow);
  body.set([0xc3, 0xa4], body.indexOf(".".charCodeAt(0)));
  rpc.send(m.RemoveByRegex.functionId, body);
  rpc.scan();
  assert.equal(decodeAnswer(m.RemoveByRegex, rpc.takeOne()).value, 1);
  const cut = encodeBody(m.RemoveByRegex.request!, request, narrow);
  cut[cut.indexOf(".".charCodeAt(0))] = 0xc3;
  rpc.send(m.RemoveByRegex.functionId, cut);
  rpc.scan();
  assert.equal(decodeAnswer(m.RemoveByRegex, rpc.takeOne()).value, 0);
});

Deno.test("a refused pattern is answered and told in one line, not more than once a second", () => {
  const { rpc, refusals, counted } = filled(2);
  for (let i = 0; i < 5; i++) {
    const code = rpc.ask(m.RemoveByRegex, { regex: "(a)\\1", force: false, tenantId }).code;
    assert.equal(code, ErrorCode.INVALID_PARAMS);
  }
  rpc.nowMs += 1000;
  const long = { regex: "x".repeat(100_000), tenantId };
  const answer = rpc.ask(m.GetReplicaListByRegex, long, { width: 4 });
  assert.equal(answer.code, ErrorCode.INVALID_PARAMS);
  assert.equal(refusals.length, 2);
  assert.equal(
    refusals[0],
    'RemoveByRegex was refused: the pattern "(a)\\\\1" has "\\1": what a group has matched cannot ' +
      "be asked for again",
  );
  assert.match(refusals[1], /"x{100}" is longer than 4096 bytes$/);
  assert.deepEqual(counted.at(-1), ["GetReplicaListByRegex", 1, 1]);
});

Deno.test("scans beyond the limit are refused with a code", () => {
  const { rpc } = filled(2);
  const all = encodeBody(m.RemoveAll.request!, { force: true, tenantId }, narrow);
  for (let i = 0; i < 64; i++) rpc.send(m.RemoveAll.functionId, all);
  const code = ErrorCode.TASK_PENDING_LIMIT_EXCEEDED;
  const send = (rpcOf: { functionId: number }, body: Uint8Array) => {
    rpc.send(rpcOf.functionId, body);
    return rpc.takeOne();
  };
  assert.equal(decodeAnswer(m.RemoveAll, send(m.RemoveAll, all)), code);
  const listing = encodeBody(m.GetReplicaListByRegex.request!, { regex: "", tenantId }, narrow);
  const refused = { code, value: null };
  const listed = send(m.GetReplicaListByRegex, listing);
  assert.deepEqual(decodeAnswer(m.GetReplicaListByRegex, listed), refused);
  const matching = { regex: "", force: true, tenantId };
  const body = encodeBody(m.RemoveByRegex.request!, matching, narrow);
  assert.deepEqual(decodeAnswer(m.RemoveByRegex, send(m.RemoveByRegex, body)), refused);
  rpc.scan();
  const removed = rpc.take().map((answer) => decodeAnswer(m.RemoveAll, answer));
  assert.deepEqual(removed, [2, ...Array(63).fill(0)]);
});

Deno.test("a removal is refused while changes are", () => {
  const { rpc, served } = filled(2);
  served.core.readOnly = true;
  const code = ErrorCode.PERSISTENT_FAIL;
  assert.equal(rpc.ask(m.RemoveAll, { force: true, tenantId }), code);
  const answer = rpc.ask(m.RemoveByRegex, { regex: "key", force: true, tenantId });
  assert.deepEqual(answer, { code, value: null });
});

Deno.test("arguments that are cut off are refused, and no scan begins", () => {
  const { rpc } = filled(1);
  const body = encodeBody(m.RemoveByRegex.request!, { regex: "k", force: true, tenantId }, narrow);
  rpc.send(m.RemoveByRegex.functionId, body.subarray(0, body.length - 1));
  assert.equal(rpc.takeOne().errorCode, 4);
  assert.equal(rpc.dispatcher.scanning, 0);
});
