import type { NativeEngine, NativeMemory } from "../../ffi/native_engine.ts";
import type { Region } from "./engine.ts";

/** A region outside the JavaScript heap. */
export class NativeRegion implements Region {
  readonly #engine: NativeEngine;
  readonly #memory: NativeMemory;
  readonly #onDispose: () => void;
  #disposed = false;
  readonly id: number;
  readonly length: number;
  readonly remoteBase: bigint | null;

  /** `onDispose` runs once, before the memory is withdrawn. */
  constructor(engine: NativeEngine, memory: NativeMemory, onDispose: () => void) {
    this.#engine = engine;
    this.#memory = memory;
    this.#onDispose = onDispose;
    this.id = memory.id;
    this.length = memory.bytes.length;
    this.remoteBase = memory.remoteBase;
  }

  get bytes(): Uint8Array {
    return this.#disposed ? new Uint8Array(0) : this.#memory.bytes;
  }

  async populate(): Promise<void> {
    if (this.#disposed) throw new Error("The region is disposed");
    await this.#engine.populate(this.id);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#onDispose();
    this.#engine.unregister(this.#memory);
  }
}
