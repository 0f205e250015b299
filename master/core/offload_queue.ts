import { Counter } from "./counters.ts";
import { byteText } from "./key_pattern.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import type { CoreState } from "./state.ts";
import type { Transfer } from "./transfers.ts";

/** Forgets that an object is to be written to disk: the source replica is not read any more. */
export function cancelOffload(state: CoreState, slot: number): void {
  const offload = state.transfers.offloads.get(slot);
  if (offload === undefined) return;
  state.transfers.offloads.delete(slot);
  if (offload.forEviction) state.offloadingBytes -= offload.bytes;
  state.disks.of(offload.client)?.offloads.delete(slot);
  const { replicas } = state;
  let source = state.objects.link(slot, ObjectLink.REPLICA);
  while (source !== 0 && replicas.id(source) !== offload.source) source = replicas.next(source);
  if (source !== 0) replicas.setPins(source, replicas.pins(source) - 1);
  state.objects.clear(slot, ObjectFlag.OFFLOAD);
}

/**
 * Forgets the offload of an object that is going away. If its owner is writing it to disk at this
 * moment, what it will report must not bring the object back.
 */
export function abandonOffload(state: CoreState, slot: number): void {
  const offload = state.transfers.offloads.get(slot);
  if (offload === undefined) return;
  if (!isOffloadQueued(state, slot)) {
    const { objects } = state;
    const name = offloadName(offload.client, objects.tenant(slot), objects.key(slot));
    state.transfers.unwanted.set(name, offload.startMs);
  }
  cancelOffload(state, slot);
}

/** Whether a report is about an object that went away while it was written; once. */
export function isUnwanted(
  state: CoreState,
  client: number,
  tenant: number,
  key: Uint8Array,
): boolean {
  const { unwanted } = state.transfers;
  return unwanted.size > 0 && unwanted.delete(offloadName(client, tenant, key));
}

function offloadName(client: number, tenant: number, key: Uint8Array): string {
  return `${client}:${tenant}:${byteText(key)}`;
}

/** Whether the client that is to store the object has yet to fetch the request. */
export function isOffloadQueued(state: CoreState, slot: number): boolean {
  const offload = state.transfers.offloads.get(slot);
  return offload !== undefined && (state.disks.of(offload.client)?.offloads.has(slot) ?? false);
}

/** Takes a promotion that is over out of the queue of the client that was to do it. */
export function cancelPromotion(state: CoreState, transfer: Transfer): void {
  state.disks.of(transfer.client)?.promotions.delete(transfer.slot);
  state.counters.add(Counter.PROMOTIONS_IN_FLIGHT, -1);
}
