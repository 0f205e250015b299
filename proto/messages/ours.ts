/**
 * Calls that the reference does not have. Their function ids are of names of our own, so a master that
 * does not know one answers that the function is not registered.
 */
import {
  bool,
  bytes,
  type Expected,
  expected,
  nothing,
  struct,
  text,
  u64,
  uuid,
  vector,
} from "../struct_pack/schema.ts";
import type { ObjectMeta, ReplicaDescriptor, ReplicateConfig, Uuid } from "../types.ts";
import { ourRpc, type Rpc } from "./rpc.ts";
import { objectMeta, replicaDescriptor, replicateConfig } from "./values.ts";

/** What a client has seen of a store lately. */
export interface PeerReport {
  /** As descriptors name it. */
  endpoint: string;
  /** It did not answer, or was slower than another one three times; `false` = it worked. */
  suspected: boolean;
}

export interface PeerReportsRequest {
  clientId: Uuid;
  peers: PeerReport[];
}

/** Tells the master which stores work for a client and which do not. INVALID_PARAMS. */
export const ReportPeers: Rpc<PeerReportsRequest, Expected<null>> = ourRpc(
  "ReportPeers",
  {
    clientId: uuid,
    peers: vector(struct<PeerReport>({ endpoint: text, suspected: bool })),
  },
  expected(nothing),
);

/** The end of a put, and what to reserve for the next one. The number of the ended write is attached. */
export interface EndAndReserveRequest {
  clientId: Uuid;
  objectMeta: ObjectMeta;
  /**
   * The value was written into memory that was reserved under the number, which no `PutStart` has
   * begun; `false` = into that of the write of the key that has it.
   */
  reserved: boolean;
  /** The number of the write to reserve memory for, 0 = of none. */
  nextWriteId: number;
  /** Bytes of that write, and how it is to be placed. */
  sliceLength: number;
  config: ReplicateConfig;
  tenantId: Uint8Array;
}

/** Memory for a put to come. */
export interface ReservedMemory {
  /** Empty = there is none. */
  replicas: ReplicaDescriptor[];
  /** Milliseconds from the request within which it must begin to be written. */
  useWithinMs: number;
}

export interface GivenBack {
  writeId: number;
  /** Bytes may have been sent there. */
  written: boolean;
}

export interface GiveBackRequest {
  clientId: Uuid;
  reservations: GivenBack[];
  tenantId: Uint8Array;
}

/**
 * Ends a put as `PutEnd` does, and reserves memory for the next one if that hurts nobody; for a put
 * that failed nothing is reserved. Errors are those of `PutStart` and `PutEnd`; `INVALID_WRITE` also
 * when the reservation is not known, and after `OBJECT_ALREADY_EXISTS` it is as it was.
 */
export const EndAndReserve: Rpc<EndAndReserveRequest, Expected<ReservedMemory>> = ourRpc(
  "EndAndReserve",
  {
    clientId: uuid,
    objectMeta,
    reserved: bool,
    nextWriteId: u64,
    sliceLength: u64,
    config: replicateConfig,
    tenantId: bytes,
  },
  expected(struct<ReservedMemory>({ replicas: vector(replicaDescriptor), useWithinMs: u64 })),
);

/** Gives reservations back; those that are not known are passed over. */
export const GiveBack: Rpc<GiveBackRequest, Expected<null>> = ourRpc(
  "GiveBack",
  {
    clientId: uuid,
    reservations: vector(struct<GivenBack>({ writeId: u64, written: bool })),
    tenantId: bytes,
  },
  expected(nothing),
);
