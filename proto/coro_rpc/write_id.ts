/**
 * The number of a write, a copy or a move, which clients of ours attach to the calls that start, end
 * and revoke it: the messages themselves do not say which of several of a key they are about. It is the
 * attachment of the request frame, 8 bytes, little endian, from 1 to 2^53 - 1; a batch has one for
 * all of its keys. Masters that do not know it step over it.
 *
 * Look-ups have {@linkcode KNOWS_CHECKSUMS} or {@linkcode TAKES_HOLDS} in its place.
 */
import type { Writer } from "../struct_pack/writer.ts";

export const WRITE_ID_BYTES = 8;

/**
 * The number of look-ups whose sender tells checksums of clients of ours from others. Who sends none
 * is not shown them: the reference's clients would check them by their own rule.
 */
export const KNOWS_CHECKSUMS = 1;

/** The number of look-ups whose sender, besides, takes a hold on what it is told; see `read_hold.ts`. */
export const TAKES_HOLDS = 2;

export function appendWriteId(writer: Writer, writeId: number): void {
  writer.u64Number(writeId);
}

/** The number in `bytes[start, end)`, -1 when there is none. */
export function readWriteId(bytes: Uint8Array, start: number, end: number): number {
  if (end - start !== WRITE_ID_BYTES) return -1;
  let high = 0;
  let low = 0;
  for (let i = 3; i >= 0; i--) {
    low = low * 256 + bytes[start + i];
    high = high * 256 + bytes[start + 4 + i];
  }
  const writeId = high * 2 ** 32 + low;
  return writeId > 0 && Number.isSafeInteger(writeId) ? writeId : -1;
}
