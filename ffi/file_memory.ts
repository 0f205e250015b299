import { LAYOUT } from "./layout.ts";
import { openLibrary } from "./library.ts";
import { Struct } from "./native_engine.ts";
import { NativeError } from "./native_error.ts";

const WHY_BYTES = 256;

/** In the order of their numbers in C. */
const KINDS = ["file", "file on DAX", "DAX device"] as const;

/** A file behind the page cache, one that is mapped without, or a device. */
export type FileMemoryKind = (typeof KINDS)[number];

/**
 * The start of a DAX device or of a file as memory of this process (`mc/file_memory.h`), or of a file
 * to be read, which keeps what is stored in the memory from it.
 */
export class FileMemory implements Disposable {
  /** Of the first byte. */
  readonly address: bigint;
  readonly kind: FileMemoryKind;
  readonly #unmap: () => void;
  #open = true;

  /** `Error` with one line when it cannot be had. */
  constructor(readonly path: string, readonly length: number, readOnly = false) {
    const library = openLibrary();
    if ("unavailable" in library) throw new Error(library.unavailable);
    const memory = new Struct("mc_file_memory");
    const why = new Uint8Array(WHY_BYTES);
    const name = new TextEncoder().encode(`${path}\0`);
    const { mc_file_memory_unmap: unmap } = library.symbols;
    const symbol = readOnly ? "mc_file_view_map" : "mc_file_memory_map";
    const result = library.symbols[symbol](name, BigInt(length), memory.bytes, why, WHY_BYTES);
    if (result < 0) {
      library.close();
      const text = new TextDecoder().decode(why.subarray(0, why.indexOf(0)));
      throw new Error(text || new NativeError(symbol, -result).message);
    }
    this.address = memory.read("address");
    this.kind = KINDS[memory.view.getUint32(LAYOUT["mc_file_memory.kind"], true)];
    this.#unmap = () => {
      unmap(memory.bytes);
      library.close();
    };
  }

  /** Ends it, when nothing uses the memory any more. May be called twice. */
  [Symbol.dispose](): void {
    if (this.#open) this.#unmap();
    this.#open = false;
  }
}
