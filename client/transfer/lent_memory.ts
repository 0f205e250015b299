import type { AllocateOptions, LentMemory, Region, TransferEngine } from "./engine.ts";

/** Memory that is allocated, and where; see {@linkcode AllocateOptions}. */
export interface WantedMemory extends Pick<AllocateOptions, "location" | "placement"> {
  /** Bytes. */
  readonly length: number;
}

/** What is lent to peers: bytes to allocate, how to allocate them, or memory of the caller. */
export type MemoryToLend = number | WantedMemory | LentMemory;

/** Makes a published region. Errors as `TransferEngine.allocate` and `TransferEngine.adopt`. */
export function publishedRegion(engine: TransferEngine, memory: MemoryToLend): Region {
  const publish = true;
  if (typeof memory === "number") return engine.allocate(memory, { publish });
  if (memory instanceof Uint8Array || "address" in memory) return engine.adopt(memory, { publish });
  const { length, location, placement } = memory;
  return engine.allocate(length, {
    publish,
    ...(location && { location }),
    ...(placement && { placement }),
  });
}
