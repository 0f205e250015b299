import assert from "node:assert/strict";
import { toHex } from "../../tests/support/wire_vectors.ts";
import { Reader } from "./reader.ts";
import { widthFor, Writer } from "./writer.ts";

const MAX_U64 = 0xffff_ffff_ffff_ffffn;

Deno.test("numbers are written little endian and read back", () => {
  const writer = new Writer(1);
  writer.u8(0xab);
  writer.u16(0x1234);
  writer.u32(0xfedcba98);
  writer.i32(-2);
  writer.bool(true);
  writer.f64(-0.5);
  assert.equal(toHex(writer.bytes), "ab341298badcfefeffffff01000000000000e0bf");
  const reader = new Reader(writer.bytes);
  assert.equal(reader.u8(), 0xab);
  assert.equal(reader.u16(), 0x1234);
  assert.equal(reader.u32(), 0xfedcba98);
  assert.equal(reader.i32(), -2);
  assert.equal(reader.bool(), true);
  assert.equal(reader.f64(), -0.5);
  reader.expectEnd();
});

Deno.test("64-bit numbers agree with their bigint form over the safe range", () => {
  const around = [0, 1, 255, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 45 + 12345, 2 ** 53 - 1];
  for (const value of around) {
    const writer = new Writer();
    writer.u64Number(value);
    writer.u64(BigInt(value));
    writer.i64Number(-value);
    writer.i64(-BigInt(value));
    const { bytes } = writer;
    assert.deepEqual(bytes.slice(0, 8), bytes.slice(8, 16), `unsigned ${value}`);
    assert.deepEqual(bytes.slice(16, 24), bytes.slice(24, 32), `signed ${value}`);
    const reader = new Reader(bytes);
    assert.equal(reader.u64Number(), value);
    assert.equal(reader.u64(), BigInt(value));
    assert.equal(reader.i64Number() + value, 0);
    assert.equal(reader.i64(), -BigInt(value));
  }
});

Deno.test("a 64-bit number that cannot be represented is refused and leaves nothing behind", () => {
  const writer = new Writer();
  for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(() => writer.u64Number(value), RangeError);
  }
  for (const value of [0.5, NaN, 2 ** 53, -(2 ** 53)]) {
    assert.throws(() => writer.i64Number(value), RangeError);
  }
  assert.throws(() => writer.u64(-1n), RangeError);
  assert.throws(() => writer.u64(MAX_U64 + 1n), RangeError);
  assert.throws(() => writer.i64(1n << 63n), RangeError);
  assert.equal(writer.length, 0);
});

Deno.test("sizes are remembered so that the needed width is known", () => {
  const cases: [number, number][] = [[0, 1], [255, 1], [256, 2], [65535, 2], [65536, 4], [
    2 ** 32 - 1,
    4,
  ], [2 ** 32, 8]];
  for (const [size, width] of cases) {
    const writer = new Writer();
    writer.startSizes(1);
    writer.size(3);
    writer.size(size);
    assert.equal(writer.neededWidth, width, `${size}`);
    assert.equal(widthFor(size), width);
    writer.startSizes(8);
    assert.equal(writer.neededWidth, 1);
  }
});

Deno.test("text of every kind is written as UTF-8 behind its size in bytes", () => {
  const samples = [
    "",
    "tcp",
    "x".repeat(64),
    "x".repeat(65),
    "größe",
    "键".repeat(100),
    "😀\ufeff",
  ];
  for (const width of [1, 2, 4, 8] as const) {
    for (const sample of samples) {
      const writer = new Writer(4);
      writer.startSizes(width);
      writer.text(sample);
      const utf8 = new TextEncoder().encode(sample);
      assert.equal(writer.length, width + utf8.length);
      assert.deepEqual(writer.bytes.slice(width), utf8);
      if (widthFor(utf8.length) > width) continue;
      const reader = new Reader(writer.bytes);
      reader.width = width;
      assert.equal(reader.text(), sample);
      reader.expectEnd();
    }
  }
});

Deno.test("text with half a surrogate pair is refused", () => {
  const writer = new Writer();
  assert.throws(() => writer.text("a\ud800"), TypeError);
  assert.equal(writer.length, 0);
});

Deno.test("reset keeps a small buffer and lets a large one go", () => {
  const writer = new Writer(16);
  writer.raw(new Uint8Array(1000));
  const grown = writer.bytes.buffer;
  writer.reset();
  assert.equal(writer.length, 0);
  writer.u8(1);
  assert.equal(writer.bytes.buffer, grown);
  writer.raw(new Uint8Array(3 << 20));
  writer.reset();
  writer.u8(1);
  assert.equal(writer.bytes.buffer.byteLength, 16);
});

Deno.test("what was reserved can be patched, and nothing outside", () => {
  const writer = new Writer(1);
  writer.u8(7);
  const at = writer.reserve(4);
  writer.raw(Uint8Array.of(1, 2, 3, 4, 5), 1, 3);
  writer.patchU32(at, 0x01020304);
  assert.deepEqual(writer.bytes, Uint8Array.of(7, 4, 3, 2, 1, 2, 3));
  assert.throws(() => writer.patchU32(4, 0), RangeError);
  assert.throws(() => writer.truncate(8), RangeError);
  writer.truncate(1);
  assert.deepEqual(writer.bytes, Uint8Array.of(7));
});
