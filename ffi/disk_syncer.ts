import { DISK_MAX_FILES } from "./disk_symbols.ts";
import { JournalTail } from "./journal_tail.ts";
import type { Library } from "./library.ts";
import { checked, NativeError } from "./native_error.ts";

/**
 * Brings files to the disk in a thread of the shim (`mc/disk.h`): the calling thread neither waits nor
 * needs a turn of its event loop to learn that a round is over. One thread uses it.
 */
export class DiskSyncer implements Disposable {
  readonly #library: Pick<Library, "symbols">;
  readonly #descriptors = new Int32Array(DISK_MAX_FILES);
  #handle: Deno.PointerValue;
  /** A round's end is learnt by asking, without a turn of the event loop. */
  readonly needsTurns = false;

  /** Throws a `NativeError` when there is no thread to be had. */
  constructor(library: Pick<Library, "symbols">) {
    this.#library = library;
    const out = new BigUint64Array(1);
    checked("mc_disk_syncer_open", library.symbols.mc_disk_syncer_open(out));
    this.#handle = Deno.UnsafePointer.create(out[0]);
  }

  /** Opens an existing journal file that is to hold about so many bytes. Throws a `NativeError`. */
  open(path: string, expectedBytes: number): JournalTail {
    return new JournalTail(this.#library, path, expectedBytes);
  }

  /**
   * Begins a round: what was written to the files before is on the disk when it is over. No other
   * round may be going on, and the files stay open until it is over.
   */
  begin(files: readonly JournalTail[]): void {
    if (files.length > DISK_MAX_FILES) throw new NativeError("mc_disk_sync_begin", 22);
    files.forEach(({ descriptor }, i) => this.#descriptors[i] = descriptor);
    const { symbols } = this.#library;
    const code = symbols.mc_disk_sync_begin(this.#handle, this.#descriptors, files.length);
    checked("mc_disk_sync_begin", code);
  }

  /** How the round ended: `null` = all is on the disk, `undefined` = it goes on. */
  outcome(): Error | null | undefined {
    return this.#answer(this.#library.symbols.mc_disk_sync_result(this.#handle));
  }

  /** Waits until no round goes on. */
  wait(): void {
    this.#library.symbols.mc_disk_sync_wait(this.#handle);
  }

  [Symbol.dispose](): void {
    if (this.#handle === null) return;
    this.#library.symbols.mc_disk_syncer_close(this.#handle);
    this.#handle = null;
  }

  #answer(code: number): Error | null | undefined {
    if (code > 0) return undefined;
    return code === 0 ? null : new NativeError("fdatasync", -code);
  }
}
