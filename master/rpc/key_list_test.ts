import assert from "node:assert/strict";
import { ProtocolError } from "../../proto/error.ts";
import { objectMeta } from "../../proto/messages/values.ts";
import { Codec } from "../../proto/struct_pack/codec.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { bytes, u64, vector } from "../../proto/struct_pack/schema.ts";
import { type SizeWidth, Writer } from "../../proto/struct_pack/writer.ts";
import type { Schema } from "../../proto/struct_pack/schema.ts";
import { KeyList } from "./key_list.ts";

function readerOf<T>(schema: Schema<T>, value: T, width: SizeWidth = 1): Reader {
  const writer = new Writer();
  writer.startSizes(width);
  schema.write(writer, value);
  const reader = new Reader(writer.bytes.slice());
  reader.width = width;
  return reader;
}

function keysOf(list: KeyList, { bytes }: Reader): Uint8Array[] {
  return Array.from(
    { length: list.count },
    (_, i) => bytes.slice(list.starts[i], list.ends[i]),
  );
}

function keys(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => new Uint8Array(i % 200).fill(i));
}

Deno.test("keys are found where they lie, whatever the width of sizes", () => {
  const list = new KeyList();
  for (const [count, width] of [[0, 1], [1, 1], [255, 1], [300, 2], [3000, 2], [3, 4], [2, 8]]) {
    const reader = readerOf(vector(bytes), keys(count), width as SizeWidth);
    list.readKeys(reader);
    assert.equal(reader.remaining, 0);
    assert.deepEqual(keysOf(list, reader), keys(count));
  }
});

Deno.test("a single key, size or meta is a list of one", () => {
  const list = new KeyList();
  const reader = readerOf(bytes, Uint8Array.of(7, 8));
  list.readKey(reader);
  assert.deepEqual(keysOf(list, reader), [Uint8Array.of(7, 8)]);
  list.readSize(readerOf(u64, 2 ** 40));
  assert.deepEqual([list.sizeCount, list.sizes[0]], [1, 2 ** 40]);
  const meta = readerOf(objectMeta, { key: Uint8Array.of(5), objectChecksum: 9n });
  list.readMeta(meta);
  assert.deepEqual(keysOf(list, meta), [Uint8Array.of(5)]);
  assert.equal(sumOf(list, 0), 9n);
});

function sumOf({ summed, sumLows, sumHighs }: KeyList, i: number): bigint | null {
  return summed[i] === 0 ? null : BigInt(sumHighs[i]) << 32n | BigInt(sumLows[i]);
}

Deno.test("a checksum is there or absent for each key by itself", () => {
  const list = new KeyList();
  const metas = keys(5).map((key, i) => ({
    key,
    objectChecksum: i % 2 === 0 ? null : 2n ** 64n - BigInt(i),
  }));
  list.readMetas(readerOf(vector(objectMeta), metas.map((m) => ({ ...m, objectChecksum: 1n }))));
  const reader = readerOf(vector(objectMeta), metas);
  list.readMetas(reader);
  assert.deepEqual(keysOf(list, reader), keys(5));
  assert.deepEqual(metas.map((_, i) => sumOf(list, i)), metas.map((m) => m.objectChecksum));
});

Deno.test("more sizes than keys are read all the same", () => {
  const list = new KeyList();
  list.readKeys(readerOf(vector(bytes), keys(2)));
  const sizes = Array.from({ length: 5000 }, (_, i) => i * 3);
  const reader = readerOf(vector(u64), sizes, 2);
  list.readSizes(reader);
  assert.equal(reader.remaining, 0);
  assert.deepEqual(Array.from(list.sizes.subarray(0, list.sizeCount)), sizes);
});

Deno.test("a count beyond what follows is refused before anything is allocated for it", () => {
  const list = new KeyList();
  const reader = new Reader(Uint8Array.of(0xff, 0xff, 0xff, 0x7f, 0, 0));
  reader.width = 4;
  assert.throws(() => list.readKeys(reader), ProtocolError);
  assert(list.starts.length <= 1024);
});

Deno.test("memory of a huge batch is given up at the next short one", () => {
  const list = new KeyList();
  const codec = new Codec(vector(bytes));
  const writer = new Writer();
  codec.encode(writer, Array.from({ length: 200_000 }, () => new Uint8Array(0)), {
    literal: false,
  });
  const reader = new Reader(writer.bytes, 5);
  reader.width = 4;
  list.readKeys(reader);
  assert.equal(list.count, 200_000);
  list.readSizes(readerOf(vector(u64), Array.from({ length: 100_000 }, () => 1), 4));
  list.readKeys(readerOf(vector(bytes), keys(3)));
  list.readSizes(readerOf(vector(u64), [1, 2, 3]));
  assert(list.starts.length <= 1024 && list.ends.length <= 1024 && list.sizes.length <= 1024);
});
