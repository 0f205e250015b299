import type { NativeEngine, NativeMemory } from "../../ffi/native_engine.ts";
import type { DeviceMemory, HostMemory, Region } from "./engine.ts";

/** A region outside the JavaScript heap, or on a device. */
export class NativeRegion implements Region {
  readonly #engine: NativeEngine;
  readonly #memory: NativeMemory;
  readonly #onDispose: () => void;
  #disposed = false;
  readonly id: number;
  readonly length: number;
  readonly remoteBase: bigint | null;
  readonly device?: DeviceMemory;
  readonly host?: HostMemory;

  /** `onDispose` runs once, before the memory is withdrawn. */
  constructor(
    engine: NativeEngine,
    memory: NativeMemory,
    place: { device?: DeviceMemory; host?: HostMemory },
    onDispose: () => void,
  ) {
    this.#engine = engine;
    this.#memory = memory;
    this.#onDispose = onDispose;
    this.id = memory.id;
    this.length = memory.length;
    this.remoteBase = memory.remoteBase;
    if (place.device) this.device = place.device;
    if (place.host) this.host = place.host;
  }

  get bytes(): Uint8Array {
    const { bytes } = this.#memory;
    if (bytes === null) {
      throw new TypeError(`Memory of ${this.device?.location} cannot be touched: read copies it`);
    }
    return this.#disposed ? new Uint8Array(0) : bytes;
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
