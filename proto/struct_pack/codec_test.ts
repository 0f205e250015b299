import assert from "node:assert/strict";
import { comparable, fromHex, loadWireVectors, toHex } from "../../tests/support/wire_vectors.ts";
import { ProtocolError } from "../error.ts";
import { beginBody, Codec, openBody } from "./codec.ts";
import { Reader } from "./reader.ts";
import {
  bool,
  bytes,
  expected,
  f64,
  i16,
  i32,
  i64Exact,
  i8,
  map,
  nothing,
  optional,
  pairs,
  type Schema,
  struct,
  text,
  u16,
  u32,
  u64,
  u64Exact,
  u8,
  uuid,
  variant,
  vector,
} from "./schema.ts";
import { Writer } from "./writer.ts";

function encode<T>(codec: Codec<T>, value: T, literal: boolean): Uint8Array {
  const writer = new Writer(8);
  codec.encode(writer, value, { literal });
  return writer.bytes;
}

const samples: Record<string, Schema<unknown>> = {
  "i32": i32,
  "bool": bool,
  "string": text,
  "UUID (pair<u64,u64>)": uuid,
  "vector<string>": vector(text),
  "optional<u64> empty": optional(u64),
  "optional<u64> 7": optional(u64Exact),
  "expected<void,ErrorCode> ok": expected(nothing),
  "expected<void,ErrorCode> -704": expected(nothing),
  "map<UUID,vector<string>>": map(uuid, vector(text)),
  "tuple<string,bool,string>": struct({ "0": bytes, "1": bool, "2": text }),
  "string of 255 bytes": text,
  "string of 256 bytes": text,
} as Record<string, Schema<unknown>>;

Deno.test("the golden values of single types decode and encode back, with and without literal", () => {
  const { codec_vectors } = loadWireVectors();
  assert.equal(codec_vectors.length, Object.keys(samples).length);
  for (const vector of codec_vectors) {
    const codec = new Codec(samples[vector.type]);
    assert.equal(toHex(codec.literal), vector.type_literal_hex, vector.type);
    assert.equal(codec.typeCode, Number(vector.md5_first4_be_masked), vector.type);
    for (const literal of [true, false]) {
      const hex = literal ? vector.encoded_with_literal_hex : vector.encoded_without_literal_hex;
      const value = codec.decode(new Reader(fromHex(hex)));
      const wanted = vector.type.startsWith("tuple")
        ? { ...(vector.value as unknown[]) }
        : vector.value;
      assert.deepEqual(comparable(value), comparable(wanted), vector.type);
      assert.equal(toHex(encode(codec, value, literal)), hex, vector.type);
    }
  }
});

Deno.test("a body takes the smallest width that holds its largest container", () => {
  const codec = new Codec(struct({ first: bytes, list: vector(bool), last: text }));
  const widths: [number, number, number, number][] = [
    [255, 0, 255, 1],
    [256, 0, 0, 2],
    [0, 256, 0, 2],
    [0, 0, 256, 2],
    [65535, 300, 0, 2],
    [0, 0, 65536, 4],
  ];
  for (const [first, list, last, width] of widths) {
    const value = {
      first: new Uint8Array(first).fill(5),
      list: new Array<boolean>(list).fill(true),
      last: "x".repeat(last),
    };
    for (const literal of [true, false]) {
      const body = encode(codec, value, literal);
      const head = codec.heads[Math.log2(width) + (literal ? 0 : 4)];
      assert.equal(body.length, head.length + 3 * width + first + list + last);
      assert.deepEqual(codec.decode(new Reader(body)), value);
    }
  }
});

Deno.test("all wire types survive a round trip at their limits", () => {
  const codec = new Codec(struct({
    i8: vector(i8),
    u8: vector(u8),
    i16: vector(i16),
    u16: vector(u16),
    i32: vector(i32),
    u32: vector(u32),
    i64: vector(i64Exact),
    u64: vector(u64Exact),
    f64: vector(f64),
    either: vector(variant<unknown>(text as Schema<unknown>, u8 as Schema<unknown>)),
    names: map(text, i32),
    raw: pairs(bytes, bool),
  }));
  const value = {
    i8: [-128, -1, 127],
    u8: [0, 255],
    i16: [-32768, -1, 32767],
    u16: [0, 65535],
    i32: [-(2 ** 31), -1, 2 ** 31 - 1],
    u32: [0, 2 ** 32 - 1],
    i64: [-(1n << 63n), -1n, (1n << 63n) - 1n],
    u64: [0n, (1n << 64n) - 1n],
    f64: [-Infinity, 0.1, Number.MAX_VALUE],
    either: [{ index: 0, value: "a" }, { index: 1, value: 9 }],
    names: new Map([["one", 1], ["two", -2]]),
    raw: [[Uint8Array.of(1), true], [Uint8Array.of(1), false]] as [Uint8Array, boolean][],
  };
  assert.deepEqual(codec.decode(new Reader(encode(codec, value, true))), value);
});

Deno.test("a value that does not fit its type is refused and leaves the writer as it was", () => {
  const cases: [Schema<unknown>, unknown][] = [
    [u8, 256],
    [i8, -129],
    [u16, -1],
    [i16, 32768],
    [u32, 2 ** 32],
    [i32, 0.5],
    [u64, -1],
    [uuid, "x"],
    [text, "\udfff"],
    [expected(bool), { code: 2 ** 31, value: null }],
    [vector(variant(u8)), [{ index: 1, value: 0 }]],
  ] as [Schema<unknown>, unknown][];
  for (const [schema, value] of cases) {
    const writer = new Writer();
    writer.u32(7);
    const codec = new Codec(schema);
    assert.throws(() => codec.encode(writer, value, { literal: true }), (error) => {
      return error instanceof RangeError || error instanceof TypeError;
    });
    assert.equal(writer.length, 4);
  }
});

Deno.test("bodies of another type, with bad metainfo or with a rest are refused", () => {
  const codec = new Codec(vector(text));
  const body = encode(codec, ["a", "bc"], true);
  const broken: [string, (copy: Uint8Array) => Uint8Array][] = [
    ["type code", (copy) => copy.fill(0, 0, 1)],
    ["metainfo bit", (copy) => copy.fill(copy[4] | 0x20, 4, 5)],
    ["compatible members", (copy) => copy.fill(copy[4] | 1, 4, 5)],
    ["literal", (copy) => copy.fill(0x0b, 6, 7)],
    ["end of literal", (copy) => copy.fill(1, 8, 9)],
    ["one byte more", (copy) => Uint8Array.of(...copy, 0)],
    ["one byte less", (copy) => copy.subarray(0, copy.length - 1)],
    ["nothing", () => new Uint8Array(0)],
  ];
  for (const [name, damage] of broken) {
    const reader = new Reader(damage(body.slice()));
    assert.throws(() => codec.decode(reader), ProtocolError, name);
  }
});

Deno.test("an error that claims success and a map with one key twice are refused", () => {
  const failure = new Codec(expected(bool));
  const writer = new Writer();
  beginBody(writer, failure, 1, true);
  writer.u8(0);
  writer.i32(0);
  assert.throws(() => failure.decode(new Reader(writer.bytes)), ProtocolError);

  const names = new Codec(map(text, u8));
  writer.reset();
  beginBody(writer, names, 1, false);
  for (const byte of [2, 1, 0x61, 5, 1, 0x61, 6]) writer.u8(byte);
  assert.throws(() => names.decode(new Reader(writer.bytes)), ProtocolError);
});

Deno.test("an encoder written by hand can widen its sizes and be read by the codec", () => {
  const codec = new Codec(vector(u8));
  const count = 300;
  const writer = new Writer();
  for (let width = widthOf(writer);; width = writer.neededWidth) {
    writer.truncate(0);
    beginBody(writer, codec, width, true);
    writer.size(count);
    for (let i = 0; i < count; i++) writer.u8(i);
    if (writer.neededWidth <= width) break;
  }
  const reader = new Reader(writer.bytes);
  openBody(reader, codec);
  assert.equal(reader.width, 2);
  assert.equal(reader.size(1), count);
  assert.equal(codec.decode(new Reader(writer.bytes)).length, count);
});

function widthOf(writer: Writer) {
  writer.startSizes(1);
  return writer.width;
}
