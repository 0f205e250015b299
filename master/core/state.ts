import { ExtentPool } from "./allocator.ts";
import type { CoreConfig, Rng } from "./api.ts";
import type { Aside } from "./aside.ts";
import { ClientTable } from "./clients.ts";
import { CompactionDemand } from "./compaction_demand.ts";
import { Counters } from "./counters.ts";
import { DeadlineQueue } from "./deadline_queue.ts";
import { DiskTable } from "./disks.ts";
import type { FactWriter } from "./facts.ts";
import { FenceOrders } from "./fence_orders.ts";
import { FrequencySketch } from "./frequency_sketch.ts";
import { GroupTable } from "./groups.ts";
import { Holds } from "./holds.ts";
import { HotCopies } from "./hot_copies.ts";
import { JobTable } from "./job_table.ts";
import { KeyHasher } from "./key_hash.ts";
import { KeyLabels } from "./key_labels.ts";
import { RecencyLists } from "./lru.ts";
import { LifeLog } from "./life_log.ts";
import { Lookups } from "./lookups.ts";
import { Misses } from "./misses.ts";
import { ModelLists } from "./model_lists.ts";
import { ObjectTable } from "./objects.ts";
import { OwedEnds } from "./owed_ends.ts";
import { PeerReports } from "./peer_reports.ts";
import { ordinaryPages, type PageSource } from "./pages.ts";
import { PromisedMemory } from "./promised_memory.ts";
import { Quarantine } from "./quarantine.ts";
import { QuotaTable } from "./quotas.ts";
import { ReplicaTable } from "./replicas.ts";
import { SegmentTable } from "./segments.ts";
import { longestSharedPath } from "./shared_path.ts";
import { SmallTables } from "./small_tables.ts";
import { TaskTable } from "./tasks.ts";
import { TenantLimits } from "./tenant_limits.ts";
import { TenantTable } from "./tenants.ts";
import { TransferTable } from "./transfers.ts";
import { UnmountedIds } from "./unmounted_ids.ts";
import { WriteTable } from "./writes.ts";

/** Replicas of one kind that an object can get at most. */
export const MAX_REPLICAS = 64;

/** What a put or upsert is about to enter; one instance is used again and again. */
export class WriteRequest {
  readonly writer = { client: 0, writeId: 0 };
  tenant = 0;
  /** Of the key, as `ObjectTable.lastHash` has it after the key was looked for. */
  hash = 0;
  /** It is for an object without a key. */
  reserves = false;
  startMs = 0;
  size = 0;
  softAction = 0;
  softTtlMs = 0;
  hardPin = false;
  dataType = 0;
  group: Uint8Array | null = null;
  /** Replicas in memory that are asked for. */
  wanted = 0;
  /** Segment names that are to be tried first. */
  preferred: readonly string[] = [];
  /** Host whose segments come next, "" = any. */
  writerHost = "";
  /** Spreads objects over the segments of one host. */
  salt = 0;
  /** Extents found for it. */
  count = 0;
  readonly extents = new Int32Array(MAX_REPLICAS);
  /** Whether a copy in the shared file system is written too. */
  onSharedDisk = false;
}

/** Everything the master knows. Only `mutations.ts` changes what outlives the process. */
export class CoreState {
  readonly objects: ObjectTable;
  readonly replicas: ReplicaTable;
  readonly extents: ExtentPool;
  readonly segments: SegmentTable;
  readonly clients: ClientTable;
  readonly tenants = new TenantTable();
  readonly quotas = new QuotaTable();
  readonly limits = new TenantLimits();
  readonly tables = new SmallTables();
  readonly writes = new WriteTable();
  readonly groups: GroupTable;
  readonly recency: RecencyLists;
  readonly quarantine = new Quarantine();
  readonly promised = new PromisedMemory();
  readonly unmounted = new UnmountedIds();
  /** Not durable. */
  readonly holds = new Holds();
  readonly softPins = new DeadlineQueue();
  readonly fenceOrders = new FenceOrders();
  readonly owedEnds = new OwedEnds();
  readonly disks = new DiskTable();
  readonly transfers = new TransferTable();
  readonly tasks = new TaskTable();
  readonly jobs = new JobTable();
  readonly demand = new CompactionDemand();
  /** What compaction keeps free of new data at the moment. */
  aside: Aside | null = null;
  readonly hot = new HotCopies();
  /** Not durable: after a restart clients tell anew. */
  readonly peerReports = new PeerReports();
  readonly counters = new Counters();
  /** How often objects are read from disks. */
  readonly reads = new FrequencySketch();
  readonly labels = new KeyLabels();
  readonly models = new ModelLists(this.labels);
  readonly lookups = new Lookups(this.labels);
  readonly lives: LifeLog;
  readonly misses: Misses;
  readonly request = new WriteRequest();
  facts: FactWriter | null = null;
  nextReplicaId = 1;
  /** Nothing durable is changed for clients, because it could not be kept. */
  readOnly = false;
  /** Slots of objects that nobody may see, because what made them readable may be taken back. */
  doubtful: ReadonlySet<number> = new Set();
  /** Until when owners are awaited, in the time of `clients.awakeMs`. */
  awaitedUntilMs = Infinity;
  /** Until when some segment has not its full share yet, in the time of `clients.awakeMs`. */
  slowStartUntilMs = -Infinity;
  /** Bytes that eviction is still to free, beyond what the watermark asks for. */
  wantedBytes = 0;
  /** Memory of objects that are being written to disk so that it can be freed. */
  offloadingBytes = 0;

  constructor(readonly config: CoreConfig, readonly rng: Rng, pages: PageSource = ordinaryPages) {
    this.objects = new ObjectTable(new KeyHasher(rng), pages);
    this.replicas = new ReplicaTable(pages);
    this.extents = new ExtentPool(pages);
    this.segments = new SegmentTable(this.extents);
    this.clients = new ClientTable(rng);
    this.groups = new GroupTable(this.objects);
    this.recency = new RecencyLists(this.objects);
    this.lives = new LifeLog(config.lifeEvents);
    this.misses = new Misses(this.lives, this.lookups);
    this.labels.setFormat(config.keyFormat, config.modelAliases);
    if (config.fsdir !== "") this.segments.noteText(longestSharedPath(config.fsdir));
  }
}
