import assert from "node:assert/strict";
import { fromHex, loadWireVectors, toHex } from "../../tests/support/wire_vectors.ts";
import { ProtocolError } from "../error.ts";
import { Codec } from "../struct_pack/codec.ts";
import { Reader } from "../struct_pack/reader.ts";
import { struct, text, u16 } from "../struct_pack/schema.ts";
import { Writer } from "../struct_pack/writer.ts";
import {
  beginRequest,
  beginResponse,
  endRequest,
  endResponse,
  functionIdOf,
  readRequestHeader,
  readResponseHeader,
  readTransportError,
  REQUEST_HEADER_BYTES,
  RESPONSE_HEADER_BYTES,
  type TransportErrorCode,
  writeErrorResponse,
} from "./header.ts";

function emptyHeader() {
  return { seq: 0, functionId: 0, errorCode: 0, bodyLength: 0, attachmentLength: 0 };
}

Deno.test("the reference's transport errors decode and encode back", () => {
  for (const frame of loadWireVectors().transport_error_frames) {
    const header = emptyHeader();
    const bytes = fromHex(frame.response_hex);
    readResponseHeader(bytes, 0, header);
    assert.equal(header.errorCode, frame.err_code);
    assert.equal(header.bodyLength, bytes.length - RESPONSE_HEADER_BYTES);
    const reader = new Reader(bytes, RESPONSE_HEADER_BYTES);
    const error = readTransportError(reader, header.errorCode);
    assert.deepEqual(error, { code: frame.err_code, message: frame.message });
    const writer = new Writer();
    writeErrorResponse(writer, header.seq, error.code as TransportErrorCode, error.message);
    assert.equal(toHex(writer.bytes), frame.response_hex);

    const request = fromHex(frame.request_hex);
    readRequestHeader(request, 0, header);
    writer.reset();
    const start = beginRequest(writer, header.seq, header.functionId);
    writer.raw(request, REQUEST_HEADER_BYTES);
    endRequest(writer, start);
    assert.equal(toHex(writer.bytes), frame.request_hex);
  }
});

Deno.test("headers carry the largest numbers and the length of their body", () => {
  const writer = new Writer();
  writer.u8(0);
  const request = beginRequest(writer, 0xffff_ffff, 0xfedc_ba98);
  writer.raw(new Uint8Array(300));
  endRequest(writer, request);
  const response = beginResponse(writer, 0x8000_0000, 11);
  writer.raw(new Uint8Array(2));
  endResponse(writer, response);

  const header = emptyHeader();
  readRequestHeader(writer.bytes, request, header);
  assert.deepEqual(header, {
    seq: 0xffff_ffff,
    functionId: 0xfedc_ba98,
    errorCode: 0,
    bodyLength: 300,
    attachmentLength: 0,
  });
  assert.equal(response, 1 + REQUEST_HEADER_BYTES + 300);
  readResponseHeader(writer.bytes, response, header);
  assert.equal(header.seq, 0x8000_0000);
  assert.equal(header.errorCode, 11);
  assert.equal(header.bodyLength, 2);
});

Deno.test("error 255 carries its code in the body", () => {
  const writer = new Writer();
  const codec = new Codec(struct({ code: u16, message: text }));
  codec.encode(writer, { code: 1000, message: "no" }, { literal: true });
  const error = readTransportError(new Reader(writer.bytes), 255);
  assert.deepEqual(error, { code: 1000, message: "no" });
});

Deno.test("another magic, version or serialize type is refused", () => {
  const good = new Writer();
  beginRequest(good, 1, 2);
  for (const [at, value] of [[0, 0x16], [1, 1], [2, 1]]) {
    const bytes = good.bytes.slice();
    bytes[at] = value;
    assert.throws(() => readRequestHeader(bytes, 0, emptyHeader()), ProtocolError);
    if (at < 2) assert.throws(() => readResponseHeader(bytes, 0, emptyHeader()), ProtocolError);
  }
});

Deno.test("a function id is the head of the MD5 of its qualified name", () => {
  assert.equal(functionIdOf("mooncake::WrappedMasterService::ServiceReady"), 0x7b81bb56);
});
