/**
 * Values that travel between clients, store nodes and the master, as plain data.
 *
 * Keys and tenant ids are bytes. Sizes, offsets, ids and times are `number` (safe integers);
 * virtual addresses are `bigint` because a peer may use all 64 bits. A {@linkcode Uuid} is text.
 */

/** Two unsigned 64-bit halves in the reference's text form, `"<first>-<second>"`, decimal. */
export type Uuid = string;

/** Where a replica lives. Wire values. */
export const ReplicaType = {
  MEMORY: 0,
  DISK: 1,
  LOCAL_DISK: 2,
  NOF_SSD: 3,
  ALL: 4,
  DFS: 100,
} as const;
export type ReplicaType = (typeof ReplicaType)[keyof typeof ReplicaType];

export const ReplicaStatus = {
  UNDEFINED: 0,
  INITIALIZED: 1,
  PROCESSING: 2,
  COMPLETE: 3,
  REMOVED: 4,
  FAILED: 5,
} as const;
export type ReplicaStatus = (typeof ReplicaStatus)[keyof typeof ReplicaStatus];

export const ClientStatus = { UNDEFINED: 0, OK: 1, NEED_REMOUNT: 2 } as const;
export type ClientStatus = (typeof ClientStatus)[keyof typeof ClientStatus];

export const SegmentStatus = {
  UNDEFINED: 0,
  OK: 1,
  DRAINING: 2,
  DRAINED: 3,
  GRACEFULLY_UNMOUNTING: 4,
  UNMOUNTING: 5,
} as const;
export type SegmentStatus = (typeof SegmentStatus)[keyof typeof SegmentStatus];

export const SoftPinAction = { PRESERVE: 0, ENABLE: 1, DISABLE: 2 } as const;
export type SoftPinAction = (typeof SoftPinAction)[keyof typeof SoftPinAction];

export const ObjectDataType = {
  UNKNOWN: 0,
  KVCACHE: 1,
  TENSOR: 2,
  WEIGHT: 3,
  SAMPLE: 4,
  ACTIVATION: 5,
  GRADIENT: 6,
  OPTIMIZER_STATE: 7,
  METADATA: 8,
  GENERAL: 9,
} as const;
export type ObjectDataType = (typeof ObjectDataType)[keyof typeof ObjectDataType];

export const TaskType = { REPLICA_COPY: 0, REPLICA_MOVE: 1 } as const;
export type TaskType = (typeof TaskType)[keyof typeof TaskType];

export const TaskStatus = { PENDING: 0, PROCESSING: 1, FAILED: 2, SUCCESS: 3 } as const;
export type TaskStatus = (typeof TaskStatus)[keyof typeof TaskStatus];

/** Memory that a client lends to the pool. `teEndpoint` is where its transfer engine is reached. */
export interface Segment {
  id: Uuid;
  name: string;
  /** Address of the first byte as its owner advertises it; opaque to everybody else. */
  base: bigint;
  size: number;
  teEndpoint: string;
  protocol: string;
  hostId: string;
}

export interface NoFSegment {
  id: Uuid;
  name: string;
  base: bigint;
  size: number;
  teEndpoint: string;
}

export interface NoFSegmentOwnerInfo {
  segmentId: Uuid;
  clientId: Uuid;
}

export interface ObjectMeta {
  key: Uint8Array;
  objectChecksum: bigint | null;
}

/** How an object is placed and kept. */
export interface ReplicateConfig {
  replicaNum: number;
  nofReplicaNum: number;
  dfsReplicaNum: number;
  softPinAction: number;
  /** Milliseconds; `null` = the master's default. */
  softPinTtlMs: number | null;
  withHardPin: boolean;
  preferredSegments: string[];
  preferredSegment: string;
  preferredNofSegments: string[];
  preferAllocInSameNode: boolean;
  dataType: number;
  hostId: string;
  /** One group per key, or `null`. */
  groupIds: Uint8Array[] | null;
}

export interface BufferDescriptor {
  size: number;
  bufferAddress: bigint;
  protocol: string;
  transportEndpoint: string;
}

/** What a replica's location looks like for each kind of replica. */
export type ReplicaLocation =
  | { kind: "memory"; buffer: BufferDescriptor }
  | { kind: "nof"; buffer: BufferDescriptor }
  | { kind: "disk"; filePath: string; objectSize: number }
  | { kind: "local_disk"; clientId: Uuid; objectSize: number; transportEndpoint: string }
  | {
    kind: "dfs";
    filePath: string;
    offset: number;
    objectSize: number;
    alignedSize: number;
    shardIdx: number;
  };

export interface ReplicaDescriptor {
  id: number;
  location: ReplicaLocation;
  status: number;
}

export interface ReplicaList {
  replicas: ReplicaDescriptor[];
  leaseTtlMs: number;
  objectChecksum: bigint | null;
}

export interface StorageConfig {
  fsdir: string;
  enableDiskEviction: boolean;
  quotaBytes: number;
}

export interface PingResponse {
  viewVersionId: number;
  clientStatus: number;
}

/** One object to move between memory and its owner's disk; also used for promotion. */
export interface OffloadTaskItem {
  tenantId: Uint8Array;
  key: Uint8Array;
  size: number;
}

export interface StorageObjectMetadata {
  bucketId: number;
  offset: number;
  keySize: number;
  /** -1 = the owner did not store the object. */
  dataSize: number;
  transportEndpoint: string;
}

export interface CopyStartResponse {
  source: ReplicaDescriptor;
  targets: ReplicaDescriptor[];
}

export interface MoveStartResponse {
  source: ReplicaDescriptor;
  target: ReplicaDescriptor | null;
}

export interface PromotionAllocStartResponse {
  memoryDescriptor: ReplicaDescriptor;
}

export interface QueryTaskResponse {
  id: Uuid;
  type: number;
  status: number;
  createdAtMsEpoch: number;
  lastUpdatedAtMsEpoch: number;
  assignedClient: Uuid;
  message: string;
}

export interface TaskAssignment {
  id: Uuid;
  type: number;
  /** JSON text; see the payload documents of the task manager. */
  payload: string;
  createdAtMsEpoch: number;
  maxRetryAttempts: number;
}

export interface TaskCompleteRequest {
  id: Uuid;
  status: number;
  message: string;
}
