import assert from "node:assert/strict";
import { Writer } from "../struct_pack/writer.ts";
import { MAX_READ_HOLD_BYTES, readHold, ReadHoldWriter } from "./read_hold.ts";

/** What is read back of promises for keys, and the bytes that it took. */
function carried(holds: ReadHoldWriter, promises: number[]): [number[], number] {
  const writer = new Writer();
  writer.raw(Uint8Array.of(7, 7, 7));
  holds.reset(promises.length);
  promises.forEach((ms, i) => holds.add(i, ms));
  const length = holds.write(writer);
  const bytes = writer.bytes.slice();
  assert.equal(bytes.length, 3 + length);
  return [promises.map((_, i) => readHold(bytes, 3, bytes.length, i)), length];
}

Deno.test("promises come back key by key, in four bytes when all keys have them", () => {
  const holds = new ReadHoldWriter();
  for (const count of [1, 7, 8, 9, 64, 1000]) {
    const all = Array.from({ length: count }, () => 1000);
    assert.deepEqual(carried(holds, all), [all, 4]);
    for (const left of [0, count - 1]) {
      const some = all.with(left, 0);
      const length = count === 1 ? 0 : 4 + Math.ceil(count / 8);
      assert.deepEqual(carried(holds, some), [some, length]);
    }
    const none = all.map(() => 0);
    assert.deepEqual(carried(holds, none), [none, 0]);
  }
});

Deno.test("more than an attachment holds is not promised", () => {
  const holds = new ReadHoldWriter();
  const count = MAX_READ_HOLD_BYTES * 8;
  holds.reset(count);
  holds.add(0, 1000);
  assert.equal(holds.write(new Writer()), 0);
});

Deno.test("attachments that are cut off promise nothing of the keys that are not there", () => {
  const bytes = Uint8Array.of(0xe8, 3, 0, 0, 0b10);
  assert.deepEqual([0, 1, 2, 8, 100].map((i) => readHold(bytes, 0, 5, i)), [1000, 0, 1000, 0, 0]);
  for (let end = 0; end < 4; end++) assert.equal(readHold(bytes, 0, end, 0), 0);
});
