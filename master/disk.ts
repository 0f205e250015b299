import { DiskSyncer } from "../ffi/disk_syncer.ts";
import type { Library } from "../ffi/library.ts";
import { type BackgroundSync, RuntimeSync } from "./journal/background_sync.ts";

/**
 * What a journal's files go to the disk by: the shim, or the runtime where there is none. Throws a
 * `NativeError` without a thread.
 */
export function diskSync(library: Library | null): BackgroundSync & Disposable {
  return library === null ? new RuntimeSync() : new DiskSyncer(library);
}
