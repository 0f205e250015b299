import assert from "node:assert/strict";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { appendWriteId } from "../../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import { bytesOf, clientId, MIB } from "../../tests/support/core_driver.ts";
import { decodeAnswer, encodeBody } from "../../tests/support/dispatcher.ts";
import { ServedCore } from "../../tests/support/served_core.ts";

const of = { clientId: clientId(1), key: bytesOf("k"), tenantId: bytesOf("default") };

/** A served key in one of two segments, and calls with numbers attached; 0 = without an attachment. */
function served() {
  const both = new ServedCore();
  both.mount(1, MIB);
  both.mount(2, MIB);
  both.served.put("k", 100, { preferredSegment: "segment-1" });
  const ask = <Q, R>(rpc: m.Rpc<Q, R>, request: Q, number: number): R => {
    const attachment = new Writer();
    if (number !== 0) appendWriteId(attachment, number);
    const body = encodeBody(rpc.request!, request, { width: 1, literal: true });
    both.rpc.send(rpc.functionId, body, 1, attachment.bytes.slice());
    return decodeAnswer(rpc, both.rpc.takeOne());
  };
  const replicas = () => {
    both.served.get("k");
    return both.served.sink.replicas.length;
  };
  return { ask, replicas };
}

Deno.test("ends and revokes of copies and moves are about the transfer whose number is attached", () => {
  const { ask, replicas } = served();
  const copy = { ...of, srcSegment: "segment-1", tgtSegments: ["segment-2"] };
  const stray = (...calls: m.Rpc<m.ClientKeyRequest, m.Expected<null>>[]) => {
    for (const rpc of calls) {
      for (const number of [0, 6]) {
        assert.equal(ask(rpc, of, number).code, ErrorCode.ILLEGAL_CLIENT);
      }
    }
  };
  assert.equal(ask(m.CopyStart, copy, 5).code, ErrorCode.OK);
  stray(m.CopyEnd, m.CopyRevoke);
  assert.equal(ask(m.CopyRevoke, of, 5).code, ErrorCode.OK);
  assert.equal(ask(m.CopyStart, copy, 7).code, ErrorCode.OK);
  assert.equal(replicas(), 1);
  assert.equal(ask(m.CopyEnd, of, 7).code, ErrorCode.OK);
  assert.equal(replicas(), 2);
  const move = { ...of, srcSegment: "segment-1", tgtSegment: "segment-2" };
  assert.equal(ask(m.MoveStart, move, 8).code, ErrorCode.OK);
  stray(m.MoveEnd, m.MoveRevoke);
  assert.equal(ask(m.MoveRevoke, of, 8).code, ErrorCode.OK);
  assert.equal(ask(m.MoveStart, move, 9).code, ErrorCode.OK);
  assert.equal(ask(m.MoveEnd, of, 9).code, ErrorCode.OK);
  assert.equal(replicas(), 1);
});

Deno.test("copies without an attachment, as the wheel's, end without one", () => {
  const { ask, replicas } = served();
  const copy = { ...of, srcSegment: "segment-1", tgtSegments: ["segment-2"] };
  assert.equal(ask(m.CopyStart, copy, 0).code, ErrorCode.OK);
  assert.equal(ask(m.CopyEnd, of, 1).code, ErrorCode.ILLEGAL_CLIENT);
  assert.equal(ask(m.CopyEnd, of, 0).code, ErrorCode.OK);
  assert.equal(replicas(), 2);
});
