/**
 * Values that travel between clients, store nodes and the master, as plain data.
 *
 * Keys and tenant ids are bytes. Sizes, offsets, ids and times are `number` (safe integers);
 * virtual addresses are `bigint` because a peer may use all 64 bits. A {@linkcode Uuid} is text.
 */

/**
 * Two unsigned 64-bit halves in the reference's text form, `"<first>-<second>"`, decimal.
 *
 * @example
 * ```ts ignore
 * const id: Uuid = await client.createCopyTask("layer/0", ["10.0.0.8:12345"]);
 * ```
 */
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
/** One of the values of {@linkcode ReplicaType}. */
export type ReplicaType = (typeof ReplicaType)[keyof typeof ReplicaType];

/**
 * Life of a replica. Wire values.
 *
 * @example
 * ```ts ignore
 * const whole = replicas.filter(({ status }) => status === ReplicaStatus.COMPLETE);
 * ```
 */
export const ReplicaStatus = {
  UNDEFINED: 0,
  INITIALIZED: 1,
  PROCESSING: 2,
  COMPLETE: 3,
  REMOVED: 4,
  FAILED: 5,
} as const;
/** One of the values of {@linkcode ReplicaStatus}. */
export type ReplicaStatus = (typeof ReplicaStatus)[keyof typeof ReplicaStatus];

/** Whether the master knows a client and its segments. Wire values. */
export const ClientStatus = { UNDEFINED: 0, OK: 1, NEED_REMOUNT: 2 } as const;
/** One of the values of {@linkcode ClientStatus}. */
export type ClientStatus = (typeof ClientStatus)[keyof typeof ClientStatus];

/** Life of a segment. Wire values. */
export const SegmentStatus = {
  UNDEFINED: 0,
  OK: 1,
  DRAINING: 2,
  DRAINED: 3,
  GRACEFULLY_UNMOUNTING: 4,
  UNMOUNTING: 5,
} as const;
/** One of the values of {@linkcode SegmentStatus}. */
export type SegmentStatus = (typeof SegmentStatus)[keyof typeof SegmentStatus];

/**
 * What a put does to the soft pin of its object. Wire values.
 *
 * @example
 * ```ts ignore
 * await client.put("system-prompt", value, { softPinAction: SoftPinAction.ENABLE });
 * ```
 */
export const SoftPinAction = { PRESERVE: 0, ENABLE: 1, DISABLE: 2 } as const;
/** One of the values of {@linkcode SoftPinAction}. */
export type SoftPinAction = (typeof SoftPinAction)[keyof typeof SoftPinAction];

/**
 * What an object holds, for policies and statistics. Wire values.
 *
 * @example
 * ```ts ignore
 * await client.put("layer/0", value, { dataType: ObjectDataType.KVCACHE });
 * ```
 */
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
/** One of the values of {@linkcode ObjectDataType}. */
export type ObjectDataType = (typeof ObjectDataType)[keyof typeof ObjectDataType];

/**
 * What a task orders. Wire values.
 *
 * @example
 * ```ts ignore
 * const copies = (await client.queryTask(id)).type === TaskType.REPLICA_COPY;
 * ```
 */
export const TaskType = {
  REPLICA_COPY: 0,
  REPLICA_MOVE: 1,
  /** Ours: keep a writer out of memory; only for clients that have said that they can. */
  WRITER_FENCE: 1700,
} as const;
/** One of the values of {@linkcode TaskType}. */
export type TaskType = (typeof TaskType)[keyof typeof TaskType];

/**
 * Life of a task. Wire values.
 *
 * @example
 * ```ts ignore
 * const done = (await client.queryTask(id)).status === TaskStatus.SUCCESS;
 * ```
 */
export const TaskStatus = { PENDING: 0, PROCESSING: 1, FAILED: 2, SUCCESS: 3 } as const;
/** One of the values of {@linkcode TaskStatus}. */
export type TaskStatus = (typeof TaskStatus)[keyof typeof TaskStatus];

/**
 * Memory that a client lends to the pool. `teEndpoint` is where its transfer engine is reached.
 *
 * @example
 * ```ts ignore
 * const segment: Segment = await client.mountSegment("1gb");
 * await client.unmountSegment(segment.id);
 * ```
 */
export interface Segment {
  /** Id of this mount. */
  id: Uuid;
  /** Name that placement and tasks refer to; several segments may share it. */
  name: string;
  /** Address of the first byte as its owner advertises it; opaque to everybody else. */
  base: bigint;
  /** Bytes. */
  size: number;
  /** Where the owner's transfer engine is reached. */
  teEndpoint: string;
  /** Transport, such as `tcp`. */
  protocol: string;
  /** Host of the owner; empty for a loopback name. */
  hostId: string;
}

/** Storage that is lent over NVMe over fabrics. */
export interface NoFSegment {
  /** Id of this mount. */
  id: Uuid;
  /** Name of the segment. */
  name: string;
  /** Address of the first byte. */
  base: bigint;
  /** Bytes. */
  size: number;
  /** Where it is reached. */
  teEndpoint: string;
}

/** Who lends an NVMe-oF segment. */
export interface NoFSegmentOwnerInfo {
  /** The segment. */
  segmentId: Uuid;
  /** Its owner. */
  clientId: Uuid;
}

/** A written object, as its writer describes it. */
export interface ObjectMeta {
  /** Key of the object. */
  key: Uint8Array;
  /** Checksum of its bytes, or `null`. */
  objectChecksum: bigint | null;
}

/** How an object is placed and kept. */
export interface ReplicateConfig {
  /** Replicas wanted in memory. */
  replicaNum: number;
  /** Replicas wanted on NVMe over fabrics. */
  nofReplicaNum: number;
  /** Replicas wanted in a distributed file system. */
  dfsReplicaNum: number;
  /** A {@linkcode SoftPinAction}. */
  softPinAction: number;
  /** Milliseconds; `null` = the master's default. */
  softPinTtlMs: number | null;
  /** Never evict the object. */
  withHardPin: boolean;
  /** Names of segments to use, most wanted first. */
  preferredSegments: string[];
  /** Name of the segment to use first; empty = none. */
  preferredSegment: string;
  /** Names of NVMe-oF segments to use. */
  preferredNofSegments: string[];
  /** Keep all replicas on one node. */
  preferAllocInSameNode: boolean;
  /** An {@linkcode ObjectDataType}. */
  dataType: number;
  /** Host of the writer; empty = not told. */
  hostId: string;
  /** One group per key, or `null`. */
  groupIds: Uint8Array[] | null;
}

/**
 * Where the bytes of a replica in memory lie.
 *
 * @example
 * ```ts ignore
 * const [{ location }] = await client.replicas("layer/0") ?? [];
 * if (location.kind === "memory") console.log(location.buffer.transportEndpoint);
 * ```
 */
export interface BufferDescriptor {
  /** Bytes. */
  size: number;
  /** Address of the first byte as its owner advertises it. */
  bufferAddress: bigint;
  /** Transport, such as `tcp`. */
  protocol: string;
  /** Where the owner's transfer engine is reached. */
  transportEndpoint: string;
}

/**
 * What a replica's location looks like for each kind of replica.
 *
 * @example
 * ```ts ignore
 * const inMemory = replicas.filter(({ location }) => location.kind === "memory");
 * ```
 */
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

/**
 * One replica of an object.
 *
 * @example
 * ```ts ignore
 * const replicas: ReplicaDescriptor[] | null = await client.replicas("layer/0");
 * ```
 */
export interface ReplicaDescriptor {
  /** Id of the replica, never used twice. */
  id: number;
  /** Where it is. */
  location: ReplicaLocation;
  /** A {@linkcode ReplicaStatus}. */
  status: number;
}

/** The replicas of an object that can be read, under a lease. */
export interface ReplicaList {
  /** In the order in which they came to be. */
  replicas: ReplicaDescriptor[];
  /** Milliseconds that the bytes are guarded, from the request on. */
  leaseTtlMs: number;
  /** Checksum that the writer left, or `null`. */
  objectChecksum: bigint | null;
  /**
   * Milliseconds, from the request on, for which nothing makes stale what this says; see
   * `coro_rpc/read_hold.ts`. Absent when that was not promised.
   */
  holdMs?: number;
}

/** What the master tells clients about the shared file system. */
export interface StorageConfig {
  /** Directory of disk replicas; empty = there are none. */
  fsdir: string;
  /** Whether clients may evict from it. */
  enableDiskEviction: boolean;
  /** Bytes that may be used; 0 = a share of the disk. */
  quotaBytes: number;
}

/** Answer to a heartbeat. */
export interface PingResponse {
  /** Number of the leader's view; 0 without high availability. */
  viewVersionId: number;
  /** A {@linkcode ClientStatus}. */
  clientStatus: number;
}

/** One object to move between memory and its owner's disk; also used for promotion. */
export interface OffloadTaskItem {
  /** Tenant of the key. */
  tenantId: Uint8Array;
  /** The object. */
  key: Uint8Array;
  /** Bytes. */
  size: number;
}

/** Where an owner put an object on its disk. */
export interface StorageObjectMetadata {
  /** File that holds it. */
  bucketId: number;
  /** Bytes from the start of the file. */
  offset: number;
  /** Bytes of the key. */
  keySize: number;
  /** -1 = the owner did not store the object. */
  dataSize: number;
  /** Where the owner serves it. */
  transportEndpoint: string;
}

/** Replicas of a copy that has begun. */
export interface CopyStartResponse {
  /** Replica to copy from. */
  source: ReplicaDescriptor;
  /** Replicas to write; empty when every target has one. */
  targets: ReplicaDescriptor[];
}

/** Replicas of a move that has begun. */
export interface MoveStartResponse {
  /** Replica to move. */
  source: ReplicaDescriptor;
  /** Replica to write, or `null` when the target has one. */
  target: ReplicaDescriptor | null;
}

/** Memory for an object that comes back from disk. */
export interface PromotionAllocStartResponse {
  /** Replica to write. */
  memoryDescriptor: ReplicaDescriptor;
}

/**
 * State of a task.
 *
 * @example
 * ```ts ignore
 * const task: QueryTaskResponse = await client.queryTask(id);
 * ```
 */
export interface QueryTaskResponse {
  /** The task. */
  id: Uuid;
  /** A {@linkcode TaskType}. */
  type: number;
  /** A {@linkcode TaskStatus}. */
  status: number;
  /** Unix time in milliseconds. */
  createdAtMsEpoch: number;
  /** Unix time in milliseconds. */
  lastUpdatedAtMsEpoch: number;
  /** Client that carries it out. */
  assignedClient: Uuid;
  /** What the client said about its end. */
  message: string;
}

/** A task that a client is to carry out. */
export interface TaskAssignment {
  /** The task. */
  id: Uuid;
  /** A {@linkcode TaskType}. */
  type: number;
  /** JSON text; see the payload documents of the task manager. */
  payload: string;
  /** Unix time in milliseconds. */
  createdAtMsEpoch: number;
  /** Times that the client may try again for want of space. */
  maxRetryAttempts: number;
}

/** How a task ended. */
export interface TaskCompleteRequest {
  /** The task. */
  id: Uuid;
  /** `SUCCESS` or `FAILED`. */
  status: number;
  /** What to say about it. */
  message: string;
}
