import { Errno } from "./errno.ts";
import type { Library } from "./library.ts";
import { checked, NativeError } from "./native_error.ts";

/** The end of a journal file, to which groups are appended (`mc/tail.h`). One thread uses it. */
export class JournalTail {
  readonly #symbols: Library["symbols"];
  readonly #handle: Deno.PointerValue;
  /** For a {@linkcode DiskSyncer}. */
  readonly descriptor: number;

  /** Opens an existing file that is to hold about so many bytes. Throws a `NativeError`. */
  constructor(library: Pick<Library, "symbols">, path: string, expectedBytes: number) {
    const { symbols } = library;
    const name = new TextEncoder().encode(`${path}\0`);
    const out = new BigUint64Array(1);
    checked("mc_tail_open", symbols.mc_tail_open(name, BigInt(expectedBytes), out));
    this.#symbols = symbols;
    this.#handle = Deno.UnsafePointer.create(out[0]);
    this.descriptor = symbols.mc_tail_descriptor(this.#handle);
  }

  /**
   * Fills in the header of a group, which is room in front of its facts, and appends it: whole, or not
   * at all when it throws.
   */
  append(group: Uint8Array<ArrayBuffer>, sequence: number): void {
    const code = this.#symbols.mc_tail_append(this.#handle, group, group.length, sequence);
    if (code === 0) return;
    if (code === -Errno.ENOSPC) throw new Error("no space is left on the disk");
    throw new NativeError("append", -code);
  }

  /** Gives room back that was taken ahead. No round may use its descriptor. */
  close(): void {
    this.#symbols.mc_tail_close(this.#handle);
  }
}
