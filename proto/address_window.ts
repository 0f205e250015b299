/**
 * Windows of remote addresses: in each of them the published memory of a node of ours is the same. A
 * writer that stopped is kept out of the window that it was given, while the next one is given the
 * memory in another. See `docs/decisions/0010-fencing-a-writer-needs-its-address.md`.
 */

/** Bits of an address below its window. */
export const WINDOW_SHIFT = 49;
export const WINDOWS = 8;
/** From one window to the next. */
export const WINDOW_BYTES = 2 ** WINDOW_SHIFT;

/** An address without its window; those of other systems, which have none, stay as they are. */
export function withoutWindow(address: bigint): bigint {
  const window = address >> BigInt(WINDOW_SHIFT);
  return window < BigInt(WINDOWS) ? BigInt.asUintN(WINDOW_SHIFT, address) : address;
}

/** What a node attaches to FetchTasks to say that it keeps writers out when told so. */
export const FENCES_WRITERS = 1;
