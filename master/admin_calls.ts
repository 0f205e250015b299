import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { ReplicaDescriptor, SegmentStatus } from "../proto/types.ts";
import { AnswerCalls, type AnswerCallsOptions } from "./answer_calls.ts";
import type { AdminCore, KeyPage, KeyResult, SegmentDetail, SegmentUse } from "./http/backend.ts";
import type { MetricsRegistry, MetricsSnapshot, ServerStats } from "./metrics/registry.ts";
import type { MasterStatus } from "./metrics/summary_line.ts";

export interface AdminCallsOptions extends AnswerCallsOptions {
  metrics: MetricsRegistry;
  /** What the RPC server knows of itself; the lag is reset by asking. */
  serverStats: () => ServerStats;
  /** Keeps the changes made so far; `false` = they could not be kept. */
  settle: () => boolean;
  /** Ends the master. */
  onShutDown: (reason: string) => void;
}

const nothing = { begin() {}, memory() {}, disk() {}, localDisk() {} };

/** Answers the HTTP side, in the thread that owns the core. */
export class AdminCalls extends AnswerCalls implements AdminCore {
  readonly #options: AdminCallsOptions;

  constructor(options: AdminCallsOptions) {
    super(options);
    this.#options = options;
  }

  status(): MasterStatus {
    return {
      ...{ role: "leader", state: "serving", serviceReady: true },
      leaderAddress: null,
      viewVersion: null,
    };
  }

  listKeys(cursor: number, maxKeys: number, maxBytes: number): KeyPage {
    return this.#options.core.inspection.listKeys(cursor, maxKeys, maxBytes);
  }

  queryKey(key: Uint8Array): ReplicaDescriptor[] {
    const { core, clock } = this.#options;
    const code = core.getReplicaList(0, key, 0, key.length, clock(), nothing);
    const replicas = code === ErrorCode.OK ? core.inspection.peekKey(0, key) : null;
    if (replicas === null) {
      const reason = code === ErrorCode.OK ? ErrorCode.OBJECT_NOT_FOUND : code as ErrorCode;
      throw new StoreError(reason, "Cannot query the key");
    }
    return replicas;
  }

  peekKeys(keys: Uint8Array[]): KeyResult[] {
    const { inspection } = this.#options.core;
    return keys.map((key) => {
      const replicas = inspection.peekKey(0, key);
      if (replicas === null) return { code: ErrorCode.OBJECT_NOT_FOUND };
      return replicas.length === 0 ? { code: ErrorCode.REPLICA_IS_NOT_READY } : { replicas };
    });
  }

  listSegments(): string[] {
    return this.segmentDetails().map(({ name }) => name);
  }

  segmentDetails(): SegmentDetail[] {
    return this.#options.core.inspection.segmentDetails();
  }

  segmentUse(name: string): SegmentUse {
    const named = this.segmentDetails().filter((segment) => segment.name === name);
    if (named.length === 0) throw notFound(name);
    return {
      allocatedBytes: named.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
      capacityBytes: named.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0),
    };
  }

  segmentStatus(name: string): SegmentStatus {
    const { code, value } = this.#options.core.cluster.querySegmentStatus(name);
    if (code !== ErrorCode.OK || value === null) throw notFound(name);
    return value;
  }

  metricsSnapshot(): MetricsSnapshot {
    const { core, metrics, clock, serverStats } = this.#options;
    return metrics.snapshot(clock(), {
      core: core.counters.values.slice(),
      keyCount: core.keyCount,
      activeClients: core.activeClients,
      segments: core.inspection.segmentDetails().map((segment) => ({
        name: segment.name,
        allocatedBytes: segment.allocatedBytes,
        capacityBytes: segment.capacityBytes,
        largestFreeBytes: segment.largestFreeBytes,
      })),
      server: serverStats(),
    });
  }

  removeAll(force: boolean): number {
    const { core, clock, settle } = this.#options;
    const removed = core.removeAll(-1, force, clock());
    if (removed < 0 || !settle()) {
      throw new StoreError(ErrorCode.PERSISTENT_FAIL, "Cannot keep the removal in the journal");
    }
    return removed;
  }

  shutDown(reason: string): void {
    this.#options.onShutDown(reason);
  }
}

function notFound(name: string): StoreError {
  return new StoreError(ErrorCode.SEGMENT_NOT_FOUND, `Cannot find segment "${name}"`);
}
