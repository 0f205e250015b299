import type { Library } from "./library.ts";

/**
 * CRC-32C of `bytes[start, end)` by the shim, with the processor's instruction (`mc/crc32c.h`);
 * `seed` is the checksum of the bytes before them.
 */
export function nativeCrc32c(
  { symbols }: Pick<Library, "symbols">,
): (bytes: Uint8Array, start: number, end: number, seed?: number) => number {
  return (bytes, start, end, seed = 0) => {
    const part = bytes.subarray(start, end) as Uint8Array<ArrayBuffer>;
    return symbols.mc_crc32c(seed, part, BigInt(part.length));
  };
}
