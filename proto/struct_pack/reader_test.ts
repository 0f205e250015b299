import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { ProtocolError } from "../error.ts";
import { Reader } from "./reader.ts";

Deno.test("every read past the end is refused and moves nothing", () => {
  const reads: [number, (reader: Reader) => unknown][] = [
    [1, (reader) => reader.u8()],
    [2, (reader) => reader.u16()],
    [4, (reader) => reader.u32()],
    [4, (reader) => reader.i32()],
    [8, (reader) => reader.u64()],
    [8, (reader) => reader.i64()],
    [8, (reader) => reader.f64()],
    [1, (reader) => reader.bool()],
    [5, (reader) => reader.skip(5)],
  ];
  for (const [bytes, read] of reads) {
    const buffer = new Uint8Array(bytes + 3);
    const reader = new Reader(buffer, 2, 1 + bytes);
    assert.throws(() => read(reader), ProtocolError);
    assert.equal(reader.position, 2);
    reader.reset(buffer, 2, 2 + bytes);
    read(reader);
    assert.equal(reader.remaining, 0);
  }
});

Deno.test("numbers outside the safe integers are refused", () => {
  const high = Uint8Array.of(0, 0, 0, 0, 0, 0, 0x20, 0);
  assert.throws(() => new Reader(high).u64Number(), ProtocolError);
  assert.throws(() => new Reader(high).i64Number(), ProtocolError);
  assert.equal(new Reader(high).u64(), 1n << 53n);
  const low = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80);
  assert.throws(() => new Reader(low).i64Number(), ProtocolError);
  assert.equal(new Reader(low).i64(), -(1n << 63n));
});

Deno.test("a count that cannot fit in the rest is refused before anything is allocated", () => {
  const bytes = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
  for (const width of [1, 2, 4] as const) {
    const reader = new Reader(bytes);
    reader.width = width;
    assert.throws(() => reader.size(1), ProtocolError);
    reader.reset(bytes);
    reader.width = width;
    assert.throws(() => reader.length(), ProtocolError);
  }
  const three = Uint8Array.of(3, 0, 0, 0, 0, 0);
  assert.throws(() => new Reader(three).size(2), ProtocolError);
  assert.equal(new Reader(three).size(1), 3);
});

Deno.test("the elements of one body are limited in number", () => {
  const bytes = new Uint8Array(64).fill(4);
  const reader = new Reader(bytes, 0, 64, { maxElements: 10 });
  assert.equal(reader.size(1), 4);
  assert.equal(reader.size(1), 4);
  assert.throws(() => reader.size(1), ProtocolError);
  reader.reset(bytes);
  assert.equal(reader.size(1), 4);
});

Deno.test("a string that is not UTF-8 is refused as text and taken as bytes", () => {
  const bytes = Uint8Array.of(2, 0xc3, 0x28);
  assert.throws(() => new Reader(bytes).text(), ProtocolError);
  assert.deepEqual(new Reader(bytes).blob(), Uint8Array.of(0xc3, 0x28));
});

Deno.test("text is right whether it is built, remembered or replaced in memory", () => {
  const reader = new Reader();
  const encoder = new TextEncoder();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 500; i++) {
      const expected = i % 7 === 0 ? `größe ${i}` : `10.0.0.${i % 250}:${i}`;
      const utf8 = encoder.encode(expected);
      reader.reset(Uint8Array.of(utf8.length, ...utf8));
      assert.equal(reader.text(), expected);
    }
  }
});

Deno.test("byte strings stay when the input is used again, unless they are borrowed", () => {
  for (const borrow of [false, true]) {
    const buffer = Uint8Array.of(9, 2, 8, 9, 0, 1, 7);
    const reader = new Reader(buffer, 1, 7, { borrow });
    const strings = [reader.blob(), reader.blob(), reader.blob()];
    assert.deepEqual(strings, [Uint8Array.of(8, 9), new Uint8Array(0), Uint8Array.of(7)]);
    buffer.fill(1);
    reader.reset(buffer, 0, 2);
    assert.deepEqual(reader.blob(), Uint8Array.of(1));
    assert.equal(strings[0].buffer === buffer.buffer, borrow);
    assert.deepEqual(strings[2], Uint8Array.of(borrow ? 1 : 7));
  }
});

Deno.test("byte strings out of a node Buffer are copies too", () => {
  const buffer = Buffer.of(1, 5);
  const copy = new Reader(buffer).blob();
  buffer.fill(0);
  assert.deepEqual(copy, Uint8Array.of(5));
});

Deno.test("booleans other than 0 and 1 and left-over bytes are refused", () => {
  assert.throws(() => new Reader(Uint8Array.of(2)).bool(), ProtocolError);
  assert.throws(() => new Reader(Uint8Array.of(2)).expectEnd(), ProtocolError);
  assert.throws(() => new Reader(Uint8Array.of(2), 1, 3), RangeError);
});
