import type { filesSymbols } from "./files_symbols.ts";
import { openLibrary } from "./library.ts";
import type { NativeEngine } from "./native_engine.ts";
import { NativeError } from "./native_error.ts";

/** The part of the loaded shim for segments of files. */
export type FilesLibrary = Deno.DynamicLibrary<typeof filesSymbols>["symbols"];

const WHY_BYTES = 512;
const FAILURE_BYTES = 512;

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

function pathBytes(path: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${path}\0`);
}

/** Segments of files of a native engine (`mc/files.h`). Lives as long as its engine. */
export class NativeFiles {
  readonly #library: FilesLibrary;
  readonly #engine: NativeEngine;

  constructor(library: FilesLibrary, engine: NativeEngine) {
    this.#library = library;
    this.#engine = engine;
  }

  /** Bytes of a block device or file. `Error` with one line when it is none. */
  static measure(path: string): number {
    const library = openLibrary();
    if ("unavailable" in library) throw new Error(library.unavailable);
    const length = new BigUint64Array(1);
    const why = new Uint8Array(WHY_BYTES);
    try {
      const { mc_files_measure: measure } = library.symbols;
      const bytes = new Uint8Array(length.buffer);
      const result = measure(pathBytes(path), bytes, why, WHY_BYTES);
      if (result < 0) throw new Error(textOf(why) || new NativeError("", -result).message);
      return Number(length[0]);
    } finally {
      library.close();
    }
  }

  /** Adds the first bytes of a file to a segment. `Error` with one line when that cannot be. */
  add(segment: number, path: string, length: number): void {
    const why = new Uint8Array(WHY_BYTES);
    const result = this.#library.mc_files_add(
      this.#engine.pointer,
      segment,
      pathBytes(path),
      BigInt(length),
      why,
      WHY_BYTES,
    );
    if (result < 0) {
      throw new Error(textOf(why) || new NativeError("mc_files_add", -result).message);
    }
  }

  /** One line on the last failure of a segment's files; empty = there was none. */
  failureOf(segment: number): string {
    const text = new Uint8Array(FAILURE_BYTES);
    const result = this.#library.mc_files_failure(
      this.#engine.pointer,
      segment,
      text,
      FAILURE_BYTES,
    );
    return result < 0 ? "" : textOf(text);
  }
}
