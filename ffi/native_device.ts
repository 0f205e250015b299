import type { deviceSymbols } from "./device_symbols.ts";
import { LAYOUT } from "./layout.ts";
import type { NativeEngine } from "./native_engine.ts";
import { checked } from "./native_error.ts";

/** The device part of the loaded shim. */
export type DeviceLibrary = Deno.DynamicLibrary<typeof deviceSymbols>["symbols"];

/** A device that memory can be had of; it stays open as long as the process lives. */
export interface NativeDevice {
  id: number;
  /** `cuda:0`, `npu:0`. */
  location: string;
  /** As its driver gives it. */
  name: string;
  /** What the code for this kind of device has been run on. */
  standing: string;
}

const WHY_BYTES = 256;
const LOCATION_BYTES = LAYOUT["mc_device_info.name"] - LAYOUT["mc_device_info.location"];

function textAt(bytes: Uint8Array, start: number): string {
  return new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)));
}

/** Opens a device by its location. `Error` with one line that says what is missing or refused. */
export function openDevice(library: DeviceLibrary, location: string): NativeDevice {
  const path = new TextEncoder().encode(`${location}\0`);
  const info = new Uint8Array(LAYOUT["sizeof mc_device_info"]);
  const why = new Uint8Array(WHY_BYTES);
  if (path.length > LOCATION_BYTES || path.indexOf(0) !== path.length - 1) {
    throw new Error(`${JSON.stringify(location)} is no device: allowed: cuda:N, npu:N`);
  }
  const id = library.mc_device_open(path, info, why, why.length);
  if (id < 0) {
    throw new Error(`${JSON.stringify(location)} cannot be used: ${textAt(why, 0)}`);
  }
  return {
    id,
    location,
    name: textAt(info, LAYOUT["mc_device_info.name"]),
    standing: textAt(info, LAYOUT["mc_device_info.standing"]),
  };
}

/**
 * Bytes of a region that cannot be touched from here: copied through pinned memory. Everything has
 * been done when a method returns; it throws `NativeError` when the region is gone or the device
 * fails.
 */
export class NativeDeviceBytes {
  readonly #library: DeviceLibrary;
  readonly #engine: NativeEngine;
  readonly #region: number;

  constructor(library: DeviceLibrary, engine: NativeEngine, region: number) {
    this.#library = library;
    this.#engine = engine;
    this.#region = region;
  }

  /** Copies from `offset` on into `target`. */
  read(offset: number, target: Uint8Array): void {
    const result = this.#library.mc_region_load(
      this.#engine.pointer,
      this.#region,
      BigInt(offset),
      BigInt(target.length),
      target as Uint8Array<ArrayBuffer>,
    );
    checked("mc_region_load", result);
  }

  /** Copies `source` to `offset`. */
  write(offset: number, source: Uint8Array): void {
    const result = this.#library.mc_region_store(
      this.#engine.pointer,
      this.#region,
      BigInt(offset),
      BigInt(source.length),
      source as Uint8Array<ArrayBuffer>,
    );
    checked("mc_region_store", result);
  }

  /** CRC-32C of `[start, end)`; `seed` is that of the bytes before. */
  crc32c(start: number, end: number, seed: number): number {
    const crc = Uint32Array.of(seed);
    const result = this.#library.mc_region_crc32c(
      this.#engine.pointer,
      this.#region,
      BigInt(start),
      BigInt(end - start),
      crc,
    );
    checked("mc_region_crc32c", result);
    return crc[0];
  }
}
