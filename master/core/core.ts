/** The master's core: one method for each call, each of them a thin door to the file that decides. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { ReplicateConfig, Uuid } from "../../proto/types.ts";
import type { Checksum, CoreConfig, FactSink, Keys, ReplicaSink, Rng, Writer } from "./api.ts";
import { ClusterApi } from "./cluster_api.ts";
import { checkCoreConfig } from "./config.ts";
import type { Counters } from "./counters.ts";
import { digest } from "./digest.ts";
import { madeReadable } from "./doubt.ts";
import { FactWriter } from "./facts.ts";
import { grantHold, inheritHolds, keepHolds, refuseHolds } from "./holds.ts";
import { InspectionApi } from "./inspection_api.ts";
import { JobsApi } from "./jobs_api.ts";
import { KeyFormat } from "./key_format.ts";
import { MovementApi } from "./movement_api.ts";
import { ordinaryPages, type PageSource } from "./pages.ts";
import * as puts from "./puts.ts";
import * as reads from "./reads.ts";
import * as removes from "./removes.ts";
import { orderByRecency, RecencyWalk } from "./recency_order.ts";
import { finishReplay, replay } from "./replay.ts";
import { ReservationApi } from "./reservation_api.ts";
import { ScanApi } from "./scan_api.ts";
import type { SegmentTable } from "./segments.ts";
import { tellHomes, tellSnapshot } from "./snapshot.ts";
import { CoreState } from "./state.ts";
import { TableApi } from "./table_api.ts";
import { TenantApi } from "./tenant_api.ts";
import { isTenantName, NO_TENANT } from "./tenants.ts";
import { tick } from "./tick.ts";
import { upsertStart } from "./upserts.ts";

/**
 * All metadata of a cluster and every decision about it: a deterministic state machine. It reads no
 * clock; the same calls with the same times and the same `rng` have the same results.
 *
 * Clients are small integers from {@linkcode MasterCore.internClient}, tenants from
 * {@linkcode MasterCore.internTenant}; keys are `bytes[start, end)`. Calls that engines make for every
 * block create no objects.
 *
 * While {@linkcode MasterCore.readOnly} is set, what would change durable state answers
 * PERSISTENT_FAIL, or does nothing where it answers without a code. Owners can still take back what
 * they lend, and sessions end as ever.
 */
export class MasterCore {
  /** Sessions, segments and disks. */
  readonly cluster: ClusterApi;
  /** Copies, moves, promotions and the tasks that order them. */
  readonly movement: MovementApi;
  /** Drains, rebalances and compactions. */
  readonly jobs: JobsApi;
  /** Memory for puts to come. */
  readonly reservations: ReservationApi;
  /** Views for operators. */
  readonly inspection: InspectionApi;
  /** What looks at every object. */
  readonly scans: ScanApi;
  /** Who may use how much. */
  readonly tenants: TenantApi;
  /** What a cluster shares beside its objects. */
  readonly tables: TableApi;
  readonly #state: CoreState;
  /** Keys that were located, and whose they are. */
  readonly #located = new reads.LocatedKeys();
  #tenant = 0;
  /** Told the names of the segments that went with a client that expired. */
  onClientExpired: (segmentNames: string[]) => void = () => {};

  /**
   * The tables grow by memory from `pages`. `RangeError` when a setting is outside of what the core
   * can do.
   */
  constructor(config: CoreConfig, rng: Rng, pages: PageSource = ordinaryPages) {
    checkCoreConfig(config);
    this.#state = new CoreState(config, rng, pages);
    this.cluster = new ClusterApi(this.#state);
    this.movement = new MovementApi(this.#state);
    this.jobs = new JobsApi(this.#state);
    this.reservations = new ReservationApi(this.#state);
    this.inspection = new InspectionApi(this.#state);
    this.scans = new ScanApi(this.#state);
    this.tenants = new TenantApi(this.#state);
    this.tables = new TableApi(this.#state);
  }

  /** Whether changes are refused, because what is told about them could not be kept. */
  get readOnly(): boolean {
    return this.#state.readOnly;
  }

  set readOnly(readOnly: boolean) {
    this.#state.readOnly = readOnly;
  }

  /**
   * Keeps objects unread that were made readable by these facts, each with its length (u32) in front, and
   * by no others: what could not be kept may be taken back, and who has read it would have read a lie.
   * Stands until the next call; without facts nothing is kept back.
   */
  doubt(framed: readonly Uint8Array[]): void {
    this.#state.doubtful = madeReadable(this.#state, framed);
  }

  /**
   * Puts other settings into force. Sizes of tables and the offset of the clock stay as they were.
   * `RangeError` when a setting is outside of what the core can do.
   */
  reconfigure(config: CoreConfig, nowMs: number): void {
    checkCoreConfig(config);
    this.#checkModels(config);
    keepHolds(this.#state, nowMs);
    const { epochOffsetMs, lifeEvents, fsdir } = this.#state.config;
    Object.assign(this.#state.config, config, { epochOffsetMs, lifeEvents, fsdir });
    const { labels, lookups } = this.#state;
    if (labels.setFormat(config.keyFormat, config.modelAliases)) lookups.forgetLabels();
  }

  /** A change must not leave tenants with nothing that they may write. */
  #checkModels({ keyFormat }: CoreConfig): void {
    const { config, models } = this.#state;
    const namesModel = keyFormat !== "" && new KeyFormat(keyFormat).namesModel;
    if (keyFormat === config.keyFormat || namesModel || !models.needFormat) return;
    throw new RangeError(
      `key_format=${keyFormat}: tenants have lists of models; allowed: a format with {model}`,
    );
  }

  get segments(): SegmentTable {
    return this.#state.segments;
  }

  get counters(): Counters {
    return this.#state.counters;
  }

  /** Objects, unfinished ones included. */
  get keyCount(): number {
    return this.#state.objects.count;
  }

  /** Clients that have remounted and not expired. */
  get activeClients(): number {
    return this.#state.clients.active;
  }

  /** Everything inside, for tests and benches. */
  get state(): CoreState {
    return this.#state;
  }

  /** From now on every durable change is told to `sink`; `null` ends that. */
  attachFacts(sink: FactSink | null): void {
    this.#state.facts = sink === null ? null : new FactWriter(sink, this.#state);
  }

  /** Applies facts that another core has told. Throws on bytes that are no facts. */
  replay(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    replay(this.#state, bytes, start, end);
  }

  /**
   * Tells what objects refer to, tenants, clients, segments and disks, and the small tables but for
   * documents. Twice is the same as once.
   */
  tellHomes(sink: FactSink): void {
    tellHomes(this.#state, sink);
  }

  /**
   * Tells everything durable as facts for a core that knows nothing. Nothing may change meanwhile.
   * Returns the number of objects.
   */
  tellSnapshot(sink: FactSink): number {
    return tellSnapshot(this.#state, sink);
  }

  /**
   * Makes a core that has replayed facts decide by itself. Sessions and leases are not among the
   * facts: what may have been leased counts as leased from now on, and what segments and disks hold
   * can be read once their owners are back.
   */
  finishReplay(nowMs: number): void {
    finishReplay(this.#state, nowMs);
  }

  /**
   * A core of which nothing is known may have served readers until now: what they hold stays as it is,
   * as after {@linkcode MasterCore.finishReplay} of anything.
   */
  inheritHolds(nowMs: number): void {
    inheritHolds(this.#state, nowMs);
  }

  /** Begins to hand over the order of eviction, for {@linkcode MasterCore.orderByRecency} elsewhere. */
  walkRecency(): RecencyWalk {
    return new RecencyWalk(this.#state);
  }

  /** Brings objects that were restored into the order that a {@linkcode RecencyWalk} handed over. */
  orderByRecency(order: readonly Float64Array[]): void {
    orderByRecency(this.#state, order);
  }

  /** A number that is equal for two cores exactly when they hold the same durable state (almost). */
  digest(): number {
    return digest(this.#state);
  }

  /**
   * Does what is due and returns the milliseconds until it is wanted again: 0 when there is more to
   * do at once, at most 500. The sessions of clients age only while this is called about that often.
   */
  tick(nowMs: number): number {
    return tick(this.#state, nowMs, this.onClientExpired);
  }

  /** The index of the client whose id, in wire form, is at `bytes[at, at + 16)`. */
  internClient(bytes: Uint8Array, at: number): number {
    return this.#state.clients.intern(bytes, at);
  }

  /** The index of a client that is known, by its id in wire form at `bytes[at, at + 16)`, or 0. */
  findClient(bytes: Uint8Array, at: number): number {
    return this.#state.clients.findBytes(bytes, at);
  }

  /** Keeps a client known until {@linkcode MasterCore.letGoClient}: calls of its batch are answered. */
  holdClient(index: number): void {
    this.#state.clients.hold(index);
  }

  letGoClient(): void {
    this.#state.clients.letGo();
  }

  /** The index of a client by the text of its id. `RangeError` when it is no id. */
  internClientUuid(id: Uuid): number {
    return this.#state.clients.require(id);
  }

  /**
   * The index of the tenant that a call names. Without multi-tenancy there is one for everybody, 0;
   * with it a name that is not known has the index of no tenant, and INVALID_PARAMS is answered for
   * what cannot be a name.
   */
  internTenant(bytes: Uint8Array, start: number, end: number): number {
    if (!this.#state.config.enableMultiTenants) return 0;
    if (start === end) return NO_TENANT;
    const tenant = this.#state.tenants.find(bytes, start, end);
    if (tenant >= 0) return tenant;
    return isTenantName(bytes, start, end) ? NO_TENANT : ErrorCode.INVALID_PARAMS;
  }

  /** 1 when the key can be read (its lease is renewed then), 0 when not. */
  existKey(tenant: number, bytes: Uint8Array, start: number, end: number, nowMs: number): number {
    return reads.existAt(
      this.#state,
      reads.locateOne(this.#state, tenant, bytes, start, end),
      nowMs,
    );
  }

  /** Describes the readable replicas and renews the lease. OBJECT_NOT_FOUND, REPLICA_IS_NOT_READY. */
  getReplicaList(
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    nowMs: number,
    sink: ReplicaSink,
  ): ErrorCode {
    const slot = reads.locateOne(this.#state, tenant, bytes, start, end);
    return reads.getReplicaListAt(this.#state, slot, nowMs, sink);
  }

  /**
   * Looks many keys up at once, which is faster than one by one when the tables are large.
   * {@linkcode MasterCore.existAt} and {@linkcode MasterCore.getReplicaListAt} then serve them, until
   * the next call of anything else. `describes` says that it will be the latter.
   */
  locate(tenant: number, bytes: Uint8Array, keys: Keys, describes: boolean): void {
    this.#tenant = tenant;
    reads.locate(this.#state, tenant, bytes, keys, describes, this.#located);
  }

  /** {@linkcode MasterCore.existKey} of key `i` of those that were located. */
  existAt(i: number, nowMs: number): number {
    const state = this.#state;
    if (state.labels.isOn) state.labels.turnTo(i);
    return reads.existAt(state, this.#located.slots[i], nowMs);
  }

  /**
   * {@linkcode MasterCore.getReplicaList} of key `i` of those that were located. Its bytes count for the
   * limits of the tenant.
   */
  getReplicaListAt(i: number, nowMs: number, sink: ReplicaSink): ErrorCode {
    const state = this.#state;
    if (state.labels.isOn) state.labels.turnTo(i);
    const slot = this.#located.slots[i];
    const code = reads.getReplicaListAt(state, slot, nowMs, sink);
    if (state.limits.isOn && code === ErrorCode.OK) {
      state.limits.spend(this.#tenant, state.objects.size(slot));
    }
    return code;
  }

  /**
   * Has whoever was told of key `i` of those that were located, with OK, hold what it was told: for so
   * many milliseconds, 0 = not at all. See `holds.ts`.
   */
  grantHoldAt(i: number, nowMs: number): number {
    return grantHold(this.#state, this.#located.slots[i], nowMs);
  }

  /** Holds given since the start. */
  get holdsGranted(): number {
    return this.#state.holds.granted;
  }

  /** A key is about to be removed by force: nobody gets a hold on it from now on. */
  refuseHolds(tenant: number, bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    const slot = this.#state.objects.find(tenant, bytes, start, end);
    if (slot !== 0) refuseHolds(this.#state, slot, nowMs);
  }

  /**
   * Begins a put and describes the replicas to write; `group` is the key's group, `null` = none.
   * INVALID_PARAMS, OBJECT_ALREADY_EXISTS, NO_AVAILABLE_HANDLE, DFS_SERVICE_UNAVAILABLE,
   * TENANT_NOT_REGISTERED, TENANT_QUOTA_EXCEEDED, PERMISSION_DENIED for a model that the tenant may not
   * write.
   */
  putStart(
    writer: Writer,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    size: number,
    config: ReplicateConfig,
    group: Uint8Array | null,
    nowMs: number,
    sink: ReplicaSink,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const state = this.#state;
    return puts.putStart(
      state,
      writer,
      tenant,
      bytes,
      start,
      end,
      size,
      config,
      group,
      nowMs,
      sink,
    );
  }

  /**
   * Completes replicas of a type. OBJECT_NOT_FOUND, ILLEGAL_CLIENT, INVALID_WRITE, REPLICA_IS_GONE, and
   * OBJECT_REPLICA_BUSY while readers hold the version that it would replace: it can be tried again.
   */
  putEnd(
    writer: Writer,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    checksum: Checksum | null,
    replicaType: number,
    nowMs: number,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const state = this.#state;
    return puts.putEnd(state, writer, tenant, bytes, start, end, checksum, replicaType, nowMs);
  }

  /**
   * Gives up unfinished replicas of a type. OBJECT_NOT_FOUND, ILLEGAL_CLIENT, INVALID_WRITE,
   * OBJECT_REPLICA_BUSY as {@linkcode MasterCore.putEnd}.
   */
  putRevoke(
    writer: Writer,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    replicaType: number,
    nowMs: number,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    return puts.putRevoke(this.#state, writer, tenant, bytes, start, end, replicaType, nowMs);
  }

  /**
   * Begins to replace a value, or to put the first one. As {@linkcode MasterCore.putStart}, and
   * OBJECT_HAS_REPLICATION_TASK.
   */
  upsertStart(
    writer: Writer,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    size: number,
    config: ReplicateConfig,
    group: Uint8Array | null,
    nowMs: number,
    sink: ReplicaSink,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const state = this.#state;
    return upsertStart(
      state,
      writer,
      tenant,
      bytes,
      start,
      end,
      size,
      config,
      group,
      nowMs,
      sink,
    );
  }

  /** Makes the new value readable in place of the old one. As {@linkcode MasterCore.putEnd}. */
  upsertEnd(
    writer: Writer,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    checksum: Checksum | null,
    replicaType: number,
    nowMs: number,
  ): ErrorCode {
    return this.putEnd(writer, tenant, bytes, start, end, checksum, replicaType, nowMs);
  }

  /** Gives up the new value; the old one stays. As {@linkcode MasterCore.putRevoke}. */
  upsertRevoke(
    writer: Writer,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    replicaType: number,
    nowMs: number,
  ): ErrorCode {
    return this.putRevoke(writer, tenant, bytes, start, end, replicaType, nowMs);
  }

  /**
   * Removes a key; `force` overrides its lease. OBJECT_NOT_FOUND, OBJECT_HAS_LEASE,
   * REPLICA_IS_NOT_READY, OBJECT_HAS_REPLICATION_TASK, OBJECT_REPLICA_BUSY while readers hold it.
   */
  remove(
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    force: boolean,
    nowMs: number,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    return removes.remove(this.#state, tenant, bytes, start, end, force, nowMs);
  }

  /** Removes the client's own unleased objects, or their replicas under a name; the keys cleared. */
  batchReplicaClear(
    tenant: number,
    keys: readonly Uint8Array[],
    client: Uuid,
    segmentName: string,
    nowMs: number,
  ): Uint8Array[] {
    const owner = this.#state.clients.find(client);
    if (owner === 0 || this.#state.readOnly) return [];
    const cleared = removes.clearReplicas(this.#state, tenant, keys, owner, segmentName, nowMs);
    return cleared.map((i) => keys[i]);
  }

  /** Forgets what a disk held of a key. OBJECT_NOT_FOUND, INVALID_PARAMS. */
  evictDiskReplica(client: Uuid, tenant: number, key: Uint8Array, replicaType: number): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const state = this.#state;
    const owner = state.clients.find(client);
    return removes.evictDiskReplica(state, owner, tenant, key, replicaType);
  }
}
