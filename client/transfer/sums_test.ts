import assert from "node:assert/strict";
import { crc32c } from "../../proto/crc32c.ts";
import { Opcode, TransferCode, type TransferOperation } from "./engine.ts";
import { copySummed, noteSums, sumOf } from "./sums.ts";

const bytes = Uint8Array.from({ length: 300 }, (_, i) => i * 7);

function op(localOffset: number, length: number, sums: boolean): TransferOperation {
  return {
    ...{ opcode: Opcode.READ, peer: 1, remoteAddress: 0n, local: bytes },
    ...{ localOffset, length, sums },
  };
}

Deno.test("sums of operations come to that of their bytes, whatever lies between them", () => {
  const ops = [op(0, 100, true), op(7, 5, false), op(100, 1, true), op(101, 199, true)];
  noteSums(ops, [0, 0, 0, 0]);
  assert.equal(ops[1].crc32c, undefined);
  assert.equal(sumOf(ops), crc32c(bytes, 0, 300));
  assert.equal(sumOf(ops, 2), crc32c(bytes, 100, 300));
  assert.equal(sumOf(ops, 0, 1), crc32c(bytes, 0, 100));
});

Deno.test("what failed, or lay in memory that is gone, has no sum", () => {
  const ops = [op(0, 100, true), op(100, 200, true), op(200, 200, true)];
  noteSums(ops, [TransferCode.OK, TransferCode.TIMEOUT, TransferCode.OK]);
  assert.deepEqual(ops.map(({ crc32c }) => crc32c === undefined), [false, true, true]);
  assert.equal(sumOf(ops), -1);
  assert.equal(sumOf([op(0, 1, false)]), -1);
  assert.equal(sumOf([]), -1);
});

Deno.test("a copy is summed as it arrives, also over itself", () => {
  const from = Uint8Array.from({ length: 200_000 }, (_, i) => i * 13 + (i >> 8));
  const to = new Uint8Array(from.length);
  assert.equal(copySummed(from, to), crc32c(from, 0, from.length));
  assert(to.every((byte, i) => byte === from[i]));
  const moved = from.slice(0, 150_000);
  const sum = copySummed(from.subarray(0, 150_000), from.subarray(1000, 151_000));
  assert.equal(sum, crc32c(moved, 0, moved.length));
  assert(moved.every((byte, i) => byte === from[1000 + i]));
});
