import { WINDOWS } from "../../proto/address_window.ts";
import { NIL_UUID } from "../../proto/struct_pack/uuid.ts";
import { Counter } from "./counters.ts";
import type { CoreState } from "./state.ts";
import { randomUuid } from "./uuid.ts";

/** Ranges of one segment that writers are kept out of at once: each allocation looks at all. */
const MAX_RANGES = 1024;

/**
 * Orders that a vanished writer be kept out of an extent that has just been held because of it, when
 * the extent's owner can do that. `writer` is a client, 0 = it is not known.
 */
export function orderFence(state: CoreState, extent: number, ticket: number, writer: number): void {
  const { segments, extents, clients, fenceOrders, counters, rng } = state;
  const { owner, allocator } = segments.at(extents.segment(extent));
  if (!clients.has(owner) || !clients.get(owner).fencesWriters || fenceOrders.full) return;
  if (extents.window(extent) + 1 >= WINDOWS) return;
  if (allocator.fences !== null && allocator.fences.all.length >= MAX_RANGES) return;
  fenceOrders.add({
    id: randomUuid(rng),
    owner,
    writer: writer === 0 ? NIL_UUID : clients.get(writer).uuid,
    extent,
    ticket,
  });
  counters.add(Counter.FENCES_ORDERED, 1);
}
