import { type BufferSlice, PooledBuffer, PooledSlice, type StoreBuffer } from "./buffer_pool.ts";
import { describe } from "./key.ts";
import type { Region } from "./transfer/engine.ts";

/**
 * Memory that values are stored from and read into: ordinary bytes, or native memory from
 * `StoreClient.allocateBuffer`. It is used in place, without a copy, so it must not change until the
 * operation has settled.
 *
 * @example
 * ```ts ignore
 * const target: Memory = new Uint8Array(1 << 20);
 * const length = await client.getInto("layer/0", target);
 * ```
 */
export type Memory = Uint8Array | StoreBuffer | BufferSlice;

/**
 * A value in one piece, or in several that are stored one after the other.
 *
 * @example
 * ```ts ignore
 * const value: Value = [header, body];
 * await client.put("layer/0", value);
 * ```
 */
export type Value = Memory | readonly Memory[];

/** A contiguous part of a value in the form that the engine takes. */
export interface Slice {
  readonly local: Region | Uint8Array;
  readonly localOffset: number;
  readonly length: number;
}

/**
 * Checks memory and describes it for the engine. `TypeError` for what is no memory, for shared and
 * resizable memory, which can change under way, and for memory that was given back.
 */
export function sliceOf(memory: Memory, what: string): Slice {
  if (memory instanceof Uint8Array) {
    const { buffer } = memory;
    if (!(buffer instanceof ArrayBuffer)) {
      throw new TypeError(`${what} lies in shared memory: copy it into memory of its own`);
    }
    if (buffer.resizable) {
      throw new TypeError(`${what} lies in a resizable buffer: copy it into memory of its own`);
    }
    return { local: memory, localOffset: 0, length: memory.length };
  }
  if (memory instanceof PooledBuffer) {
    return { local: memory.region, localOffset: 0, length: memory.length };
  }
  if (memory instanceof PooledSlice) {
    return { local: memory.buffer.region, localOffset: memory.offset, length: memory.length };
  }
  throw new TypeError(`${what} is a Uint8Array or a client's buffer, not ${describe(memory)}`);
}

/** Checks a value and describes its pieces for the engine; errors as {@linkcode sliceOf}. */
export function slicesOf(value: Value): Slice[] {
  if (!Array.isArray(value)) return [sliceOf(value as Memory, "A value")];
  return value.map((part) => sliceOf(part, "A part of a value")).filter(({ length }) => length > 0);
}

/** Bytes of all slices. */
export function totalLength(slices: readonly Slice[]): number {
  let length = 0;
  for (const slice of slices) length += slice.length;
  return length;
}
