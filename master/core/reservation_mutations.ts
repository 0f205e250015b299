/** What changes durable state of reservations, beside the mutations of every write. */
import type { FactReader } from "./fact_reader.ts";
import type { CoreState } from "./state.ts";

/**
 * Gives the object of a reserved write its key, `bytes[start, end)`, which must be free; its hash is
 * in `state.request`. The write goes on under the key.
 */
export function nameWrite(
  state: CoreState,
  slot: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  state.facts?.writeNamed(slot, bytes, start, end);
  state.objects.nameReserved(slot, state.request.hash, bytes, start, end);
}

/** Applies the fact of {@linkcode nameWrite}; `slot` 0 = it was applied before. */
export function applyNamed(state: CoreState, slot: number, reader: FactReader): void {
  const { objects, request } = state;
  if (!reader.isReserved) throw reader.malformed("an object that has a key gets another one");
  const key = reader.blob();
  if (slot === 0) return;
  if (key.length === 0) throw reader.malformed("a key is empty");
  if (objects.find(objects.tenant(slot), key, 0, key.length) !== 0) {
    throw reader.malformed("a write gets a key that another object has");
  }
  request.hash = objects.lastHash;
  nameWrite(state, slot, key, 0, key.length);
}
