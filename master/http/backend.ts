/**
 * What the HTTP side asks of the thread that owns the core.
 *
 * Arguments and results are structured-cloneable, because they cross from the Worker to that thread
 * and back. A refused call rejects with a `StoreError`; its code becomes the HTTP status.
 */
import type { ReplicaDescriptor, SegmentStatus, Uuid } from "../../proto/types.ts";
import type { KeyRecord } from "../auth/api_key.ts";
import type { SnapshotOutcome } from "../backup/snapshotter.ts";
import type { ReplicationView } from "../core/hot_view.ts";
import type { CompactionRequest, DrainRequest, JobView, RebalanceRequest } from "../core/jobs.ts";
import type { TableChange } from "../core/small_tables.ts";
import type { LimitedCalls } from "../core/tenant_limits.ts";
import type { TenantRules } from "../core/tenant_rules.ts";
import type { CopyOutcome } from "../journal/master_journal.ts";
import type { MemberStatus } from "../ha/member_status.ts";
import type { MasterStatus } from "../metrics/summary_line.ts";
import type { MetricsSnapshot } from "../metrics/registry.ts";
import { ANSWER_METHODS, type AnswersCore } from "./answers.ts";

/** Some keys, one after the other in `bytes`; key `i` ends at `ends[i]`. */
export interface KeyPage {
  bytes: Uint8Array<ArrayBuffer>;
  ends: Uint32Array<ArrayBuffer>;
  /** Where to go on, or `null` after the last page. */
  next: number | null;
}

/** A key that was found; `tenant` with multi-tenancy only. */
export interface KeyFound {
  replicas: ReplicaDescriptor[];
  tenant?: string;
}

/** Result of looking one key up. */
export type KeyResult = KeyFound | { code: number };

/** A tenant's quota and its use, bytes. */
export interface TenantQuota {
  tenant: string;
  /** 0 when the tenant is not registered. */
  requestedBytes: bigint;
  effectiveBytes: number;
  chargedBytes: number;
  /** Nothing can be put. */
  admissionClosed: boolean;
  overQuota: boolean;
  isRegistered: boolean;
}

/** What a tenant is held to besides its quota, and how often that has refused something. */
export interface TenantRuled extends TenantRules {
  tenant: string;
  /** Calls that each of the rates did not allow since the start. */
  limited: LimitedCalls;
}

/** A mounted segment with its use, sizes in bytes. */
export interface SegmentDetail {
  name: string;
  id: Uuid;
  clientId: Uuid;
  base: bigint;
  size: number;
  teEndpoint: string;
  protocol: string;
  status: SegmentStatus;
  allocatedBytes: number;
  capacityBytes: number;
}

/** Use of one segment, bytes. */
export interface SegmentUse {
  allocatedBytes: number;
  capacityBytes: number;
}

/** How far a removal has come. */
export interface RemovalProgress {
  /** Objects removed since its beginning. */
  removed: number;
  isOver: boolean;
}

/** What `/ready` says. */
export interface Readiness {
  /** Whether clients are served here. */
  serving: boolean;
  /** `null` = this master is alone. */
  member: MemberStatus | null;
  keys: number;
  segments: number;
}

/** The calls, as the thread of the core serves them: at once. */
export interface AdminCore extends AnswersCore {
  status(): MasterStatus;

  /**
   * Keys of a tenant (`null` = of all) from `cursor` on, 0 for the first: at most `maxKeys`, and none
   * more once they have `maxBytes`. Keys that come or go between two pages may be missed.
   */
  listKeys(cursor: number, maxKeys: number, maxBytes: number, tenant: string | null): KeyPage;

  /**
   * Looks a key up as a reader would: grants a lease and counts as a read. `tenant` = `null` looks in
   * every name space and takes the first that has it. OBJECT_NOT_FOUND.
   */
  queryKey(key: Uint8Array, tenant: string | null): KeyFound;

  /**
   * Looks keys up without a lease and without counting. One result per key, in order. INVALID_PARAMS
   * when that would be too many look-ups, because no tenant is named.
   */
  peekKeys(keys: Uint8Array[], tenant: string | null): KeyResult[];

  /** Names of the mounted segments. */
  listSegments(): string[];

  segmentDetails(): SegmentDetail[];

  /** Use of all segments of that name together. SEGMENT_NOT_FOUND. */
  segmentUse(name: string): SegmentUse;

  /** SEGMENT_NOT_FOUND. */
  segmentStatus(name: string): SegmentStatus;

  metricsSnapshot(): MetricsSnapshot;

  /**
   * Begins to remove every object of a tenant (`null` = of all), leased ones only with `force`;
   * answers a number for the calls that follow. TASK_PENDING_LIMIT_EXCEEDED, UNAVAILABLE_IN_CURRENT_STATUS on a standby.
   */
  beginRemoval(force: boolean, tenant: string | null): number;

  /** Goes on with a removal for a bounded time. PERSISTENT_FAIL, JOB_NOT_FOUND. */
  stepRemoval(removal: number): RemovalProgress | Promise<RemovalProgress>;

  /** Forgets a removal, whether it is over or not. */
  endRemoval(removal: number): void;

  /** Whether clients are served here, and whether a promotion would keep the index. */
  readiness(): Readiness;

  /**
   * Begins to empty segments. SEGMENT_NOT_FOUND, INVALID_PARAMS, UNAVAILABLE_IN_CURRENT_STATUS,
   * TASK_PENDING_LIMIT_EXCEEDED, PERSISTENT_FAIL.
   */
  createDrain(request: DrainRequest): JobView;

  /** Begins to move objects from full to emptier segments. As {@linkcode AdminCore.createDrain}. */
  createRebalance(request: RebalanceRequest): JobView;

  /** Begins to make a long piece of memory free. As {@linkcode AdminCore.createDrain}. */
  createCompaction(request: CompactionRequest): JobView;

  /** JOB_NOT_FOUND. */
  queryJob(id: Uuid): JobView;

  listJobs(): JobView[];

  /** What dynamic replication has done, or would have done. */
  replication(): ReplicationView;

  /** JOB_NOT_FOUND, UNAVAILABLE_IN_CURRENT_STATUS, PERSISTENT_FAIL. */
  cancelJob(id: Uuid): JobView;

  /** Begins a snapshot; a number for `snapshotOutcome`. UNAVAILABLE_IN_CURRENT_MODE. */
  beginSnapshot(): number;

  /** What has become of a snapshot, `null` = it is not over. */
  snapshotOutcome(ticket: number): SnapshotOutcome | null;

  /**
   * Begins to copy the index into a file, which belongs to the caller; a number for `copyOutcome`.
   * UNAVAILABLE_IN_CURRENT_MODE.
   */
  beginCopy(): number;

  /** What has become of a copy, `null` = it is not over. */
  copyOutcome(ticket: number): CopyOutcome | null;

  /** All tenants. UNAVAILABLE_IN_CURRENT_MODE without multi-tenancy, here and below. */
  tenantQuotas(): TenantQuota[];

  /** One tenant, `null` = there is none. */
  tenantQuota(name: string): TenantQuota | null;

  /** Registers a tenant, or changes its quota. PERSISTENT_FAIL. */
  setTenantQuota(name: string, bytes: bigint): TenantQuota | Promise<TenantQuota>;

  /** What registered tenants are held to. */
  tenantRules(): TenantRuled[];

  /**
   * Changes what a tenant is held to; what `changes` does not name stays. OBJECT_NOT_FOUND,
   * PERSISTENT_FAIL; INVALID_PARAMS when no key can be allowed.
   */
  setTenantRules(
    name: string,
    changes: Partial<TenantRules>,
  ): TenantRuled | Promise<TenantRuled>;

  /** Ends a tenant's registration. OBJECT_NOT_FOUND, TENANT_NOT_EMPTY. */
  removeTenantQuota(name: string): void | Promise<void>;

  /**
   * Changes the small tables of a cluster; the changes come back once the log holds them.
   * UNAVAILABLE_IN_CURRENT_MODE, UNAVAILABLE_IN_CURRENT_STATUS, PERSISTENT_FAIL.
   */
  changeTables(changes: TableChange[]): void | Promise<void>;

  /** From now on these keys are taken in RPCs, and no others. */
  setKeys(records: KeyRecord[]): void;

  /** Asks the master to end, because of `reason`. */
  shutDown(reason: string): void;
}

/** {@linkcode AdminCore} as seen from the Worker. */
export type AdminBackend = {
  [Method in keyof AdminCore]: (
    ...args: Parameters<AdminCore[Method]>
  ) => Promise<Awaited<ReturnType<AdminCore[Method]>>>;
};

/** Names of the calls, for the protocol between the threads. */
export const ADMIN_METHODS = [
  "status",
  "listKeys",
  "queryKey",
  "peekKeys",
  "listSegments",
  "segmentDetails",
  "segmentUse",
  "segmentStatus",
  "metricsSnapshot",
  "beginRemoval",
  "stepRemoval",
  "endRemoval",
  "readiness",
  "createDrain",
  "createRebalance",
  "createCompaction",
  "queryJob",
  "listJobs",
  "replication",
  "cancelJob",
  "beginSnapshot",
  "snapshotOutcome",
  "beginCopy",
  "copyOutcome",
  "tenantQuotas",
  "tenantQuota",
  "setTenantQuota",
  "tenantRules",
  "setTenantRules",
  "removeTenantQuota",
  "changeTables",
  "setKeys",
  "shutDown",
  ...ANSWER_METHODS,
] as const satisfies readonly (keyof AdminCore)[];

export type AdminMethod = (typeof ADMIN_METHODS)[number];

/** Builds a page from keys that are already in memory. */
export function packKeys(keys: readonly Uint8Array[], next: number | null): KeyPage {
  const ends = new Uint32Array(keys.length);
  let length = 0;
  keys.forEach((key, index) => ends[index] = length += key.length);
  const bytes = new Uint8Array(length);
  keys.forEach((key, index) => bytes.set(key, ends[index] - key.length));
  return { bytes, ends, next };
}
