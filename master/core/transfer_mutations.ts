/** Applying the facts of transfers. */
import type { FactReader } from "./fact_reader.ts";
import { startTransfer } from "./mutations.ts";
import { knownClient } from "./restore.ts";
import type { CoreState } from "./state.ts";
import type { TransferKind } from "./transfers.ts";

/** A transfer of an object begins. Its number, if it has one, comes with the next fact. */
export function applyTransfer(state: CoreState, slot: number, reader: FactReader): void {
  const kind = reader.u8() as TransferKind;
  const client = knownClient(state, reader);
  const startMs = reader.time();
  const source = reader.f64();
  const leaseId = reader.text();
  const versionEpoch = reader.f64();
  const size = reader.f64();
  const targets = Array.from({ length: reader.u32() }, () => reader.f64());
  if (slot === 0 || state.transfers.transfers.has(slot)) return;
  const number = 0;
  startTransfer(state, {
    ...{ slot, kind, client, startMs, source, targets, leaseId, versionEpoch, size, number },
  });
}

/** The number of a transfer that has just begun. */
export function applyTransferNumber(state: CoreState, slot: number, reader: FactReader): void {
  const number = reader.f64();
  const transfer = state.transfers.transfers.get(slot);
  if (transfer === undefined) return;
  transfer.number = number;
  state.facts?.transferNumbered(transfer);
}
