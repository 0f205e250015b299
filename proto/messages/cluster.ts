/** Calls of clients about themselves and the memory and disks they lend. */
import {
  bool,
  bytes,
  type Expected,
  expected,
  i32,
  i64,
  map,
  nothing,
  type Schema,
  text,
  u64,
  uuid,
  vector,
} from "../struct_pack/schema.ts";
import type {
  NoFSegment,
  NoFSegmentOwnerInfo,
  OffloadTaskItem,
  PingResponse,
  PromotionAllocStartResponse,
  Segment,
  StorageConfig,
  StorageObjectMetadata,
  Uuid,
} from "../types.ts";
import { bareRpc, type Rpc, rpc } from "./rpc.ts";
import {
  nofSegment,
  nofSegmentOwnerInfo,
  offloadTaskItem,
  pingResponse,
  promotionAllocStartResponse,
  segment,
  storageConfig,
  storageObjectMetadata,
} from "./values.ts";

export interface ClientRequest {
  clientId: Uuid;
}

export interface ClientsRequest {
  clientIds: Uuid[];
}

export interface MountSegmentRequest {
  segment: Segment;
  clientId: Uuid;
}

export interface MountNoFSegmentRequest {
  segment: NoFSegment;
  clientId: Uuid;
}

export interface ReMountSegmentRequest {
  segments: Segment[];
  clientId: Uuid;
}

export interface ReMountNoFSegmentRequest {
  segments: NoFSegment[];
  clientId: Uuid;
}

export interface UnmountSegmentRequest {
  segmentId: Uuid;
  clientId: Uuid;
}

export interface GracefulUnmountSegmentRequest {
  segmentId: Uuid;
  clientId: Uuid;
  gracePeriodMs: number;
}

export interface SegmentNameRequest {
  segmentName: string;
}

export interface SegmentIdRequest {
  segmentId: Uuid;
}

export interface OffloadingRequest {
  clientId: Uuid;
  enableOffloading: boolean;
}

export interface ReportSsdCapacityRequest {
  clientId: Uuid;
  ssdTotalCapacityBytes: number;
}

export interface NotifyOffloadSuccessRequest {
  clientId: Uuid;
  tasks: OffloadTaskItem[];
  /** One per task. */
  metadatas: StorageObjectMetadata[];
}

export interface PromotionAllocStartRequest {
  clientId: Uuid;
  key: Uint8Array;
  tenantId: Uint8Array;
  /** Bytes. */
  size: number;
  preferredSegments: string[];
}

export interface ClientKeyRequest {
  clientId: Uuid;
  key: Uint8Array;
  tenantId: Uint8Array;
}

const done: Schema<Expected<null>> = expected(nothing);
const taskItems: Schema<OffloadTaskItem[]> = vector(offloadTaskItem);

/** Answers the version that clients compare with their own. */
export const ServiceReady: Rpc<null, Expected<string>> = bareRpc("ServiceReady", expected(text));
export const Ping: Rpc<ClientRequest, Expected<PingResponse>> = rpc(
  "Ping",
  { clientId: uuid },
  expected(pingResponse),
);
export const GetFsdir: Rpc<null, Expected<string>> = bareRpc("GetFsdir", expected(text));
export const GetStorageConfig: Rpc<null, Expected<StorageConfig>> = bareRpc(
  "GetStorageConfig",
  expected(storageConfig),
);
/** Answers the addresses of each client that lends memory. */
export const BatchQueryIp: Rpc<ClientsRequest, Expected<Map<Uuid, string[]>>> = rpc(
  "BatchQueryIp",
  { clientIds: vector(uuid) },
  expected(map(uuid, vector(text))),
);

export const MountSegment: Rpc<MountSegmentRequest, Expected<null>> = rpc(
  "MountSegment",
  { segment, clientId: uuid },
  done,
);
export const ReMountSegment: Rpc<ReMountSegmentRequest, Expected<null>> = rpc(
  "ReMountSegment",
  { segments: vector(segment), clientId: uuid },
  done,
);
export const UnmountSegment: Rpc<UnmountSegmentRequest, Expected<null>> = rpc(
  "UnmountSegment",
  { segmentId: uuid, clientId: uuid },
  done,
);
export const GracefulUnmountSegment: Rpc<GracefulUnmountSegmentRequest, Expected<null>> = rpc(
  "GracefulUnmountSegment",
  { segmentId: uuid, clientId: uuid, gracePeriodMs: u64 },
  done,
);
/** Answers a `SegmentStatus`. */
export const QuerySegmentStatus: Rpc<SegmentNameRequest, Expected<number>> = rpc(
  "QuerySegmentStatus",
  { segmentName: text },
  expected(i32),
);
/** Answers a `SegmentStatus`. */
export const QuerySegmentStatusById: Rpc<SegmentIdRequest, Expected<number>> = rpc(
  "QuerySegmentStatusById",
  { segmentId: uuid },
  expected(i32),
);

export const MountNoFSegment: Rpc<MountNoFSegmentRequest, Expected<null>> = rpc(
  "MountNoFSegment",
  { segment: nofSegment, clientId: uuid },
  done,
);
export const ReMountNoFSegment: Rpc<ReMountNoFSegmentRequest, Expected<null>> = rpc(
  "ReMountNoFSegment",
  { segments: vector(nofSegment), clientId: uuid },
  done,
);
export const UnmountNoFSegment: Rpc<UnmountSegmentRequest, Expected<null>> = rpc(
  "UnmountNoFSegment",
  { segmentId: uuid, clientId: uuid },
  done,
);
export const GetAllNoFSegments: Rpc<null, Expected<NoFSegment[]>> = bareRpc(
  "GetAllNoFSegments",
  expected(vector(nofSegment)),
);
export const GetNoFSegmentsByName: Rpc<SegmentNameRequest, Expected<NoFSegmentOwnerInfo[]>> = rpc(
  "GetNoFSegmentsByName",
  { segmentName: text },
  expected(vector(nofSegmentOwnerInfo)),
);

export const MountLocalDiskSegment: Rpc<OffloadingRequest, Expected<null>> = rpc(
  "MountLocalDiskSegment",
  { clientId: uuid, enableOffloading: bool },
  done,
);
export const UnmountLocalDiskSegment: Rpc<ClientRequest, Expected<null>> = rpc(
  "UnmountLocalDiskSegment",
  { clientId: uuid },
  done,
);
export const OffloadObjectHeartbeat: Rpc<OffloadingRequest, Expected<OffloadTaskItem[]>> = rpc(
  "OffloadObjectHeartbeat",
  { clientId: uuid, enableOffloading: bool },
  expected(taskItems),
);
export const ReportSsdCapacity: Rpc<ReportSsdCapacityRequest, Expected<null>> = rpc(
  "ReportSsdCapacity",
  { clientId: uuid, ssdTotalCapacityBytes: i64 },
  done,
);
export const NotifyOffloadSuccess: Rpc<NotifyOffloadSuccessRequest, Expected<null>> = rpc(
  "NotifyOffloadSuccess",
  { clientId: uuid, tasks: taskItems, metadatas: vector(storageObjectMetadata) },
  done,
);
/** Answers true once after everything on this client's disks was removed. */
export const PollRemoveAll: Rpc<ClientRequest, Expected<boolean>> = rpc(
  "PollRemoveAll",
  { clientId: uuid },
  expected(bool),
);
export const PromotionObjectHeartbeat: Rpc<ClientRequest, Expected<OffloadTaskItem[]>> = rpc(
  "PromotionObjectHeartbeat",
  { clientId: uuid },
  expected(taskItems),
);
export const PromotionAllocStart: Rpc<
  PromotionAllocStartRequest,
  Expected<PromotionAllocStartResponse>
> = rpc(
  "PromotionAllocStart",
  { clientId: uuid, key: bytes, tenantId: bytes, size: u64, preferredSegments: vector(text) },
  expected(promotionAllocStartResponse),
);
export const NotifyPromotionSuccess: Rpc<ClientKeyRequest, Expected<null>> = rpc(
  "NotifyPromotionSuccess",
  { clientId: uuid, key: bytes, tenantId: bytes },
  done,
);
export const NotifyPromotionFailure: Rpc<ClientKeyRequest, Expected<null>> = rpc(
  "NotifyPromotionFailure",
  { clientId: uuid, key: bytes, tenantId: bytes },
  done,
);
