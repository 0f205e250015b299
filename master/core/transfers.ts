import type { Uuid } from "../../proto/types.ts";
import type { Writer } from "./api.ts";

/** The lease of a transfer that dynamic replication has not asked for. */
export const NO_LEASE: Uuid = "0-0";

export const TransferKind = { COPY: 0, MOVE: 1, PROMOTION: 2 } as const;
export type TransferKind = (typeof TransferKind)[keyof typeof TransferKind];

/** A copy, move or promotion of an object between its start and its end. */
export interface Transfer {
  readonly slot: number;
  readonly kind: TransferKind;
  /** The client that does it. */
  readonly client: number;
  startMs: number;
  /** Ids of the replica that is read and of those that are written. */
  readonly source: number;
  readonly targets: number[];
  /** Of a dynamic replication; "0-0" and 0 otherwise. */
  readonly leaseId: Uuid;
  readonly versionEpoch: number;
  /** Bytes that a promotion was admitted for. */
  readonly size: number;
  /** The client's number of it, which its end and its revoke bear, too; 0 = it has none. */
  number: number;
}

/** Whether a call by `writer` is about this transfer, and not about an earlier one of the object. */
export function isTransferBy({ client, number }: Transfer, writer: Writer): boolean {
  return client === writer.client && number === writer.writeId;
}

/** A request to the owner of a replica to write the object to its disk. */
export interface Offload {
  readonly slot: number;
  /** Id of the memory replica that is read. */
  readonly source: number;
  readonly startMs: number;
  /** The client in whose queue the object was put. */
  readonly client: number;
  /** Memory that the object occupies. */
  readonly bytes: number;
  /** It was asked for instead of an eviction. */
  readonly forEviction: boolean;
}

/** Transfers and offloads by object, in the order of their starts; at most one of each per object. */
export class TransferTable {
  readonly transfers = new Map<number, Transfer>();
  readonly offloads = new Map<number, Offload>();
  /** Offloads whose objects went away while they were written to disk, and when they started. */
  readonly unwanted = new Map<string, number>();

  /** The transfer that started first, or `null`. */
  get oldest(): Transfer | null {
    for (const transfer of this.transfers.values()) return transfer;
    return null;
  }

  /** The offload that started first, or `null`. */
  get oldestOffload(): Offload | null {
    for (const offload of this.offloads.values()) return offload;
    return null;
  }
}
