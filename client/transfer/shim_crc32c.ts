import { nativeCrc32c } from "../../ffi/crc32c.ts";
import type { Library } from "../../ffi/library.ts";
import { type Crc32c, crc32c } from "../../proto/crc32c.ts";

/** Bytes from which a checksum by the shim is worth the call. */
const SHIM_BYTES = 512;

/** CRC-32C by the shim, while that `isOpen`, and in TypeScript where it is not worth the call. */
export function shimCrc32c(library: Library, isOpen: () => boolean): Crc32c {
  const native = nativeCrc32c(library);
  return (bytes, start, end, seed) =>
    (end - start >= SHIM_BYTES && isOpen() ? native : crc32c)(bytes, start, end, seed);
}
