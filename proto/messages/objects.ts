/** Calls that look objects up, write them and remove them. */
import { readHold } from "../coro_rpc/read_hold.ts";
import {
  bool,
  bytes,
  type Expected,
  expected,
  i32,
  i64,
  nothing,
  pairs,
  type Schema,
  text,
  u64,
  uuid,
  vector,
} from "../struct_pack/schema.ts";
import type {
  ObjectMeta,
  ReplicaDescriptor,
  ReplicaList,
  ReplicateConfig,
  Uuid,
} from "../types.ts";
import { type Rpc, rpc } from "./rpc.ts";
import { objectMeta, replicaDescriptor, replicaList, replicateConfig } from "./values.ts";

export interface KeyRequest {
  key: Uint8Array;
  tenantId: Uint8Array;
}

export interface KeysRequest {
  keys: Uint8Array[];
  tenantId: Uint8Array;
}

export interface RegexRequest {
  /** ECMAScript syntax, searched for anywhere in a key. */
  regex: string;
  tenantId: Uint8Array;
}

export interface StartRequest {
  clientId: Uuid;
  key: Uint8Array;
  /** Bytes. */
  sliceLength: number;
  config: ReplicateConfig;
  tenantId: Uint8Array;
}

export interface BatchStartRequest {
  clientId: Uuid;
  keys: Uint8Array[];
  /** Bytes, one per key. */
  sliceLengths: number[];
  config: ReplicateConfig;
  tenantId: Uint8Array;
}

export interface EndRequest {
  clientId: Uuid;
  objectMeta: ObjectMeta;
  /** A `ReplicaType`. */
  replicaType: number;
  tenantId: Uint8Array;
}

export interface BatchEndRequest {
  clientId: Uuid;
  objectMetas: ObjectMeta[];
  /** A `ReplicaType`. */
  replicaType: number;
  tenantId: Uint8Array;
}

export interface BatchUpsertEndRequest {
  clientId: Uuid;
  objectMetas: ObjectMeta[];
  tenantId: Uint8Array;
}

export interface RevokeRequest {
  clientId: Uuid;
  key: Uint8Array;
  /** A `ReplicaType`. */
  replicaType: number;
  tenantId: Uint8Array;
}

export interface BatchRevokeRequest {
  clientId: Uuid;
  keys: Uint8Array[];
  /** A `ReplicaType`. */
  replicaType: number;
  tenantId: Uint8Array;
}

export interface BatchUpsertRevokeRequest {
  clientId: Uuid;
  keys: Uint8Array[];
  tenantId: Uint8Array;
}

export interface RemoveRequest {
  key: Uint8Array;
  /** Remove although it is leased. */
  force: boolean;
  tenantId: Uint8Array;
}

export interface BatchRemoveRequest {
  keys: Uint8Array[];
  force: boolean;
  tenantId: Uint8Array;
}

export interface RemoveByRegexRequest {
  regex: string;
  force: boolean;
  tenantId: Uint8Array;
}

export interface RemoveAllRequest {
  force: boolean;
  tenantId: Uint8Array;
}

export interface BatchReplicaClearRequest {
  objectKeys: Uint8Array[];
  clientId: Uuid;
  /** Empty = on every segment. */
  segmentName: string;
}

export interface EvictDiskReplicaRequest {
  clientId: Uuid;
  key: Uint8Array;
  tenantId: Uint8Array;
  /** A `ReplicaType`. */
  replicaType: number;
}

export interface BatchEvictDiskReplicaRequest {
  clientId: Uuid;
  keys: Uint8Array[];
  tenantId: Uint8Array;
  /** A `ReplicaType`. */
  replicaType: number;
}

const done: Schema<Expected<null>> = expected(nothing);
const allDone: Schema<Expected<null>[]> = vector(done);
const keys: Schema<Uint8Array[]> = vector(bytes);
const replicas: Schema<ReplicaDescriptor[]> = vector(replicaDescriptor);
const start = {
  clientId: uuid,
  key: bytes,
  sliceLength: u64,
  config: replicateConfig,
  tenantId: bytes,
};
const batchStart = {
  clientId: uuid,
  keys,
  sliceLengths: vector(u64),
  config: replicateConfig,
  tenantId: bytes,
};
const end = { clientId: uuid, objectMeta, replicaType: i32, tenantId: bytes };
const revoke = { clientId: uuid, key: bytes, replicaType: i32, tenantId: bytes };

export const ExistKey: Rpc<KeyRequest, Expected<boolean>> = rpc(
  "ExistKey",
  { key: bytes, tenantId: bytes },
  expected(bool),
);
export const BatchExistKey: Rpc<KeysRequest, Expected<boolean>[]> = rpc(
  "BatchExistKey",
  { keys, tenantId: bytes },
  vector(expected(bool)),
);
export const GetReplicaList: Rpc<KeyRequest, Expected<ReplicaList>> = {
  ...rpc("GetReplicaList", { key: bytes, tenantId: bytes }, expected(replicaList)),
  attach: ({ value }, bytes, start, end) => takeHold(value, bytes, start, end, 0),
};
export const BatchGetReplicaList: Rpc<KeysRequest, Expected<ReplicaList>[]> = {
  ...rpc("BatchGetReplicaList", { keys, tenantId: bytes }, vector(expected(replicaList))),
  attach: (lists, bytes, start, end) =>
    lists.forEach(({ value }, i) => takeHold(value, bytes, start, end, i)),
};
export const GetReplicaListByRegex: Rpc<
  RegexRequest,
  Expected<[Uint8Array, ReplicaDescriptor[]][]>
> = rpc(
  "GetReplicaListByRegex",
  { regex: text, tenantId: bytes },
  expected(pairs(bytes, replicas)),
);

export const PutStart: Rpc<StartRequest, Expected<ReplicaDescriptor[]>> = rpc(
  "PutStart",
  start,
  expected(replicas),
);
export const PutEnd: Rpc<EndRequest, Expected<null>> = rpc("PutEnd", end, done);
export const PutRevoke: Rpc<RevokeRequest, Expected<null>> = rpc("PutRevoke", revoke, done);
export const BatchPutStart: Rpc<BatchStartRequest, Expected<ReplicaDescriptor[]>[]> = rpc(
  "BatchPutStart",
  batchStart,
  vector(expected(replicas)),
);
export const BatchPutEnd: Rpc<BatchEndRequest, Expected<null>[]> = rpc(
  "BatchPutEnd",
  { clientId: uuid, objectMetas: vector(objectMeta), replicaType: i32, tenantId: bytes },
  allDone,
);
export const BatchPutRevoke: Rpc<BatchRevokeRequest, Expected<null>[]> = rpc(
  "BatchPutRevoke",
  { clientId: uuid, keys, replicaType: i32, tenantId: bytes },
  allDone,
);

export const UpsertStart: Rpc<StartRequest, Expected<ReplicaDescriptor[]>> = rpc(
  "UpsertStart",
  start,
  expected(replicas),
);
export const UpsertEnd: Rpc<EndRequest, Expected<null>> = rpc("UpsertEnd", end, done);
export const UpsertRevoke: Rpc<RevokeRequest, Expected<null>> = rpc("UpsertRevoke", revoke, done);
export const BatchUpsertStart: Rpc<BatchStartRequest, Expected<ReplicaDescriptor[]>[]> = rpc(
  "BatchUpsertStart",
  batchStart,
  vector(expected(replicas)),
);
export const BatchUpsertEnd: Rpc<BatchUpsertEndRequest, Expected<null>[]> = rpc(
  "BatchUpsertEnd",
  { clientId: uuid, objectMetas: vector(objectMeta), tenantId: bytes },
  allDone,
);
export const BatchUpsertRevoke: Rpc<BatchUpsertRevokeRequest, Expected<null>[]> = rpc(
  "BatchUpsertRevoke",
  { clientId: uuid, keys, tenantId: bytes },
  allDone,
);

export const Remove: Rpc<RemoveRequest, Expected<null>> = rpc(
  "Remove",
  { key: bytes, force: bool, tenantId: bytes },
  done,
);
export const BatchRemove: Rpc<BatchRemoveRequest, Expected<null>[]> = rpc(
  "BatchRemove",
  { keys, force: bool, tenantId: bytes },
  allDone,
);
/** Answers how many objects were removed. */
export const RemoveByRegex: Rpc<RemoveByRegexRequest, Expected<number>> = rpc(
  "RemoveByRegex",
  { regex: text, force: bool, tenantId: bytes },
  expected(i64),
);
/** Answers how many objects were removed, without room for an error. */
export const RemoveAll: Rpc<RemoveAllRequest, number> = rpc(
  "RemoveAll",
  { force: bool, tenantId: bytes },
  i64,
);

/** Answers the keys that were cleared. */
export const BatchReplicaClear: Rpc<BatchReplicaClearRequest, Expected<Uint8Array[]>> = rpc(
  "BatchReplicaClear",
  { objectKeys: keys, clientId: uuid, segmentName: text },
  expected(keys),
);
export const EvictDiskReplica: Rpc<EvictDiskReplicaRequest, Expected<null>> = rpc(
  "EvictDiskReplica",
  { clientId: uuid, key: bytes, tenantId: bytes, replicaType: i32 },
  done,
);
export const BatchEvictDiskReplica: Rpc<BatchEvictDiskReplicaRequest, Expected<null>[]> = rpc(
  "BatchEvictDiskReplica",
  { clientId: uuid, keys, tenantId: bytes, replicaType: i32 },
  allDone,
);

/** Enters what a response promises about its key `i`. */
function takeHold(
  list: ReplicaList | null,
  bytes: Uint8Array,
  start: number,
  end: number,
  i: number,
): void {
  if (list !== null) list.holdMs = readHold(bytes, start, end, i);
}
