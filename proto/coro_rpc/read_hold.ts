/**
 * What a master of ours promises with the answer to a look-up whose sender takes holds: for so many
 * milliseconds from then on nothing makes stale what the answer says of an object. It is the attachment
 * of the response frame: a u32, little endian, with the milliseconds, and, unless that is true of every
 * key that was found, a bit for each key of the request, the lowest of the first byte first, which is set
 * where it is not. Without an attachment nothing is promised.
 */
import type { Writer } from "../struct_pack/writer.ts";

const MS_BYTES = 4;

/** Longest attachment of this kind that is read: of a look-up of half a million keys. */
export const MAX_READ_HOLD_BYTES = 64 << 10;

/** Gathers what is promised of the keys of one look-up, in order. */
export class ReadHoldWriter {
  #ms = 0;
  #count = 0;
  #bits = new Uint8Array(8);
  #refused = false;

  /** Begins anew, with `count` keys of which nothing is promised. */
  reset(count: number): void {
    const bytes = (count + 7) >> 3;
    if (this.#bits.length < bytes) this.#bits = new Uint8Array(2 * bytes);
    else if (this.#refused) this.#bits.fill(0);
    this.#ms = 0;
    this.#count = count;
    this.#refused = false;
  }

  /** What is promised of key `i`, which was found; 0 = nothing. */
  add(i: number, ms: number): void {
    if (ms > 0) this.#ms = ms;
    else {
      this.#bits[i >> 3] |= 1 << (i & 7);
      this.#refused = true;
    }
  }

  /** Appends the attachment and returns its length: 0 when there is nothing to tell. */
  write(writer: Writer): number {
    const bytes = (this.#count + 7) >> 3;
    if (this.#ms === 0 || MS_BYTES + bytes > MAX_READ_HOLD_BYTES) return 0;
    writer.u32(this.#ms);
    if (!this.#refused) return MS_BYTES;
    writer.raw(this.#bits, 0, bytes);
    return MS_BYTES + bytes;
  }
}

/** Milliseconds that the attachment `bytes[start, end)` promises of key `i`; 0 = nothing. */
export function readHold(bytes: Uint8Array, start: number, end: number, i: number): number {
  if (end - start < MS_BYTES) return 0;
  const at = start + MS_BYTES + (i >> 3);
  if (end - start > MS_BYTES && (at >= end || (bytes[at] >> (i & 7) & 1) !== 0)) return 0;
  return (bytes[start] | bytes[start + 1] << 8 | bytes[start + 2] << 16 |
    bytes[start + 3] << 24) >>> 0;
}
