/** The periodic line about what the master holds and does, in three formats. */
import { Counter as CoreCounter } from "../core/counters.ts";
import type { MetricsSnapshot } from "./registry.ts";
import {
  BatchCount,
  type BatchFamily,
  familyStart,
  SingleCount,
  type SingleFamily,
} from "./rpc_counters.ts";

/** Role of the master and whether it serves. */
export interface MasterStatus {
  role: string;
  state: string;
  serviceReady: boolean;
  /** `null` without high availability. */
  leaderAddress: string | null;
  viewVersion: number | null;
}

const SINGLES: readonly (readonly [label: string, family: SingleFamily])[] = [
  ["PutStart", "put_start"],
  ["PutEnd", "put_end"],
  ["PutRevoke", "put_revoke"],
  ["Get", "get_replica_list"],
  ["Exist", "exist_key"],
  ["Del", "remove"],
  ["DelAll", "remove_all"],
  ["Ping", "ping"],
  ["CopyStart", "copy_start"],
  ["CopyEnd", "copy_end"],
  ["CopyRevoke", "copy_revoke"],
  ["MoveStart", "move_start"],
  ["MoveEnd", "move_end"],
  ["MoveRevoke", "move_revoke"],
  ["EvictDiskReplica", "evict_disk_replica"],
];

const BATCHES: readonly (readonly [label: string, family: BatchFamily])[] = [
  ["PutStart", "batch_put_start"],
  ["PutEnd", "batch_put_end"],
  ["PutRevoke", "batch_put_revoke"],
  ["Get", "batch_get_replica_list"],
  ["ExistKey", "batch_exist_key"],
  ["QueryIp", "batch_query_ip"],
  ["Clear", "batch_replica_clear"],
];

const TASKS: readonly (readonly [label: string, family: SingleFamily])[] = [
  ["CreateMoveTask", "create_move_task"],
  ["CreateCopyTask", "create_copy_task"],
  ["QueryTask", "query_task"],
  ["FetchTasks", "fetch_tasks"],
  ["MarkTaskToComplete", "update_task"],
];

/** Numbers of the summary as plain data, for `--log_format=json`. Rates are per second. */
export interface SummaryFields {
  role: string;
  state: string;
  serviceReady: boolean;
  usedBytes: number;
  capacityBytes: number;
  usedPercent: number;
  keys: number;
  softPinned: number;
  clients: number;
  /** By call: answered without an error, and all. */
  requests: Record<string, { success: number; total: number }>;
  batches: Record<string, { items: number; total: number }>;
  evictedKeys: number;
  evictedBytes: number;
}

/**
 * The reference's text after `Master Admin Metrics: ` and of `/metrics/summary`. Rates are taken
 * between `previous` and `current`; with no `previous` they are 0.
 */
export function summaryText(
  previous: MetricsSnapshot | null,
  current: MetricsSnapshot,
  status: MasterStatus,
): string {
  const rates = new Rates(previous, current);
  const c = current.core;
  const evictions = `Success/Attempts=${c[CoreCounter.EVICTIONS_SUCCESSFUL]}/` +
    `${c[CoreCounter.EVICTIONS_ATTEMPTED]}`;
  const evicted = `keys=${c[CoreCounter.EVICTED_KEYS]}, ` +
    `size=${formatBytes(c[CoreCounter.EVICTED_BYTES])}`;
  const sections = [
    `Mem Storage: ${usage(c[CoreCounter.ALLOCATED_BYTES], c[CoreCounter.CAPACITY_BYTES])}`,
    `NVMe-oF SSD: ${usage(0, 0)}`,
    `SSD Storage: ${usage(c[CoreCounter.DISK_BYTES], c[CoreCounter.DISK_CAPACITY_BYTES])}`,
    `Keys: ${keys(current)}`,
    `Clients: ${current.activeClients}`,
    `Requests (Success/Total per sec): ${
      SINGLES.map(([label, family]) => `${label}=${rates.single(family)}`).join(", ")
    }`,
    `Batch Requests (per sec, Req=Success/PartialSuccess/Total, Item=Success/Total): ${
      [
        ...BATCHES.map(([label, family]) => `${label}:(${rates.batch(family)})`),
        ...TASKS.map(([label, family]) => `${label}:(Req=${rates.single(family)})`),
      ].join(", ")
    }`,
    `Eviction: ${evictions}, AllocFail=${c[CoreCounter.ALLOCATION_FAILURES]}, ` +
    `PartialAlloc=${c[CoreCounter.PARTIAL_ALLOCATIONS]}, ${evicted}`,
    `Mem Eviction: ${evictions}, ${evicted}`,
    "NoF Eviction: Success/Attempts=0/0, keys=0, size=0 B",
    `Discard: Released/Total=${c[CoreCounter.DISCARDED_RELEASED]}/` +
    `${c[CoreCounter.WRITES_DISCARDED]}, ` +
    `StagingSize=${formatBytes(c[CoreCounter.DISCARDED_BYTES])}`,
    `Promotion: in_flight=${c[CoreCounter.PROMOTIONS_IN_FLIGHT]}, ` +
    `admitted=${c[CoreCounter.PROMOTIONS_ADMITTED]}, ` +
    `completed=${c[CoreCounter.PROMOTIONS_COMPLETED]}, ` +
    `failed=${c[CoreCounter.PROMOTIONS_FAILED]}, ` +
    `cancelled=${c[CoreCounter.PROMOTIONS_CANCELLED]}, ` +
    `expired=${c[CoreCounter.PROMOTIONS_EXPIRED]}, ` +
    `bytes=${formatBytes(c[CoreCounter.PROMOTED_BYTES])}, ` +
    `rejected(freq/wm/cap)=${c[CoreCounter.PROMOTION_TOO_RARE]}/` +
    `${c[CoreCounter.PROMOTION_NO_SPACE]}/${c[CoreCounter.PROMOTION_QUEUE_FULL]}`,
    `Snapshots: Success=${current.server.snapshots}, Fail=${current.server.snapshotFailures}`,
  ];
  const leader = status.leaderAddress === null
    ? ""
    : `, leader=${status.leaderAddress}, view_version=${status.viewVersion ?? 0}`;
  return `role=${status.role}, state=${status.state}, service_ready=${status.serviceReady}, ` +
    `master={${sections.join(" | ")}}, ha={${HA_OFF}}${leader}`;
}

const HA_OFF = "HA Metrics Summary: last_seq=0, applied_seq=0, lag=0, pending=0, " +
  "mutation_queue=0, batch_commits=0, sync_commits=0, skipped=0, checksum_fail=0, etcd_fail=0, " +
  "watch_disconn=0, state=0";

/** The short form: `Master Metrics: Storage: <used> / <capacity> (p%) | Keys: n (soft-pinned: m)`. */
export function shortSummary(current: MetricsSnapshot): string {
  const c = current.core;
  const storage = usage(c[CoreCounter.ALLOCATED_BYTES], c[CoreCounter.CAPACITY_BYTES], "(0.0%)");
  return `Master Metrics: Storage: ${storage} | Keys: ${keys(current)}`;
}

/** The summary as data. */
export function summaryFields(
  previous: MetricsSnapshot | null,
  current: MetricsSnapshot,
  status: MasterStatus,
): SummaryFields {
  const rates = new Rates(previous, current);
  const c = current.core;
  const used = c[CoreCounter.ALLOCATED_BYTES];
  const capacity = c[CoreCounter.CAPACITY_BYTES];
  return {
    ...{ role: status.role, state: status.state, serviceReady: status.serviceReady },
    ...{ usedBytes: used, capacityBytes: capacity },
    usedPercent: capacity > 0 ? (used / capacity) * 100 : 0,
    keys: current.keyCount,
    softPinned: c[CoreCounter.SOFT_PINNED],
    clients: current.activeClients,
    requests: Object.fromEntries(
      [...SINGLES, ...TASKS].map(([label, family]) => [label, rates.singleNumbers(family)]),
    ),
    batches: Object.fromEntries(
      BATCHES.map(([label, family]) => [label, {
        items: rates.of(familyStart(family) + BatchCount.ITEMS),
        total: rates.of(familyStart(family) + BatchCount.REQUESTS),
      }]),
    ),
    evictedKeys: c[CoreCounter.EVICTED_KEYS],
    evictedBytes: c[CoreCounter.EVICTED_BYTES],
  };
}

/** Differences of two snapshots per second. */
class Rates {
  readonly #seconds: number;

  constructor(
    readonly previous: MetricsSnapshot | null,
    readonly current: MetricsSnapshot,
  ) {
    this.#seconds = previous === null ? 0 : (current.timeMs - previous.timeMs) / 1000;
  }

  of(index: number): number {
    if (this.previous === null || this.#seconds <= 0) return 0;
    return (this.current.rpc[index] - this.previous.rpc[index]) / this.#seconds;
  }

  singleNumbers(family: SingleFamily): { success: number; total: number } {
    const start = familyStart(family);
    const total = this.of(start + SingleCount.REQUESTS);
    return { success: total - this.of(start + SingleCount.FAILURES), total };
  }

  single(family: SingleFamily): string {
    const { success, total } = this.singleNumbers(family);
    return `${success.toFixed(2)}/${total.toFixed(2)}`;
  }

  batch(family: BatchFamily): string {
    const start = familyStart(family);
    const total = this.of(start + BatchCount.REQUESTS);
    const partial = this.of(start + BatchCount.PARTIAL_SUCCESSES);
    const success = total - partial - this.of(start + BatchCount.FAILURES);
    const items = this.of(start + BatchCount.ITEMS);
    const done = items - this.of(start + BatchCount.FAILED_ITEMS);
    return `Req=${success.toFixed(2)}/${partial.toFixed(2)}/${total.toFixed(2)}, ` +
      `Item=${done.toFixed(2)}/${items.toFixed(2)}`;
  }
}

function keys(snapshot: MetricsSnapshot): string {
  return `${snapshot.keyCount} (soft-pinned: ${snapshot.core[CoreCounter.SOFT_PINNED]})`;
}

/** `<used> / <capacity> (p%)`; `whenEmpty` stands for the percentage of a pool without capacity. */
function usage(used: number, capacity: number, whenEmpty = ""): string {
  const percent = capacity > 0 ? `(${((used / capacity) * 100).toFixed(1)}%)` : whenEmpty;
  return `${formatBytes(used)} / ${formatBytes(capacity)} ${percent}`.trimEnd();
}

/** Bytes with two decimals in KB to TB of 1024, as the reference prints them. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const exponent = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** exponent).toFixed(2)} ${"KMGT"[exponent - 1]}B`;
}
