import type { Uuid } from "../../proto/types.ts";
import type { Rng } from "./api.ts";

/** Bytes of an id on the wire: two little-endian unsigned 64-bit halves. */
export const UUID_BYTES = 16;

/** Writes the wire form of an id to `bytes[at, at + 16)`; `false` when the text is malformed. */
export function writeUuidBytes(id: Uuid, bytes: Uint8Array, at: number): boolean {
  const halves = /^(\d{1,20})-(\d{1,20})$/.exec(id);
  if (halves === null) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, UUID_BYTES);
  for (let i = 0; i < 2; i++) {
    const half = BigInt(halves[1 + i]);
    if (half >> 64n !== 0n) return false;
    view.setBigUint64(8 * i, half, true);
  }
  return true;
}

/** The text form of the id at `bytes[at, at + 16)`. */
export function readUuidBytes(bytes: Uint8Array, at: number): Uuid {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, UUID_BYTES);
  return `${view.getBigUint64(0, true)}-${view.getBigUint64(8, true)}`;
}

/** A random id. */
export function randomUuid(rng: Rng): Uuid {
  const half = () => BigInt(rng.u32()) << 32n | BigInt(rng.u32());
  return `${half()}-${half()}`;
}
