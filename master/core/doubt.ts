import { FactReader } from "./fact_reader.ts";
import { FactKind } from "./facts.ts";
import type { CoreState } from "./state.ts";

/** Facts after which an object is read as something that was not there before them. */
const MAKE_READABLE: ReadonlySet<number> = new Set([
  FactKind.WRITE_ENDED,
  FactKind.WRITE_ENDED_CHECKED,
  FactKind.REPLICA_COMPLETED,
  FactKind.REPLICA_ENDPOINT,
  FactKind.TRANSFER_ENDED,
]);

/**
 * Slots of the objects that can be read because of facts, each with its length (u32) in front: what
 * nobody may see while these facts may still be taken back.
 */
export function madeReadable(
  { objects, config }: CoreState,
  framed: readonly Uint8Array[],
): Set<number> {
  const slots = new Set<number>();
  for (const bytes of framed) {
    const reader = new FactReader(bytes, 0, bytes.length, config.epochOffsetMs);
    for (let at = 0; at < bytes.length;) {
      reader.moveTo(at, bytes.length);
      const start = at + 4;
      at = start + reader.u32();
      reader.moveTo(start, at);
      if (!MAKE_READABLE.has(reader.u8())) continue;
      const tenant = reader.u16();
      const key = reader.key();
      if (!reader.isReserved) slots.add(objects.find(tenant, key, 0, key.length));
    }
  }
  slots.delete(0);
  return slots;
}
