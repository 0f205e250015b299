import type { Region } from "../client/transfer/engine.ts";
import { EngineCode, EngineError } from "./engine_code.ts";

/**
 * Memory to register: an array, which must not be detached (`transfer`, `postMessage`) until it is
 * unregistered; or the address of memory outside of JavaScript, which must stay mapped until then.
 */
export type ExternalMemory = Uint8Array | {
  /** Address in this process, as of `Deno.UnsafePointer.value`. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  /** The device whose memory it is, such as `cuda:0`; default memory of the host. */
  readonly location?: string;
};

/** Memory that peers may read and write. */
export interface RegisteredMemory {
  /** The bytes; of length 0 once the memory is unregistered. `TypeError` for memory of a device. */
  readonly bytes: Uint8Array;
  /** Address at which peers reach the first byte; not its address in this process. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

/** The memory that one engine has registered. */
export class MemoryTable {
  readonly #regions = new Map<RegisteredMemory, Region>();
  readonly #external = new Map<RegisteredMemory, ExternalMemory>();

  /** Every region. */
  get size(): number {
    return this.#regions.size;
  }

  /** Refuses memory that is registered already, in whole or in part. */
  checkApart(memories: readonly (number | ExternalMemory)[]): void {
    const external = memories.filter((memory) => typeof memory !== "number");
    const others = [...this.#external.values()];
    for (const memory of external) {
      if (others.some((other) => overlap(memory, other))) {
        const message = `${memory.length} bytes are registered already, in whole or in part`;
        throw new EngineError(EngineCode.ADDRESS_OVERLAPPED, message);
      }
      others.push(memory);
    }
  }

  /** Notes a region that was made of `source`. */
  add(region: Region, source: number | ExternalMemory): RegisteredMemory {
    const memory: RegisteredMemory = {
      get bytes() {
        return region.bytes;
      },
      address: region.remoteBase ?? 0n,
      length: region.length,
    };
    this.#regions.set(memory, region);
    if (typeof source !== "number") this.#external.set(memory, source);
    return memory;
  }

  /** The region of registered memory. `ADDRESS_NOT_REGISTERED` when it is not (any more). */
  regionOf(memory: RegisteredMemory): Region {
    const region = this.#regions.get(memory);
    if (region !== undefined) return region;
    const message = "The memory is not registered with this engine, or not any more";
    throw new EngineError(EngineCode.ADDRESS_NOT_REGISTERED, message);
  }

  /** Forgets registered memory and returns its region; errors as {@linkcode regionOf}. */
  remove(memory: RegisteredMemory): Region {
    const region = this.regionOf(memory);
    this.#regions.delete(memory);
    this.#external.delete(memory);
    return region;
  }
}

function overlap(a: ExternalMemory, b: ExternalMemory): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return a.buffer === b.buffer && a.byteOffset < b.byteOffset + b.length &&
      b.byteOffset < a.byteOffset + a.length;
  }
  if (a instanceof Uint8Array || b instanceof Uint8Array) return false;
  return a.address < b.address + BigInt(b.length) && b.address < a.address + BigInt(a.length);
}
