import { nativeCrc32c } from "../ffi/crc32c.ts";
import { DiskSyncer } from "../ffi/disk_syncer.ts";
import type { Library } from "../ffi/library.ts";
import { type BackgroundSync, RuntimeSync } from "./journal/background_sync.ts";
import { type Crc32c, crc32c } from "../proto/crc32c.ts";

/** Below so many bytes a call into the shim costs more than it spares. */
const NATIVE_CHECKSUM_BYTES = 512;

/** What a journal takes from the machine it runs on. */
export interface DiskParts extends Disposable {
  readonly sync: BackgroundSync;
  readonly checksum: Crc32c;
}

/** By the shim, or by the runtime where there is none. Throws a `NativeError` without a thread. */
export function diskParts(library: Library | null): DiskParts {
  if (library === null) return { sync: new RuntimeSync(), checksum: crc32c, [Symbol.dispose]() {} };
  const syncer = new DiskSyncer(library);
  const native = nativeCrc32c(library);
  return {
    sync: syncer,
    checksum(bytes, start, end, seed) {
      const short = end - start < NATIVE_CHECKSUM_BYTES;
      return short ? crc32c(bytes, start, end, seed) : native(bytes, start, end, seed);
    },
    [Symbol.dispose]: () => syncer[Symbol.dispose](),
  };
}
