import assert from "node:assert/strict";
import {
  formatGid,
  parseGid,
  parseRdmaHandshake,
  type RdmaHandshake,
  rdmaHandshakeJson,
} from "./rdma_handshake.ts";

const handshake: RdmaHandshake = {
  localNicPath: "a:1@rxe0",
  peerNicPath: "b:2@rxe1",
  localLid: 3,
  localGid: "00:00:00:00:00:00:00:00:00:00:ff:ff:0a:00:00:01",
  qpNumbers: [17, 0xff_ffff],
  replyMessage: "",
  readyAck: false,
};

Deno.test("a handshake is read as it was written, with and without the ready-ack", () => {
  for (const readyAck of [false, true, null]) {
    const half = { ...handshake, readyAck };
    const json = rdmaHandshakeJson(half);
    assert.equal("ready_ack" in json, readyAck !== null);
    assert.deepEqual(parseRdmaHandshake(json), half);
  }
});

Deno.test("malformed handshakes and GIDs are refused", () => {
  const json = rdmaHandshakeJson(handshake);
  for (
    const wrong of [
      null,
      [],
      { ...json, qp_num: 5 },
      { ...json, qp_num: [-1] },
      { ...json, qp_num: [2 ** 24] },
      { ...json, local_lid: 70_000 },
      { ...json, ready_ack: 1 },
    ]
  ) {
    assert.throws(() => parseRdmaHandshake(wrong), { name: "ProtocolError" });
  }
  for (
    const wrong of ["", "00", `${handshake.localGid}:00`, handshake.localGid.replace("a", "g")]
  ) {
    assert.throws(() => parseGid(wrong), { name: "ProtocolError" });
  }
  assert.equal(formatGid(parseGid(handshake.localGid)), handshake.localGid);
});
