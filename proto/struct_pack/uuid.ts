/** The 16 bytes of a {@linkcode Uuid}: two little-endian unsigned 64-bit halves. */
import type { Uuid } from "../types.ts";
import type { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

const TWO_32 = 0x1_0000_0000;
const ZERO = 0x30;
const DASH = 0x2d;

/** The id that nobody owns. */
export const NIL_UUID: Uuid = "0-0";

/** The id that was written last, and its bytes: a client writes its own again and again. */
let lastId: Uuid | null = null;
const lastBytes = new Uint8Array(16);

/** Appends an id. `RangeError` when the text is not two canonical decimal 64-bit numbers. */
export function writeUuid(writer: Writer, id: Uuid): void {
  if (id === lastId) return writer.raw(lastBytes);
  const start = writer.length;
  const dash = writeHalf(writer, id, 0);
  const valid = dash > 0 && id.charCodeAt(dash) === DASH &&
    writeHalf(writer, id, dash + 1) === id.length;
  if (!valid) {
    writer.truncate(start);
    throw new RangeError(`${JSON.stringify(id)} is not an id of the form "<u64>-<u64>"`);
  }
  lastBytes.set(writer.bytes.subarray(start));
  lastId = id;
}

/** The 16 bytes of an id. `RangeError` as {@linkcode writeUuid}. */
export function uuidBytes(id: Uuid): Uint8Array {
  const writer = new Writer();
  writeUuid(writer, id);
  return writer.bytes.slice();
}

/** Reads the text form of an id. */
export function readUuid(reader: Reader): Uuid {
  const first = readHalf(reader);
  return `${first}-${readHalf(reader)}`;
}

/** The text form of an id given as two unsigned 64-bit halves. */
export function formatUuid(first: bigint, second: bigint): Uuid {
  return `${BigInt.asUintN(64, first)}-${BigInt.asUintN(64, second)}`;
}

/** Appends the decimal number at `at` and returns the index after it, or -1 when it is malformed. */
function writeHalf(writer: Writer, text: string, at: number): number {
  let low = 0;
  let high = 0;
  let i = at;
  for (; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) break;
    const sum = low * 10 + digit;
    low = sum >>> 0;
    high = high * 10 + (sum - low) / TWO_32;
    if (high >= TWO_32) return -1;
  }
  const leadingZero = text.charCodeAt(at) === ZERO && i - at > 1;
  if (i === at || leadingZero) return -1;
  writer.u32(low);
  writer.u32(high);
  return i;
}

function readHalf(reader: Reader): string {
  const low = reader.u32();
  const high = reader.u32();
  const sum = high * TWO_32 + low;
  return high < 0x20_0000 ? String(sum) : String((BigInt(high) << 32n) | BigInt(low));
}
