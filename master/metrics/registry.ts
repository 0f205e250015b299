/** The numbers that the RPC side of the master keeps, and the snapshot that leaves its thread. */
import type { LimitedCalls } from "../core/tenant_limits.ts";
import { RPC_COUNTERS, type RpcMeter, rpcMeter } from "./rpc_counters.ts";

/** Upper bounds, in bytes, of the reference's histogram of object sizes; beyond lies `+Inf`. */
export const VALUE_SIZE_BOUNDS = [
  4096,
  65_536,
  262_144,
  1_048_576,
  4_194_304,
  16_777_216,
  67_108_864,
] as const;

/** How full a mounted segment is, in bytes. Names need not be unique. */
export interface SegmentUsage {
  name: string;
  allocatedBytes: number;
  capacityBytes: number;
  largestFreeBytes: number;
}

/** What the thread that owns the core knows of itself. */
export interface ServerStats {
  /** Open RPC connections. */
  connections: number;
  /** Requests that wait for space, or for readers, now. */
  waitingWrites: number;
  /** Writes that had to wait for space since the start. */
  writeWaits: number;
  /** Changes that had to wait for readers who held what they change, and holds given. */
  heldWaits: number;
  readHolds: number;
  /** Longest time between two turns of the loop, in seconds, since the last snapshot. */
  loopLagSeconds: number;
  /** Snapshots that were made since the start, and attempts that failed. */
  snapshots: number;
  snapshotFailures: number;
  /** Unix time in seconds of the newest of them, 0 = there is none. */
  lastSnapshotSeconds: number;
}

/** A tenant's quota and what became of it; sizes in bytes. */
export interface TenantUsage {
  tenant: string;
  requestedBytes: bigint;
  effectiveBytes: number;
  chargedBytes: number;
  admissionClosed: boolean;
  overQuota: boolean;
  isRegistered: boolean;
  rejected: number;
  evictedBytes: number;
  /** Calls that its rates did not allow. */
  limited: LimitedCalls;
}

export interface TenantsUsage {
  capacityBytes: number;
  each: TenantUsage[];
}

/** What the core adds to a snapshot; {@linkcode MetricsRegistry.snapshot} copies nothing of it. */
export interface CoreStats {
  /** A copy of the core's counters, indexed by `Counter` of `core/counters.ts`. */
  core: Float64Array;
  keyCount: number;
  activeClients: number;
  segments: SegmentUsage[];
  /** Absent without multi-tenancy. */
  tenants?: TenantsUsage;
  server: ServerStats;
}

/** All numbers of the master at one moment, as structured-cloneable data. */
export interface MetricsSnapshot extends CoreStats {
  /** Milliseconds of a monotonic clock; only differences mean something. */
  timeMs: number;
  /** Indexed by `rpc_counters.ts`. */
  rpc: Float64Array;
  /** Objects per bucket of {@linkcode VALUE_SIZE_BOUNDS}, not cumulated; one more for `+Inf`. */
  valueSizeCounts: Float64Array;
  valueSizeSum: number;
}

/** Counts what the RPC layer does. One writer; reading is {@linkcode snapshot}. */
export class MetricsRegistry {
  readonly #rpc = new Float64Array(RPC_COUNTERS);
  readonly #valueSizes = new Float64Array(VALUE_SIZE_BOUNDS.length + 1);
  #valueSizeSum = 0;

  /** The meter of the function `rpc`, or `null` for one that is not counted. */
  meter(rpc: string): RpcMeter | null {
    return rpcMeter(this.#rpc, rpc);
  }

  /** An object of `bytes` got its space. */
  observeValueSize(bytes: number): void {
    let bucket = 0;
    while (bucket < VALUE_SIZE_BOUNDS.length && bytes > VALUE_SIZE_BOUNDS[bucket]) bucket++;
    this.#valueSizes[bucket]++;
    this.#valueSizeSum += bytes;
  }

  /** Copies the numbers, with those of the core. */
  snapshot(timeMs: number, stats: CoreStats): MetricsSnapshot {
    return {
      ...stats,
      timeMs,
      rpc: this.#rpc.slice(),
      valueSizeCounts: this.#valueSizes.slice(),
      valueSizeSum: this.#valueSizeSum,
    };
  }
}
