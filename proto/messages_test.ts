import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { comparable, fromHex, loadWireVectors, toHex } from "../tests/support/wire_vectors.ts";
import {
  beginRequest,
  beginResponse,
  endRequest,
  endResponse,
  REQUEST_HEADER_BYTES,
  RESPONSE_HEADER_BYTES,
} from "./coro_rpc/header.ts";
import { RequestSplitter, ResponseSplitter } from "./coro_rpc/splitter.ts";
import { ExistKey, GetReplicaList, type Rpc, rpcById, rpcByName } from "./messages.ts";
import type { Codec } from "./struct_pack/codec.ts";
import { Reader } from "./struct_pack/reader.ts";
import { Writer } from "./struct_pack/writer.ts";

const vectors = loadWireVectors();

function call(name: string): Rpc<unknown, unknown> {
  const rpc = rpcByName.get(name);
  assert.ok(rpc, `no call named ${name}`);
  return rpc;
}

function hasLiteral(frame: Uint8Array, bodyStart: number): boolean {
  return (frame[bodyStart] & 1) !== 0 && (frame[bodyStart + 4] & 4) !== 0;
}

function checkRequest(rpc: Rpc<unknown, unknown>, frameHex: string, expected?: unknown): void {
  const frame = fromHex(frameHex);
  const splitter = new RequestSplitter();
  splitter.feed(frame);
  assert.ok(splitter.next());
  assert.equal(splitter.functionId, rpc.functionId);

  const writer = new Writer();
  const start = beginRequest(writer, splitter.seq, splitter.functionId);
  if (rpc.request === null) {
    assert.equal(splitter.bodyLength, 0);
  } else {
    const reader = new Reader(frame, splitter.bodyStart, splitter.bodyEnd);
    const value = rpc.request.decode(reader);
    if (expected !== undefined) assert.deepEqual(comparable(value), comparable(expected));
    rpc.request.encode(writer, value, { literal: hasLiteral(frame, splitter.bodyStart) });
  }
  endRequest(writer, start);
  assert.equal(toHex(writer.bytes), frameHex);
  assert.equal(splitter.next(), false);
}

function checkResponse(rpc: Rpc<unknown, unknown>, frameHex: string, expected: unknown): void {
  const frame = fromHex(frameHex);
  const splitter = new ResponseSplitter();
  splitter.feed(frame);
  assert.ok(splitter.next());
  assert.equal(splitter.errorCode, 0);
  const value = rpc.response.decode(new Reader(frame, splitter.bodyStart, splitter.bodyEnd));
  assert.deepEqual(comparable(value), comparable(expected));

  const writer = new Writer();
  const start = beginResponse(writer, splitter.seq);
  rpc.response.encode(writer, value, { literal: hasLiteral(frame, splitter.bodyStart) });
  endResponse(writer, start);
  assert.equal(toHex(writer.bytes), frameHex);
  assert.equal(splitter.next(), false);
}

Deno.test("every golden exchange decodes to its value and encodes back to its bytes", () => {
  for (const exchange of vectors.vectors) {
    checkRequest(call(exchange.rpc), exchange.request_hex, exchange.request);
    checkResponse(call(exchange.rpc), exchange.response_hex, exchange.response);
  }
  const covered = new Set(vectors.vectors.map((exchange) => exchange.rpc));
  assert.equal(covered.size, rpcByName.size);
});

Deno.test("all kinds of replicas decode and encode back", () => {
  const { request_hex, response_hex, response } = vectors.all_replica_kinds;
  checkRequest(GetReplicaList, request_hex);
  checkResponse(GetReplicaList, response_hex, response);
});

Deno.test("function ids, literals and type codes of all calls are the reference's", () => {
  const named = Object.entries(vectors.rpcs).filter(([, row]) => row.response_type_code);
  assert.equal(named.length, 64);
  assert.equal(rpcByName.size, 64);
  for (const [name, row] of named) {
    const rpc = call(name);
    assert.equal(rpc.functionId, Number(row.function_id), name);
    assert.equal(rpcById.get(rpc.functionId), rpc);
    checkType(rpc.request, row.request_literal_hex ?? null, row.request_type_code ?? null);
    checkType(rpc.response, row.response_literal_hex!, row.response_type_code!);
  }
});

function checkType(
  codec: Codec<unknown> | null,
  literalHex: string | null,
  typeCode: string | null,
): void {
  assert.equal(codec === null, literalHex === null);
  if (codec === null) return;
  assert.equal(toHex(codec.literal), literalHex);
  assert.equal(codec.typeCode, Number(typeCode));
}

Deno.test("a key of 70000 bytes gives the reference's request with four-byte sizes", () => {
  const vector = vectors.wide_size_vector;
  const prefix = fromHex(vector.request_prefix_hex);
  const splitter = new RequestSplitter();
  splitter.feed(prefix.subarray(0, REQUEST_HEADER_BYTES));
  assert.equal(splitter.next(), false);

  const writer = new Writer();
  const start = beginRequest(writer, splitter.seq, ExistKey.functionId);
  const key = new Uint8Array(70_000).fill(0x78);
  const tenantId = new TextEncoder().encode("default");
  ExistKey.request!.encode(writer, { key, tenantId }, { literal: true });
  endRequest(writer, start);
  const frame = writer.bytes;
  assert.equal(frame.length, vector.request_total_bytes);
  assert.equal(createHash("sha256").update(frame).digest("hex"), vector.request_sha256);

  const reader = new Reader(frame, REQUEST_HEADER_BYTES);
  assert.deepEqual(ExistKey.request!.decode(reader), { key, tenantId });
  const response = fromHex(vector.response_hex);
  assert.deepEqual(ExistKey.response.decode(new Reader(response, RESPONSE_HEADER_BYTES)), {
    code: 0,
    value: false,
  });
});
