import type { RegisteredMemory } from "../memory.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { Content } from "./content.ts";
import type { Piece } from "./manifest.ts";

/** Content in arrays of the caller, which must not be detached until it is withdrawn. */
export class MemoryContent implements Content {
  readonly #engine: TransferEngine;
  readonly #arrays: readonly Uint8Array[];
  readonly #memory: readonly RegisteredMemory[];

  private constructor(
    engine: TransferEngine,
    arrays: readonly Uint8Array[],
    memory: readonly RegisteredMemory[],
  ) {
    this.#engine = engine;
    this.#arrays = arrays;
    this.#memory = memory;
  }

  /** Errors as `TransferEngine.registerMemory`. */
  static async open(
    engine: TransferEngine,
    arrays: readonly Uint8Array[],
  ): Promise<MemoryContent> {
    const memory = await engine.registerMemoryBatch(arrays.filter(({ length }) => length > 0));
    return new MemoryContent(engine, arrays, memory);
  }

  get addresses(): readonly bigint[] {
    return this.#memory.map(({ address }) => address);
  }

  mayHave(): boolean {
    return false;
  }

  read({ file, offset, length }: Piece, target: Uint8Array): Promise<void> {
    target.set(this.#arrays[file].subarray(offset, offset + length));
    return Promise.resolve();
  }

  write({ file, offset }: Piece, bytes: Uint8Array): Promise<void> {
    this.#arrays[file].set(bytes, offset);
    return Promise.resolve();
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  changed(): Promise<string | null> {
    return Promise.resolve(null);
  }

  async close(): Promise<void> {
    await this.#engine.unregisterMemoryBatch(this.#memory).catch(() => {});
  }
}
