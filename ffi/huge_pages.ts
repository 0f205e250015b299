import type { Library } from "./library.ts";

/** Address space that is reserved at once; memory is taken 2 MiB at a time, as it is used. */
const CHUNK_BYTES = 256 << 20;
const ALIGNMENT = 4096;

/**
 * Memory in huge pages, for tables of many millions of records: random access in ordinary pages
 * misses the processor's address translation nearly every time. What was taken stays for the life of
 * the process. Where the system has no huge pages, or no more room, it is ordinary memory.
 */
export class HugePages {
  readonly #library: Pick<Library, "symbols">;
  #chunk: Deno.PointerObject | null = null;
  #position = CHUNK_BYTES;

  constructor(library: Pick<Library, "symbols">) {
    this.#library = library;
  }

  /** `bytes` of zeros. */
  take(bytes: number): ArrayBuffer {
    const length = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    if (length > CHUNK_BYTES) return new ArrayBuffer(bytes);
    if (this.#position + length > CHUNK_BYTES) {
      this.#chunk = this.#library.symbols.mc_memory_reserve(BigInt(CHUNK_BYTES));
      if (this.#chunk === null) return new ArrayBuffer(bytes);
      this.#position = 0;
    }
    const buffer = Deno.UnsafePointerView.getArrayBuffer(this.#chunk!, bytes, this.#position);
    this.#position += length;
    return buffer;
  }
}
