import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import { formatSize } from "./size.ts";
import { errorText } from "./transfer/error_text.ts";
import type { DeviceMemory, Region, TransferEngine } from "./transfer/engine.ts";

const GRAIN = 4096;

/**
 * Native memory of a client that values are stored from and read into; disposing it gives it back.
 *
 * @example
 * ```ts ignore
 * using buffer = client.allocateBuffer(1 << 20);
 * const length = await client.getInto("layer/0", buffer);
 * console.log(buffer.bytes.subarray(0, length ?? 0));
 * ```
 */
export interface StoreBuffer extends Disposable {
  /** Bytes. */
  readonly length: number;
  /** The memory itself; `TypeError` once it was given back, and for memory of a device. */
  readonly bytes: Uint8Array;
  /** Set for memory of a device: where it lies, and copies from and to it. */
  readonly device: DeviceMemory | null;
  /** A part of the memory. `RangeError` when it reaches beyond the buffer. */
  slice(offset: number, length: number): BufferSlice;
}

/**
 * A part of a {@linkcode StoreBuffer}.
 *
 * @example
 * ```ts ignore
 * using buffer = client.allocateBuffer(1 << 20);
 * await client.put("layer/0", buffer.slice(4096, 8192));
 * ```
 */
export interface BufferSlice {
  /** The memory that this is a part of. */
  readonly buffer: StoreBuffer;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** What {@linkcode BufferPool} lends. */
export class PooledBuffer implements StoreBuffer {
  readonly length: number;
  readonly #region: Region;
  #giveBack: (() => void) | null;

  constructor(region: Region, length: number, giveBack: () => void) {
    this.#region = region;
    this.length = length;
    this.#giveBack = giveBack;
  }

  get bytes(): Uint8Array {
    return this.region.bytes.subarray(0, this.length);
  }

  get device(): DeviceMemory | null {
    return this.region.device ?? null;
  }

  /** The region of the engine that holds it; `TypeError` once it was given back. */
  get region(): Region {
    if (this.#giveBack === null) throw new TypeError("The buffer was given back");
    return this.#region;
  }

  slice(offset: number, length: number): PooledSlice {
    const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 &&
      length >= 0 && offset + length <= this.length;
    if (!inside) {
      throw new RangeError(`${length} bytes from ${offset} of a buffer of ${this.length} bytes`);
    }
    return new PooledSlice(this, offset, length);
  }

  [Symbol.dispose](): void {
    this.#giveBack?.();
    this.#giveBack = null;
  }
}

/** Part of a {@linkcode PooledBuffer}. */
export class PooledSlice implements BufferSlice {
  constructor(
    readonly buffer: PooledBuffer,
    readonly offset: number,
    readonly length: number,
  ) {}
}

/**
 * Private native memory of a client, up to a limit. Memory that was given back is kept and lent
 * again, since registering memory costs more than using it.
 */
export class BufferPool implements Disposable {
  readonly #engine: TransferEngine;
  readonly #capacity: number;
  readonly #idle = new Map<number, Region[]>();
  readonly #lent = new Set<Region>();
  #reserved = 0;

  /** `capacity` is the limit in bytes. */
  constructor(engine: TransferEngine, capacity: number) {
    this.#engine = engine;
    this.#capacity = capacity;
  }

  /**
   * Lends `length` bytes, whose contents are whatever was there before. `RangeError` for a length
   * that is not a positive integer, `StoreError` with `BUFFER_OVERFLOW` above the limit.
   */
  allocate(length: number): PooledBuffer {
    if (!Number.isSafeInteger(length) || length < 1) {
      throw new RangeError(`A buffer of ${length} bytes cannot be allocated: allowed: 1 or more`);
    }
    const size = Math.ceil(length / GRAIN) * GRAIN;
    const region = this.#idle.get(size)?.pop() ?? this.#create(size, length);
    this.#lent.add(region);
    return new PooledBuffer(region, length, () => this.#takeBack(region));
  }

  /**
   * Lends memory of a device, which counts towards no limit and goes back to the device: new memory,
   * or with `address` the caller's own. `RangeError` for a bad length, `StoreError` with
   * `INVALID_PARAMS` when it cannot be had.
   */
  allocateOn(location: string, length: number, address?: bigint): PooledBuffer {
    let region: Region;
    try {
      region = this.#engine.allocate(length, {
        location,
        ...(address !== undefined && { address }),
      });
    } catch (cause) {
      if (cause instanceof RangeError) throw cause;
      throw new StoreError(ErrorCode.INVALID_PARAMS, errorText(cause), { cause });
    }
    this.#lent.add(region);
    return new PooledBuffer(region, length, () => {
      if (this.#lent.delete(region)) region[Symbol.dispose]();
    });
  }

  /** Frees all memory, lent or not. */
  [Symbol.dispose](): void {
    this.#freeIdle();
    for (const region of this.#lent) region[Symbol.dispose]();
    this.#lent.clear();
    this.#reserved = 0;
  }

  #create(size: number, length: number): Region {
    if (this.#reserved + size > this.#capacity) this.#freeIdle();
    if (this.#reserved + size > this.#capacity) {
      throw new StoreError(
        ErrorCode.BUFFER_OVERFLOW,
        `Cannot allocate a buffer of ${formatSize(length)}: ${formatSize(this.#reserved)} of the ` +
          `local buffer of ${formatSize(this.#capacity)} are in use`,
      );
    }
    const region = this.#engine.allocate(size);
    this.#reserved += size;
    return region;
  }

  #takeBack(region: Region): void {
    if (!this.#lent.delete(region)) return;
    const idle = this.#idle.get(region.length);
    if (idle === undefined) this.#idle.set(region.length, [region]);
    else idle.push(region);
  }

  #freeIdle(): void {
    for (const regions of this.#idle.values()) {
      for (const region of regions) {
        this.#reserved -= region.length;
        region[Symbol.dispose]();
      }
    }
    this.#idle.clear();
  }
}
