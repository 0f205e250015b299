import { Errno, errnoName } from "../../ffi/errno.ts";
import { type DeviceLibrary, NativeDeviceBytes, openDevice } from "../../ffi/native_device.ts";
import type { NativeEngine, NativeMemory } from "../../ffi/native_engine.ts";
import { NativeError } from "../../ffi/native_error.ts";
import type { AllocateOptions, DeviceMemory } from "./engine.ts";

const reasons = new Map<number, string>([
  [Errno.ENOMEM, "it has not that much free memory"],
  [Errno.EFAULT, "the address is not memory of that device"],
  [
    Errno.EOPNOTSUPP,
    "its driver or an RDMA device has no dma-buf for it, or the transport has a library of its own",
  ],
]);

/** Registers memory of a device. `Error` with one line that says why that cannot be had. */
export function registerOnDevice(
  library: DeviceLibrary,
  engine: NativeEngine,
  length: number,
  { location = "", address, publish = false }: AllocateOptions,
): { memory: NativeMemory; device: DeviceMemory } {
  const { id, name, standing } = openDevice(library, location);
  let memory: NativeMemory;
  try {
    memory = engine.register(length, {
      publish,
      device: { id, ...(address !== undefined && { address }) },
    });
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    const reason = reasons.get(error.errno) ?? errnoName(error.errno);
    throw new Error(`${length} bytes of ${location} cannot be had: ${reason}`, { cause: error });
  }
  const bytes = new NativeDeviceBytes(library, engine, memory.id);
  const inside = (offset: number, count: number) => {
    if (Number.isSafeInteger(offset) && offset >= 0 && offset + count <= length) return;
    throw new RangeError(`${count} bytes from ${offset} of ${length} bytes of ${location}`);
  };
  return {
    memory,
    device: {
      ...{ location, name, standing, address: memory.address },
      read(offset, target) {
        inside(offset, target.length);
        if (target.length > 0) bytes.read(offset, target);
      },
      write(offset, source) {
        inside(offset, source.length);
        if (source.length > 0) bytes.write(offset, source);
      },
      crc32c(start, end, seed) {
        inside(start, end - start);
        return bytes.crc32c(start, end, seed);
      },
    },
  };
}
