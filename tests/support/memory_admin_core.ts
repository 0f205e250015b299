/** An admin core of plain data, for tests of the HTTP side. */
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { ReplicaDescriptor, SegmentStatus, Uuid } from "../../proto/types.ts";
import {
  ADMIN_METHODS,
  type AdminBackend,
  type AdminCore,
  type KeyFound,
  type KeyPage,
  type KeyResult,
  packKeys,
  type Readiness,
  type RemovalProgress,
  type SegmentDetail,
  type SegmentUse,
  type TenantQuota,
  type TenantRuled,
} from "../../master/http/backend.ts";
import { JobKind, JobStatus, noProgress } from "../../master/core/job_table.ts";
import type { ReplicationView } from "../../master/core/hot_view.ts";
import type {
  CompactionRequest,
  DrainRequest,
  JobLimits,
  JobView,
  RebalanceRequest,
} from "../../master/core/jobs.ts";
import { AnswerCalls } from "../../master/answer_calls.ts";
import type { SnapshotOutcome } from "../../master/backup/snapshotter.ts";
import type { CopyOutcome } from "../../master/journal/master_journal.ts";
import { Counter } from "../../master/core/counters.ts";
import { MetricsRegistry, type MetricsSnapshot } from "../../master/metrics/registry.ts";
import type { MemberStatus } from "../../master/ha/member_status.ts";
import type { MasterStatus } from "../../master/metrics/summary_line.ts";
import { LiveConfig } from "../../master/live_config.ts";
import { CoreDriver } from "./core_driver.ts";
import { defaultMasterConfig } from "./master_config.ts";
import { toHex } from "./wire_vectors.ts";

/** A replica in memory, at an address. */
export function memoryReplica(
  size: number,
  address: bigint,
  endpoint = "127.0.0.1:12345",
): ReplicaDescriptor {
  const buffer = {
    ...{ size, bufferAddress: address, protocol: "tcp", transportEndpoint: endpoint },
  };
  return { id: 1, location: { kind: "memory", buffer }, status: 3 };
}

/** The answers for routers and operators are those of the driver's core. */
export class MemoryAdminCore extends AnswerCalls implements AdminCore {
  readonly registry = new MetricsRegistry();
  readonly core = new Float64Array(Object.keys(Counter).length);
  readonly segments: SegmentDetail[] = [];
  masterStatus: MasterStatus = {
    ...{ role: "leader", state: "serving", serviceReady: true },
    ...{ leaderAddress: null, viewVersion: null },
  };
  /** This master's part in a cluster, `null` = it is alone. */
  member: MemberStatus | null = null;
  nowMs = 0;
  activeClients = 0;
  /** Keys that queryKey gave a lease. */
  leased: Uint8Array[] = [];
  /** Removals that were ended. */
  readonly ended: number[] = [];
  readonly #removals: { force: boolean; removed: number }[] = [];
  /** The largest page asked for. */
  largestPage = 0;
  readonly #objects = new Map<string, { key: Uint8Array; replicas: ReplicaDescriptor[] }>();

  constructor(driver: CoreDriver = new CoreDriver()) {
    const live = new LiveConfig({ config: defaultMasterConfig(), apply() {}, log() {} });
    super({ core: driver.core, clock: () => driver.nowMs, live });
  }

  add(key: Uint8Array | string, replicas: ReplicaDescriptor[]): void {
    const bytes = typeof key === "string" ? new TextEncoder().encode(key) : key;
    this.#objects.set(toHex(bytes), { key: bytes, replicas });
  }

  status(): MasterStatus {
    return this.masterStatus;
  }

  listKeys(cursor: number, maxKeys: number): KeyPage {
    this.largestPage = Math.max(this.largestPage, maxKeys);
    const keys = Array.from(this.#objects.values(), ({ key }) => key);
    const next = cursor + maxKeys < keys.length ? cursor + maxKeys : null;
    return packKeys(keys.slice(cursor, cursor + maxKeys), next);
  }

  queryKey(key: Uint8Array): KeyFound {
    const object = this.#objects.get(toHex(key));
    if (!object) throw new StoreError(ErrorCode.OBJECT_NOT_FOUND, "Cannot query an object");
    this.leased.push(key);
    return { replicas: object.replicas };
  }

  peekKeys(keys: Uint8Array[]): KeyResult[] {
    return keys.map((key) => {
      const object = this.#objects.get(toHex(key));
      return object ? { replicas: object.replicas } : { code: ErrorCode.OBJECT_NOT_FOUND };
    });
  }

  listSegments(): string[] {
    return this.segments.map(({ name }) => name);
  }

  segmentDetails(): SegmentDetail[] {
    return this.segments;
  }

  segmentUse(name: string): SegmentUse {
    const { allocatedBytes, capacityBytes } = this.#segment(name);
    return { allocatedBytes, capacityBytes };
  }

  segmentStatus(name: string): SegmentStatus {
    return this.#segment(name).status;
  }

  metricsSnapshot(): MetricsSnapshot {
    return this.registry.snapshot(this.nowMs, {
      core: this.core.slice(),
      keyCount: this.#objects.size,
      activeClients: this.activeClients,
      segments: this.segments.map(({ name, allocatedBytes, capacityBytes }) => ({
        ...{ name, allocatedBytes, capacityBytes },
        largestFreeBytes: capacityBytes - allocatedBytes,
      })),
      server: {
        ...{ connections: 0, waitingWrites: 0, writeWaits: 0 },
        ...{ heldWaits: 0, readHolds: 0, loopLagSeconds: 0 },
        ...{ snapshots: 0, snapshotFailures: 0, lastSnapshotSeconds: 0 },
      },
    });
  }

  /** How snapshots and copies end. */
  snapshots: SnapshotOutcome[] = [];
  copies: CopyOutcome[] = [];

  beginSnapshot(): number {
    if (this.snapshots.length > 0) return 0;
    throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, "Cannot make a snapshot");
  }

  snapshotOutcome(ticket: number): SnapshotOutcome | null {
    return this.snapshots[ticket] ?? null;
  }

  beginCopy(): number {
    if (this.copies.length > 0) return 0;
    throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, "Cannot copy the index");
  }

  copyOutcome(ticket: number): CopyOutcome | null {
    return this.copies[ticket] ?? null;
  }

  readiness(): Readiness {
    const { segments, member } = this;
    const serving = member === null || member.role === "leader";
    return { serving, member, keys: this.#objects.size, segments: segments.length };
  }

  shutDown(): void {}

  /** Jobs that were asked for. */
  readonly jobs: JobView[] = [];
  readonly drains: DrainRequest[] = [];
  readonly rebalances: RebalanceRequest[] = [];
  readonly compactions: CompactionRequest[] = [];

  createDrain(request: DrainRequest): JobView {
    for (const name of request.segments) this.#segment(name);
    this.drains.push(request);
    return this.#addJob(JobKind.DRAIN, request, request.segments);
  }

  createRebalance(request: RebalanceRequest): JobView {
    this.rebalances.push(request);
    return this.#addJob(JobKind.REBALANCE, request, []);
  }

  createCompaction(request: CompactionRequest): JobView {
    this.compactions.push(request);
    return this.#addJob(JobKind.COMPACTION, request, request.segments, request.goalBytes);
  }

  queryJob(id: Uuid): JobView {
    const job = this.jobs.find((one) => one.id === id);
    if (!job) throw new StoreError(ErrorCode.JOB_NOT_FOUND, "Cannot find the job");
    return job;
  }

  listJobs(): JobView[] {
    return this.jobs;
  }

  replication(): ReplicationView {
    const copy = {
      timeMs: 1,
      what: "would_add",
      key: "k\u00c3\u00a9",
      rate: 2.5,
      bytes: 10,
    } as const;
    const decisions = [{ ...copy, segment: "s" }];
    return { mode: "observe", copies: 1, copyBytes: 10, orders: 0, decisions };
  }

  cancelJob(id: Uuid): JobView {
    const job = this.queryJob(id);
    job.status = JobStatus.CANCELED;
    return job;
  }

  #addJob(
    kind: JobKind,
    limits: JobLimits,
    segments: readonly string[],
    goalBytes = 0,
  ): JobView {
    const job: JobView = {
      ...noProgress(),
      ...{ id: `1-${this.jobs.length + 1}`, kind, status: JobStatus.CREATED, message: "made" },
      ...{ createdAtMsEpoch: 1, updatedAtMsEpoch: 2, activeMoves: 0, remainingBytes: 0 },
      ...{ goalBytes, automatic: false },
      ...{ segments: [...segments], targets: [...limits.targets] },
      ...{ maxConcurrency: limits.maxConcurrency, bytesPerSecond: limits.bytesPerSecond },
    };
    this.jobs.push(job);
    return job;
  }

  beginRemoval(force: boolean): number {
    this.#removals.push({ force, removed: 0 });
    return this.#removals.length - 1;
  }

  /** Removes one object at a time; without `force` the leased ones stay. */
  stepRemoval(removal: number): RemovalProgress {
    const progress = this.#removals[removal];
    const kept = progress.force ? new Set() : new Set(this.leased.map(toHex));
    const name = Array.from(this.#objects.keys()).find((one) => !kept.has(one));
    if (name === undefined) return { removed: progress.removed, isOver: true };
    this.#objects.delete(name);
    return { removed: ++progress.removed, isOver: false };
  }

  endRemoval(removal: number): void {
    this.ended.push(removal);
  }

  tenantQuotas(): TenantQuota[] {
    throw tenantsOff();
  }

  tenantQuota(): TenantQuota | null {
    throw tenantsOff();
  }

  setTenantQuota(): TenantQuota {
    throw tenantsOff();
  }

  tenantRules(): TenantRuled[] {
    throw tenantsOff();
  }

  setTenantRules(): TenantRuled {
    throw tenantsOff();
  }

  removeTenantQuota(): void {
    throw tenantsOff();
  }

  changeTables(): void {
    throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, "This master is alone");
  }

  setKeys(): void {}

  #segment(name: string): SegmentDetail {
    const found = this.segments.find((segment) => segment.name === name);
    if (!found) throw new StoreError(ErrorCode.SEGMENT_NOT_FOUND, "Cannot find a segment");
    return found;
  }
}

function tenantsOff(): StoreError {
  return new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, "There is one name space");
}

/** The same calls, each with a promise. */
export function backendOf(core: AdminCore): AdminBackend {
  const call = (method: keyof AdminCore) => async (...args: unknown[]) => {
    await Promise.resolve();
    return (core[method] as (...args: unknown[]) => unknown).apply(core, args);
  };
  return Object.fromEntries(
    ADMIN_METHODS.map((method) => [method, call(method)]),
  ) as unknown as AdminBackend;
}
