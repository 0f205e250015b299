import { type Crc32c, crc32c, crc32cCombine } from "../../proto/crc32c.ts";
import { TransferCode, type TransferOperation } from "./engine.ts";

/**
 * Sets the CRC-32C of those operations that want one and have succeeded, from where their bytes lie;
 * for engines that do not sum while they move them. Memory that is gone gets none.
 */
export function noteSums(
  ops: readonly TransferOperation[],
  codes: ArrayLike<number>,
  sum: Crc32c = crc32c,
): void {
  for (let i = 0; i < ops.length; i++) {
    if (ops[i].sums === true && codes[i] === TransferCode.OK) noteSum(ops[i], sum);
  }
}

/** {@linkcode noteSums} of one operation that has succeeded. */
export function noteSum(op: TransferOperation, sum: Crc32c = crc32c): void {
  const { sums, local, localOffset, length } = op;
  if (sums !== true) return;
  const bytes = local instanceof Uint8Array ? local : local.bytes;
  const end = localOffset + length;
  if (end <= bytes.length) op.crc32c = sum(bytes, localOffset, end);
}

/**
 * The CRC-32C of what the operations `[start, end)` that sum have moved, one behind the other;
 * negative when one has none.
 */
export function sumOf(ops: readonly TransferOperation[], start = 0, end = ops.length): number {
  let sum = 0;
  let first = true;
  for (let i = start; i < end; i++) {
    const { sums, crc32c, length } = ops[i];
    if (sums !== true) continue;
    if (crc32c === undefined) return -1;
    sum = first ? crc32c : crc32cCombine(sum, crc32c, length);
    first = false;
  }
  return first ? -1 : sum;
}

/** Bytes that are copied before they are summed, so that they are still in a cache. */
const COPY_BYTES = 64 << 10;

/** Copies memory to other of the same length and returns its CRC-32C. They may overlap. */
export function copySummed(from: Uint8Array, to: Uint8Array, sum: Crc32c = crc32c): number {
  const step = from.buffer === to.buffer ? from.length : COPY_BYTES;
  let crc = 0;
  for (let at = 0; at < from.length; at += step) {
    const end = Math.min(at + step, from.length);
    to.set(from.subarray(at, end), at);
    crc = sum(to, at, end, crc);
  }
  return crc;
}
