import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Expected } from "../proto/messages.ts";
import type { SegmentStatus, Uuid } from "../proto/types.ts";
import { AnswerCalls, type AnswerCallsOptions } from "./answer_calls.ts";
import type { KeyRecord } from "./auth/api_key.ts";
import type { KeyRing } from "./auth/key_ring.ts";
import type { SnapshotOutcome, Snapshotter } from "./backup/snapshotter.ts";
import { Tickets } from "./backup/tickets.ts";
import type { ReplicationView } from "./core/hot_view.ts";
import type { CompactionRequest, DrainRequest, JobView, RebalanceRequest } from "./core/jobs.ts";
import type { RemovalScan } from "./core/removal_scan.ts";
import type { SmallTable, TableChange } from "./core/small_tables.ts";
import type { TenantRules } from "./core/tenant_rules.ts";
import { NO_TENANT } from "./core/tenants.ts";
import type { MemberStatus } from "./ha/member_status.ts";
import type {
  AdminCore,
  KeyFound,
  KeyPage,
  KeyResult,
  Readiness,
  RemovalProgress,
  SegmentDetail,
  SegmentUse,
  TenantQuota,
  TenantRuled,
} from "./http/backend.ts";
import { standbyLine } from "./http/standby.ts";
import type { CopyOutcome, MasterJournal } from "./journal/master_journal.ts";
import type { MetricsRegistry, MetricsSnapshot, ServerStats } from "./metrics/registry.ts";
import type { MasterStatus } from "./metrics/summary_line.ts";
import { TenantCalls } from "./tenants/tenant_calls.ts";

export interface AdminCallsOptions extends AnswerCallsOptions {
  metrics: MetricsRegistry;
  /** What the RPC server knows of itself; the lag is reset by asking. */
  serverStats: () => ServerStats;
  /** Keeps the changes made so far; `false` = they could not be kept. */
  settle: () => boolean | Promise<boolean>;
  /** The keys that RPCs may carry. */
  keys: KeyRing;
  /** What outlives the process, `null` = nothing. */
  journal: Pick<MasterJournal, "copy"> | null;
  /** `null` when there is no place for snapshots. */
  snapshotter: Pick<Snapshotter, "begin" | "outcome"> | null;
  /** This master's part in its cluster, `null` = it is alone. Default: alone. */
  member?: () => MemberStatus | null;
  /** Ends the master. */
  onShutDown: (reason: string) => void;
}

/** Removals that may be open, and the work of one step: some hundreds of microseconds. */
const MAX_REMOVALS = 8;
const REMOVAL_WORK = 200_000;
/** Look-ups of one question that names no tenant. */
const MAX_LOOKUPS = 200_000;

const nothing = { begin() {}, checksum() {}, memory() {}, disk() {}, localDisk() {} };

/** Answers the HTTP side, in the thread that owns the core. */
export class AdminCalls extends AnswerCalls implements AdminCore {
  readonly #options: AdminCallsOptions;
  readonly #removals = new Map<number, RemovalScan>();
  #lastRemoval = 0;
  readonly #copies = new Tickets<CopyOutcome>();
  readonly #tenants: TenantCalls;

  constructor(options: AdminCallsOptions) {
    super(options);
    this.#options = options;
    this.#tenants = new TenantCalls(options.core, options.settle);
  }

  status(): MasterStatus {
    const member = this.#options.member?.() ?? null;
    if (member === null) {
      return {
        ...{ role: "leader", state: "serving", serviceReady: true },
        leaderAddress: null,
        viewVersion: null,
      };
    }
    const { role, state, leaderAddress, epoch } = member;
    return { role, state, serviceReady: role === "leader", leaderAddress, viewVersion: epoch };
  }

  readiness(): Readiness {
    const { core } = this.#options;
    const member = this.#options.member?.() ?? null;
    return {
      serving: member === null || member.role === "leader",
      ...{ member, keys: core.keyCount, segments: core.inspection.segmentDetails().length },
    };
  }

  listKeys(
    cursor: number,
    maxKeys: number,
    maxBytes: number,
    tenant: string | null,
  ): KeyPage {
    const index = tenant === null ? -1 : this.#tenants.indexes(tenant)[0];
    return this.#options.core.inspection.listKeys(cursor, maxKeys, maxBytes, index);
  }

  queryKey(key: Uint8Array, tenant: string | null): KeyFound {
    const { core, clock } = this.#options;
    const index = this.#tenantWith(key, this.#tenants.indexes(tenant));
    const code = core.getReplicaList(index, key, 0, key.length, clock(), nothing);
    const replicas = code === ErrorCode.OK ? core.inspection.peekKey(index, key) : null;
    if (replicas === null) {
      const reason = code === ErrorCode.OK ? ErrorCode.OBJECT_NOT_FOUND : code as ErrorCode;
      throw new StoreError(reason, "Cannot query the key");
    }
    return { replicas, ...this.#tenantName(index) };
  }

  peekKeys(keys: Uint8Array[], tenant: string | null): KeyResult[] {
    const { inspection } = this.#options.core;
    const indexes = this.#tenants.indexes(tenant);
    if (keys.length * indexes.length > MAX_LOOKUPS) {
      const message = `${keys.length} keys of ${indexes.length} tenants: name one with tenant_id`;
      throw new StoreError(ErrorCode.INVALID_PARAMS, message);
    }
    return keys.map((key) => {
      const index = this.#tenantWith(key, indexes);
      const replicas = inspection.peekKey(index, key);
      if (replicas === null) return { code: ErrorCode.OBJECT_NOT_FOUND };
      if (replicas.length === 0) return { code: ErrorCode.REPLICA_IS_NOT_READY };
      return { replicas, ...this.#tenantName(index) };
    });
  }

  tenantQuotas(): TenantQuota[] {
    return this.#tenants.quotas();
  }

  tenantQuota(name: string): TenantQuota | null {
    return this.#tenants.quota(name);
  }

  setTenantQuota(name: string, bytes: bigint): TenantQuota | Promise<TenantQuota> {
    this.#requireLeader();
    return this.#tenants.setQuota(name, bytes);
  }

  tenantRules(): TenantRuled[] {
    return this.#tenants.rules();
  }

  setTenantRules(
    name: string,
    changes: Partial<TenantRules>,
  ): TenantRuled | Promise<TenantRuled> {
    this.#requireLeader();
    return this.#tenants.setRules(name, changes);
  }

  removeTenantQuota(name: string): void | Promise<void> {
    this.#requireLeader();
    return this.#tenants.removeQuota(name);
  }

  changeTables(changes: TableChange[]): void | Promise<void> {
    const { core, settle, member } = this.#options;
    if ((member?.() ?? null) === null) {
      throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, "this master is alone");
    }
    this.#requireLeader();
    for (const { table, key, value } of changes) {
      const code = core.tables.set(table as SmallTable, key, value);
      if (code !== ErrorCode.OK) throw new StoreError(code, "Cannot keep the change");
    }
    const answer = (kept: boolean) => {
      if (!kept) {
        throw new StoreError(ErrorCode.PERSISTENT_FAIL, "Cannot keep the change in the log");
      }
    };
    const settled = settle();
    return settled instanceof Promise ? settled.then(answer) : answer(settled);
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
      ...this.#tenants.usage(),
      server: serverStats(),
    });
  }

  beginRemoval(force: boolean, tenant: string | null): number {
    this.#requireLeader();
    if (this.#removals.size >= MAX_REMOVALS) {
      const code = ErrorCode.TASK_PENDING_LIMIT_EXCEEDED;
      throw new StoreError(code, `Cannot remove: ${MAX_REMOVALS} removals are going on`);
    }
    const index = tenant === null ? -1 : this.#tenants.indexes(tenant)[0];
    this.#removals.set(++this.#lastRemoval, this.#options.core.scans.removal(index, null, force));
    return this.#lastRemoval;
  }

  stepRemoval(removal: number): RemovalProgress | Promise<RemovalProgress> {
    const { clock, settle } = this.#options;
    const scan = this.#removals.get(removal);
    if (scan === undefined) {
      throw new StoreError(ErrorCode.JOB_NOT_FOUND, `Cannot go on with removal ${removal}`);
    }
    const isOver = scan.step({ left: REMOVAL_WORK }, clock());
    const { removed } = scan;
    const settled = scan.code === ErrorCode.OK && settle();
    const answer = (kept: boolean) => {
      if (kept) return { removed, isOver };
      throw new StoreError(ErrorCode.PERSISTENT_FAIL, "Cannot keep the removal in the journal");
    };
    return settled instanceof Promise ? settled.then(answer) : answer(settled);
  }

  endRemoval(removal: number): void {
    this.#removals.delete(removal);
  }

  createDrain(request: DrainRequest): JobView {
    this.#requireLeader();
    const { core, clock } = this.#options;
    return this.#keptJob(core.jobs.createDrain(request, clock()), "Cannot drain");
  }

  createRebalance(request: RebalanceRequest): JobView {
    this.#requireLeader();
    const { core, clock } = this.#options;
    return this.#keptJob(core.jobs.createRebalance(request, clock()), "Cannot rebalance");
  }

  createCompaction(request: CompactionRequest): JobView {
    this.#requireLeader();
    const { core, clock } = this.#options;
    return this.#keptJob(core.jobs.createCompaction(request, clock()), "Cannot compact");
  }

  queryJob(id: Uuid): JobView {
    return found(this.#options.core.jobs.query(id), "Cannot find the job");
  }

  listJobs(): JobView[] {
    return this.#options.core.jobs.list();
  }

  replication(): ReplicationView {
    return this.#options.core.inspection.replication();
  }

  cancelJob(id: Uuid): JobView {
    this.#requireLeader();
    const { core, clock } = this.#options;
    const code = core.jobs.cancel(id, clock());
    if (code !== ErrorCode.OK) throw new StoreError(code, "Cannot cancel the job");
    return this.#keptJob(core.jobs.query(id), "Cannot cancel the job");
  }

  #requireLeader(): void {
    const member = this.#options.member?.() ?? null;
    if (member?.role !== "standby") return;
    const message = standbyLine(member.leaderAddress);
    throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, message);
  }

  /** The job, once it is in the journal. */
  #keptJob(answer: Expected<JobView>, what: string): JobView {
    const job = found(answer, what);
    if (this.#options.settle()) return job;
    throw new StoreError(ErrorCode.PERSISTENT_FAIL, `${what}: it cannot be kept in the journal`);
  }

  beginSnapshot(): number {
    const { snapshotter } = this.#options;
    if (snapshotter !== null) return snapshotter.begin();
    throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, "Cannot make a snapshot");
  }

  snapshotOutcome(ticket: number): SnapshotOutcome | null {
    return this.#options.snapshotter?.outcome(ticket) ?? null;
  }

  beginCopy(): number {
    const { journal } = this.#options;
    if (journal === null) {
      throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, "Cannot copy the index");
    }
    const ticket = this.#copies.issue();
    journal.copy((outcome) => this.#copies.settle(ticket, outcome));
    return ticket;
  }

  copyOutcome(ticket: number): CopyOutcome | null {
    return this.#copies.outcome(ticket);
  }

  setKeys(records: KeyRecord[]): void {
    this.#options.keys.replace(records);
  }

  shutDown(reason: string): void {
    this.#options.onShutDown(reason);
  }

  /** The first of some tenants that has a key, else the first of them. */
  #tenantWith(key: Uint8Array, indexes: readonly number[]): number {
    const { inspection } = this.#options.core;
    const found = indexes.length === 1
      ? undefined
      : indexes.find((index) => inspection.peekKey(index, key) !== null);
    return found ?? indexes[0] ?? NO_TENANT;
  }

  #tenantName(index: number): { tenant?: string } {
    const { tenants, state } = this.#options.core;
    if (!tenants.isEnabled) return {};
    return { tenant: new TextDecoder().decode(state.tenants.name(index)) };
  }
}

function found(answer: Expected<JobView>, what: string): JobView {
  if (answer.value !== null) return answer.value;
  throw new StoreError(answer.code as ErrorCode, what);
}

function notFound(name: string): StoreError {
  return new StoreError(ErrorCode.SEGMENT_NOT_FOUND, `Cannot find segment "${name}"`);
}
