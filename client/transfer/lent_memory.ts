import type { AllocateOptions, LentMemory, Region, TransferEngine } from "./engine.ts";

/** Memory that is allocated, and where; see {@linkcode AllocateOptions}. */
export interface WantedMemory extends Pick<AllocateOptions, "location" | "placement" | "address"> {
  /** Bytes. */
  readonly length: number;
}

/** What is lent to peers: bytes to allocate, how to allocate them, or memory of the caller. */
export type MemoryToLend = number | WantedMemory | LentMemory;

/** Makes a published region. Errors as `TransferEngine.allocate` and `TransferEngine.adopt`. */
export function publishedRegion(engine: TransferEngine, memory: MemoryToLend): Region {
  const publish = true;
  if (typeof memory === "number") return engine.allocate(memory, { publish });
  if (memory instanceof Uint8Array || isOnHost(memory)) return engine.adopt(memory, { publish });
  const { length, location, placement, address } = memory;
  return engine.allocate(length, {
    publish,
    ...(location && { location }),
    ...(address !== undefined && { address }),
    ...(placement && { placement }),
  });
}

/** Whether it is memory of the caller that no device has. */
function isOnHost(memory: WantedMemory | Exclude<LentMemory, Uint8Array>): memory is Exclude<
  LentMemory,
  Uint8Array
> {
  return memory.address !== undefined && !("location" in memory && memory.location);
}
