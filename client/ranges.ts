import { ErrorCode } from "../proto/error_code.ts";
import { describe } from "./key.ts";
import { type Memory, sliceOf } from "./memory.ts";
import { objectError } from "./object_call.ts";
import type { ReadPiece } from "./read_piece.ts";

/**
 * Part of an object.
 *
 * @example
 * ```ts ignore
 * const header: ReadRange = { offset: 0, length: 64 };
 * const parts = await client.getRanges("layer/0", [header]);
 * ```
 */
export interface ReadRange {
  /** Bytes from the start of the object. */
  offset: number;
  /** Bytes. */
  length: number;
}

/**
 * Part of an object and where it goes.
 *
 * @example
 * ```ts ignore
 * const range: ReadRangeInto = { offset: 4096, length: 64, target: new Uint8Array(64) };
 * await client.getIntoRanges("layer/0", [range]);
 * ```
 */
export interface ReadRangeInto extends ReadRange {
  /** Memory that receives the bytes. */
  target: Memory;
  /** Bytes from the start of `target`; default 0. */
  targetOffset?: number;
}

/**
 * Checks ranges with their targets and describes them for the engine. `TypeError` for what are no
 * ranges, `RangeError` for negative or broken numbers and for a range that its target cannot hold.
 */
export function rangePieces(ranges: readonly ReadRangeInto[]): ReadPiece[] {
  checkRanges(ranges);
  return ranges.map(({ offset, length, target, targetOffset = 0 }) => {
    const slice = sliceOf(target, "A target");
    checkCount("targetOffset", targetOffset);
    if (targetOffset + length > slice.length) {
      throw new RangeError(
        `A target of ${slice.length} bytes cannot hold ${length} bytes at ${targetOffset}`,
      );
    }
    return { offset, length, local: slice.local, localOffset: slice.localOffset + targetOffset };
  });
}

/** Refuses what are no ranges: `TypeError` or `RangeError`. */
export function checkRanges(ranges: readonly ReadRange[]): void {
  if (!Array.isArray(ranges)) throw new TypeError(`Ranges are an array, not ${describe(ranges)}`);
  for (const { offset, length } of ranges) {
    checkCount("offset", offset);
    checkCount("length", length);
  }
}

/** Refuses ranges that reach beyond an object of `size` bytes: `StoreError`, `INVALID_PARAMS`. */
export function checkInside(ranges: readonly ReadRange[], size: number, key: Uint8Array): void {
  for (const { offset, length } of ranges) {
    if (offset + length <= size) continue;
    const why = `${length} bytes from ${offset} reach beyond its ${size} bytes`;
    throw objectError(ErrorCode.INVALID_PARAMS, "read", key, why);
  }
}

function checkCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name} is ${describe(value)}; allowed: integers from 0`);
  }
}
