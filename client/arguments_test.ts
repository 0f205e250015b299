import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import { MemoryEngine, MemoryNetwork } from "../tests/support/memory_engine.ts";
import { BufferPool } from "./buffer_pool.ts";
import { keyBytes, keysBytes, showKey } from "./key.ts";
import { type Memory, sliceOf, slicesOf, totalLength, type Value } from "./memory.ts";
import { defaultConfig, type PutOptions, replicateConfig } from "./put_options.ts";
import { checkInside, rangePieces, type ReadRangeInto } from "./ranges.ts";

Deno.test("a key is UTF-8 text or bytes, and nothing else", () => {
  assert.deepEqual([...keyBytes("é\0")], [0xc3, 0xa9, 0]);
  const raw = Uint8Array.of(0xff, 0);
  assert.equal(keyBytes(raw), raw);
  assert.throws(() => keyBytes("\ud800"), /unpaired surrogate/);
  for (const wrong of [1, null, undefined, {}, [1], new ArrayBuffer(1)]) {
    assert.throws(() => keyBytes(wrong as never), TypeError);
  }
  assert.throws(() => keysBytes("ab" as never), /Keys are an array/);
});

Deno.test("a long key is cut in messages", () => {
  assert.equal(showKey(keyBytes('a"b')), '"a\\"b"');
  assert.equal(showKey(new Uint8Array(100).fill(0x61)), `"${"a".repeat(64)}"...`);
});

Deno.test("values are bytes, native memory, or a list of them", () => {
  const buffer = new BufferPool(new MemoryEngine(new MemoryNetwork()), 4096).allocate(10);
  const bytes = new Uint8Array(3);
  const slices = slicesOf([bytes, buffer.slice(4, 6), new Uint8Array(0), buffer]);
  assert.deepEqual(slices, [
    { local: bytes, localOffset: 0, length: 3 },
    { local: buffer.region, localOffset: 4, length: 6 },
    { local: buffer.region, localOffset: 0, length: 10 },
  ]);
  assert.equal(totalLength(slices), 19);
});

Deno.test("memory that is none, or can change under way, is refused", () => {
  const buffer = new BufferPool(new MemoryEngine(new MemoryNetwork()), 4096).allocate(10);
  const wrong: unknown[] = [
    "text",
    5,
    null,
    undefined,
    {},
    { buffer, offset: 0, length: 1 },
    new ArrayBuffer(4),
    new Uint16Array(2),
    new Uint8Array(new SharedArrayBuffer(4)),
    new Uint8Array(new ArrayBuffer(4, { maxByteLength: 8 })),
  ];
  for (const value of wrong) assert.throws(() => sliceOf(value as Memory, "A value"), TypeError);
  assert.throws(() => slicesOf(["a"] as unknown as Value), TypeError);
  for (const [offset, length] of [[5, 6], [-1, 2], [0, 11], [0.5, 1]]) {
    assert.throws(() => buffer.slice(offset, length), RangeError);
  }
  const slice = buffer.slice(0, 1);
  buffer[Symbol.dispose]();
  for (const memory of [buffer, slice]) {
    assert.throws(() => sliceOf(memory, "A value"), /was given back/);
  }
});

Deno.test("a pool lends up to its limit and lends again what came back", () => {
  const engine = new MemoryEngine(new MemoryNetwork());
  const pool = new BufferPool(engine, 16384);
  const first = pool.allocate(5000);
  assert.equal(first.bytes.length, 5000);
  const second = pool.allocate(8192);
  assert.throws(() => pool.allocate(1), { code: ErrorCode.BUFFER_OVERFLOW });
  const { region } = first;
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.throws(() => first.bytes, /was given back/);
  const again = pool.allocate(8000);
  assert.equal(again.region, region, "the same memory");
  assert.throws(() => pool.allocate(1), { code: ErrorCode.BUFFER_OVERFLOW });
  again[Symbol.dispose]();
  const small = pool.allocate(4096);
  assert.equal(region.bytes.length, 0, "idle memory of another size makes room");
  pool[Symbol.dispose]();
  assert.equal(second.bytes.length + small.bytes.length, 0);
  for (const length of [0, -1, 1.5, NaN]) assert.throws(() => pool.allocate(length), RangeError);
});

Deno.test("put options reach the wire form, and wrong ones are refused by name", () => {
  const defaults = defaultConfig("node-1");
  assert.equal(replicateConfig(undefined, defaults, 1), defaults);
  const config = replicateConfig(
    { replicaNum: 2, withHardPin: true, groupIds: ["g", Uint8Array.of(255)] },
    defaults,
    2,
  );
  assert.deepEqual(config, {
    ...defaults,
    replicaNum: 2,
    withHardPin: true,
    groupIds: [Uint8Array.of(0x67), Uint8Array.of(255)],
  });
  const wrong: [PutOptions, RegExp][] = [
    [{ replicaNum: -1 }, /^replicaNum is the number -1; allowed: integers from 0/],
    [{ replicaNum: "2" as never }, /^replicaNum/],
    [{ softPinAction: 7 }, /^softPinAction.*0 \(PRESERVE\), 1 \(ENABLE\), 2 \(DISABLE\)/],
    [{ dataType: 10 }, /^dataType/],
    [{ withHardPin: 1 as never }, /^withHardPin/],
    [{ preferredSegments: "a" as never }, /^preferredSegments/],
    [{ preferredSegments: [1] as never }, /^An item of preferredSegments/],
    [{ softPinTtlMs: 1.5 }, /^softPinTtlMs/],
    [{ groupIds: ["a", "b"] }, /^groupIds has 2 groups for 1 keys/],
    [{ replicas: 2 } as never, /^There is no put option replicas/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => replicateConfig(options, defaults, 1), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof TypeError || error instanceof RangeError;
    });
  }
});

Deno.test("ranges are checked against their targets and against the object", () => {
  const target = new Uint8Array(8);
  assert.deepEqual(rangePieces([{ offset: 100, length: 3, target, targetOffset: 5 }]), [
    { offset: 100, length: 3, local: target, localOffset: 5 },
  ]);
  const wrong: ReadRangeInto[] = [
    { offset: -1, length: 1, target },
    { offset: 0, length: 9, target },
    { offset: 0, length: 3, target, targetOffset: 6 },
    { offset: 0.5, length: 1, target },
  ];
  for (const range of wrong) assert.throws(() => rangePieces([range]), RangeError);
  assert.throws(() => rangePieces({} as never), TypeError);
  checkInside([{ offset: 5, length: 5 }], 10, keyBytes("x"));
  assert.throws(() => checkInside([{ offset: 5, length: 6 }], 10, keyBytes("x")), {
    code: ErrorCode.INVALID_PARAMS,
  });
});
