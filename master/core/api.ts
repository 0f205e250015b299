/**
 * What the deterministic core promises to the code around it.
 *
 * Every method is synchronous, takes the time as `nowMs` (milliseconds, monotonic within a process)
 * and answers with an {@linkcode ErrorCode} number: 0, or negative. Keys and tenants are passed as
 * `(bytes, start, end)` so that a request buffer is never copied to be looked up; the core copies
 * what it keeps. Nothing here does I/O.
 */
import type { ReplicateConfig, Segment, Uuid } from "../../proto/types.ts";

/**
 * Receives the replicas of one object, one call each, so that an RPC encoder can write them straight
 * into its reply. `begin` comes first, with the number of replicas that follow, and only when the
 * operation succeeded.
 */
export interface ReplicaSink {
  begin(count: number, leaseTtlMs: number): void;
  /** The checksum of the object, if it has one; comes right after `begin`. */
  checksum(low: number, high: number): void;
  /** `segment` is an index for {@linkcode SegmentTable.view}; the address is its base + `offset`. */
  memory(id: number, status: number, size: number, segment: number, offset: number): void;
  disk(id: number, status: number, size: number, filePath: string): void;
  localDisk(id: number, status: number, size: number, client: Uuid, endpoint: string): void;
}

/** Keys of one request: key `i` is `bytes[starts[i], ends[i])`. */
export interface Keys {
  readonly count: number;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/** Receives many objects: each key, followed by the replicas of the object. */
export interface MatchSink extends ReplicaSink {
  key(bytes: Uint8Array, start: number, end: number): void;
}

/** What an encoder needs to know of a mounted segment. The same object until it is unmounted. */
export interface SegmentView {
  readonly index: number;
  readonly segment: Segment;
  /** Raw wire bytes of `segment.protocol` and `segment.teEndpoint`. */
  readonly protocolBytes: Uint8Array;
  readonly endpointBytes: Uint8Array;
}

/**
 * Who writes. Ends and revokes do not say which write of a key they mean; clients of ours number
 * their writes. 0 = the client does not: it can have one unanswered write of a key at a time.
 */
export interface Writer {
  /** Index of the client. */
  client: number;
  /** The client's number of this write, or 0. At most 2^53 - 1. */
  writeId: number;
}

/** The checksum that a client gave an object, 64 bits that mean nothing to the core; in halves. */
export interface Checksum {
  readonly low: number;
  readonly high: number;
}

/** Tunables of the core, named after the reference's flags. Times in milliseconds, sizes in bytes. */
export interface CoreConfig {
  defaultKvLeaseTtlMs: number;
  /** For how long readers hold the version that they were told of, see `holds.ts`; 0 = not at all. */
  readHoldMs: number;
  defaultKvSoftPinTtlMs: number;
  maxKvSoftPinTtlMs: number;
  allowEvictSoftPinnedObjects: boolean;
  evictionRatio: number;
  evictionHighWatermarkRatio: number;
  clientTtlMs: number;
  putStartDiscardTimeoutMs: number;
  putStartReleaseTimeoutMs: number;
  /** Share of the pool that clients may reserve for puts to come; 0 = nothing is reserved. */
  maxReservedShare: number;
  /** A segment that joins gets a share of new objects that grows to the full one in this time. */
  slowStartMs: number;
  allocationStrategy: "random" | "free_ratio_first" | "ssd_free_ratio_first" | "local_first";
  enableOffload: boolean;
  offloadOnEvict: boolean;
  offloadForceEvict: boolean;
  offloadingQueueLimit: number;
  offloadCapRatio: number;
  promotionOnHit: boolean;
  promotionAdmissionThreshold: number;
  promotionMaxPerHeartbeat: number;
  promotionQueueLimit: number;
  maxTotalFinishedTasks: number;
  maxTotalPendingTasks: number;
  maxTotalProcessingTasks: number;
  pendingTaskTimeoutMs: number;
  processingTaskTimeoutMs: number;
  maxRetryAttempts: number;
  /** How long a core that has taken over waits for the owners of segments and disks. */
  reattachGraceMs: number;
  /** Whether objects that are read a lot get a further replica; "observe" = only says which would. */
  replicationMode: "off" | "observe" | "enforce";
  /** Reads count for less the older they are: 1/e is left after so long. */
  replicationHeatWindowMs: number;
  /** Reads per second from which an object gets a further replica. */
  replicationAdmissionQps: number;
  /** Memory replicas of an object, its own included, from which on it gets no further one. */
  replicationMaxReplicas: number;
  /** Share of the pool that such replicas may take together. */
  replicationMaxShare: number;
  /** Whether the master compacts by itself when a put finds no piece that is long enough. */
  autoCompaction: boolean;
  /** Share of a segment's free bytes below which the longest piece is too short, 0 = it never is. */
  autoCompactionFreeRatio: number;
  /** Bytes that it moves in a second then, 0 = no limit. */
  autoCompactionBytesPerSecond: number;
  /** Events that are remembered of keys, live or gone: a power of 2, or 0 = none. */
  lifeEvents: number;
  /** Whether every tenant has a name space and a quota of its own, or all share one name space. */
  enableMultiTenants: boolean;
  /** How keys tell their model and layer, see `key_format.ts`; "" = they do not. */
  keyFormat: string;
  /** Other names of models, see `model_aliases.ts`; "" = none. */
  modelAliases: string;
  /** Directory of the shared file system that also gets a copy of every object, "" = none. */
  fsdir: string;
  /** Offset between `nowMs` and the Unix epoch, added to times that go on the wire. */
  epochOffsetMs: number;
}

/**
 * Receives the journal's facts: what was decided, one call each, in order. The bytes are valid during
 * the call only.
 */
export interface FactSink {
  append(bytes: Uint8Array, start: number, end: number): void;
}

/** A source of random numbers that a test can seed. */
export interface Rng {
  /** Uniform unsigned 32-bit integer. */
  u32(): number;
}

export type { ReplicateConfig, Segment, Uuid };
