/**
 * Every metric family of the master: name, type, help, and how its samples are read off a snapshot.
 *
 * Names, types and labels without the `snowskin_` prefix are the reference's, so that its dashboards
 * keep working. A family of a feature that this version lacks is constant 0, as the reference shows
 * it while the feature is off.
 */
import { Counter as CoreCounter } from "../core/counters.ts";
import type { Family } from "./family.ts";
import type { MetricsSnapshot, SegmentUsage } from "./registry.ts";
import { serverFamilies } from "./server_families.ts";
import { tenantFamilies } from "./tenant_families.ts";
import {
  BatchCount,
  batchFamilies,
  familyStart,
  SingleCount,
  singleFamilies,
} from "./rpc_counters.ts";

type Kind = "counter" | "gauge";

function core(name: string, type: Kind, counter: CoreCounter, help: string): Family {
  return { name, type, help, collect: (snapshot, emit) => emit(snapshot.core[counter]) };
}

function stat(
  name: string,
  type: Kind,
  help: string,
  read: (snapshot: MetricsSnapshot) => number,
): Family {
  return { name, type, help, collect: (snapshot, emit) => emit(read(snapshot)) };
}

function absent(name: string, type: Kind, feature: string): Family {
  const help = `Always 0: ${feature} is not part of this version.`;
  return { name, type, help, collect: (_snapshot, emit) => emit(0) };
}

/** One sample per segment name; segments of the same name are taken together by `join`. */
function perSegment(
  name: string,
  field: Exclude<keyof SegmentUsage, "name">,
  join: (a: number, b: number) => number,
  help: string,
): Family {
  return {
    ...{ name, type: "gauge", help },
    collect(snapshot, emit) {
      const values = new Map<string, number>();
      for (const segment of snapshot.segments) {
        const earlier = values.get(segment.name);
        const value = segment[field];
        values.set(segment.name, earlier === undefined ? value : join(earlier, value));
      }
      for (const [segment, value] of values) emit(value, "segment", segment);
    },
  };
}

const sum = (a: number, b: number) => a + b;

function rpcFamilies(): Family[] {
  const count = (name: string, index: number, help: string): Family => ({
    ...{ name, type: "counter", help },
    collect: (snapshot, emit) => emit(snapshot.rpc[index]),
  });
  const families: Family[] = [];
  for (const name of singleFamilies) {
    const start = familyStart(name);
    const prefix = `master_${name}`;
    families.push(
      count(`${prefix}_requests_total`, start + SingleCount.REQUESTS, `${name} calls answered.`),
      count(`${prefix}_failures_total`, start + SingleCount.FAILURES, `${name} calls refused.`),
    );
    if (name === "put_start") families.push(...allocationFamilies);
  }
  for (const name of batchFamilies) {
    const start = familyStart(name);
    const prefix = `master_${name}`;
    families.push(
      count(`${prefix}_requests_total`, start + BatchCount.REQUESTS, `${name} calls answered.`),
      count(
        `${prefix}_failures_total`,
        start + BatchCount.FAILURES,
        `${name} calls in which every item failed.`,
      ),
      count(
        `${prefix}_partial_successes_total`,
        start + BatchCount.PARTIAL_SUCCESSES,
        `${name} calls in which some items failed.`,
      ),
      count(`${prefix}_items_total`, start + BatchCount.ITEMS, `Items in ${name} calls.`),
      count(
        `${prefix}_failed_items_total`,
        start + BatchCount.FAILED_ITEMS,
        `Failed items in ${name} calls.`,
      ),
    );
  }
  return families;
}

const allocationFamilies: Family[] = [
  core(
    "master_put_start_alloc_failures_total",
    "counter",
    CoreCounter.ALLOCATION_FAILURES,
    "Writes refused because there was no space for them.",
  ),
  core(
    "master_put_start_partial_allocations_total",
    "counter",
    CoreCounter.PARTIAL_ALLOCATIONS,
    "Writes that got space for fewer replicas than they asked for.",
  ),
];

const poolFamilies: Family[] = [
  core("master_allocated_bytes", "gauge", CoreCounter.ALLOCATED_BYTES, "Memory in use."),
  core("master_total_capacity_bytes", "gauge", CoreCounter.CAPACITY_BYTES, "Memory lent."),
  perSegment("segment_allocated_bytes", "allocatedBytes", sum, "Memory in use in a segment."),
  perSegment("segment_total_capacity_bytes", "capacityBytes", sum, "Size of a segment."),
  absent("master_nof_allocated_bytes", "gauge", "an NVMe-oF pool"),
  absent("master_total_nof_capacity_bytes", "gauge", "an NVMe-oF pool"),
  core("master_allocated_file_size_bytes", "gauge", CoreCounter.DISK_BYTES, "Disk in use."),
  core("master_total_file_capacity_bytes", "gauge", CoreCounter.DISK_CAPACITY_BYTES, "Disk lent."),
  stat("master_key_count", "gauge", "Objects known.", (snapshot) => snapshot.keyCount),
  core("master_soft_pin_key_count", "gauge", CoreCounter.SOFT_PINNED, "Objects with a soft pin."),
  stat("master_active_clients", "gauge", "Live clients.", (snapshot) => snapshot.activeClients),
  {
    name: "master_value_size_bytes",
    type: "histogram",
    help: "Sizes of the objects that got space.",
    collect() {},
  },
];

const cacheFamilies: Family[] = [
  core("mem_cache_hit_nums_", "counter", CoreCounter.MEMORY_HITS, "Reads answered from memory."),
  core("file_cache_hit_nums_", "counter", CoreCounter.DISK_HITS, "Reads answered from disk."),
  core(
    "mem_cache_hit_bytes_total",
    "counter",
    CoreCounter.MEMORY_HIT_BYTES,
    "Bytes of objects in reads answered from memory.",
  ),
  core(
    "file_cache_hit_bytes_total",
    "counter",
    CoreCounter.DISK_HIT_BYTES,
    "Bytes of objects in reads answered from disk.",
  ),
  core("mem_cache_nums_", "gauge", CoreCounter.IN_MEMORY, "Objects with a replica in memory."),
  core("file_cache_nums_", "gauge", CoreCounter.ON_DISK, "Objects with a replica on disk."),
  core("valid_get_nums_", "counter", CoreCounter.VALID_GETS, "Reads that found a whole replica."),
  core("total_get_nums_", "counter", CoreCounter.GETS, "Reads."),
  ...evictionFamilies(["_total", "_total", "_count", "_bytes"]),
  ...evictionFamilies(["_mem", "_mem", "_count_mem", "_bytes_mem"]),
  core(
    "master_put_start_discard_cnt",
    "counter",
    CoreCounter.WRITES_DISCARDED,
    "Writes given up or replaced whose space is kept back.",
  ),
  core(
    "master_put_start_release_cnt",
    "counter",
    CoreCounter.DISCARDED_RELEASED,
    "Writes whose kept space was given back.",
  ),
  core(
    "master_put_start_discarded_staging_size",
    "gauge",
    CoreCounter.DISCARDED_BYTES,
    "Bytes kept back for discarded writes.",
  ),
];

/** The reference shows its evictions twice: all of them, and those from memory. */
function evictionFamilies([done, tried, keys, bytes]: readonly string[]): Family[] {
  return [
    core(
      `master_successful_evictions${done}`,
      "counter",
      CoreCounter.EVICTIONS_SUCCESSFUL,
      "Evictions that freed something.",
    ),
    core(
      `master_attempted_evictions${tried}`,
      "counter",
      CoreCounter.EVICTIONS_ATTEMPTED,
      "Evictions started.",
    ),
    core(`master_evicted_key${keys}`, "counter", CoreCounter.EVICTED_KEYS, "Objects evicted."),
    core(`master_evicted_size${bytes}`, "counter", CoreCounter.EVICTED_BYTES, "Bytes evicted."),
  ];
}

const promotionFamilies: Family[] = [
  core(
    "master_promotion_in_flight",
    "gauge",
    CoreCounter.PROMOTIONS_IN_FLIGHT,
    "Promotions from disk to memory under way.",
  ),
  ...([
    ["admitted", CoreCounter.PROMOTIONS_ADMITTED, "Promotions queued."],
    ["completed", CoreCounter.PROMOTIONS_COMPLETED, "Promotions finished."],
    ["completed_bytes", CoreCounter.PROMOTED_BYTES, "Bytes promoted."],
    ["expired", CoreCounter.PROMOTIONS_EXPIRED, "Promotions that took too long."],
    ["failed", CoreCounter.PROMOTIONS_FAILED, "Promotions that their client reported as failed."],
    ["cancelled", CoreCounter.PROMOTIONS_CANCELLED, "Promotions whose object or client went away."],
    ["rejected_frequency", CoreCounter.PROMOTION_TOO_RARE, "Not promoted: read too rarely."],
    ["rejected_watermark", CoreCounter.PROMOTION_NO_SPACE, "Not promoted: memory too full."],
    ["rejected_cap", CoreCounter.PROMOTION_QUEUE_FULL, "Not promoted: queue full."],
  ] as const).map(([name, counter, help]) =>
    core(`master_promotion_${name}_total`, "counter", counter, help)
  ),
  ...[
    "recorded",
    "admitted",
    "admission_rejected",
    "expired_evaluated",
    "expired_unevaluated",
    "dropped_limit",
  ].map((name) =>
    absent(`master_promotion_candidate_${name}_total`, "counter", "a list of promotion candidates")
  ),
];

const haFamilies: Family[] = [
  ...[
    "ha_oplog_last_sequence_id",
    "ha_oplog_applied_sequence_id",
    "ha_oplog_standby_lag",
    "ha_oplog_pending_entries",
    "ha_pending_mutation_queue_size",
    "ha_standby_state",
  ].map((name) => absent(name, "gauge", "high availability")),
  absent("ha_state_transitions_total", "counter", "high availability"),
];

const ownFamilies: Family[] = [
  {
    name: "snowskin_build_info",
    type: "gauge",
    help: "Always 1; the labels say what runs.",
    collect: (_snapshot, emit, info) =>
      emit(1, "version", info.version, "cluster_id", info.clusterId),
  },
  {
    name: "snowskin_uptime_seconds",
    type: "gauge",
    help: "Seconds since the process started.",
    collect: (_snapshot, emit, info) => emit(info.uptimeSeconds),
  },
  {
    name: "snowskin_resident_memory_bytes",
    type: "gauge",
    help: "Resident memory of the process.",
    collect: (_snapshot, emit, info) => emit(info.rssBytes),
  },
  perSegment(
    "snowskin_largest_free_bytes",
    "largestFreeBytes",
    Math.max,
    "Largest object that a segment can still take.",
  ),
  core(
    "snowskin_held_bytes",
    "gauge",
    CoreCounter.HELD_BYTES,
    "Memory given back that readers or writers may still touch.",
  ),
  core(
    "snowskin_put_evictions_total",
    "counter",
    CoreCounter.PUT_EVICTIONS,
    "Evictions made inside a write that needed room at once.",
  ),
  core(
    "snowskin_jobs_running",
    "gauge",
    CoreCounter.JOBS_RUNNING,
    "Drains, rebalances and compactions going on.",
  ),
  core(
    "snowskin_job_moved_objects_total",
    "counter",
    CoreCounter.JOB_MOVES,
    "Objects moved by jobs.",
  ),
  core(
    "snowskin_job_moved_bytes_total",
    "counter",
    CoreCounter.JOB_MOVED_BYTES,
    "Bytes moved by jobs.",
  ),
  core(
    "snowskin_job_failed_moves_total",
    "counter",
    CoreCounter.JOB_FAILED_MOVES,
    "Moves of jobs that failed.",
  ),
  core(
    "snowskin_job_dropped_objects_total",
    "counter",
    CoreCounter.JOB_DROPS,
    "Objects that drains dropped for want of room.",
  ),
  core(
    "snowskin_compaction_no_piece_total",
    "counter",
    CoreCounter.COMPACTION_NO_PIECE,
    "Tries to place an object that found no piece long enough, though enough was free in pieces.",
  ),
  core(
    "snowskin_compaction_opened_pieces_total",
    "counter",
    CoreCounter.COMPACTION_OPENED,
    "Long free pieces that compactions have opened.",
  ),
  core(
    "snowskin_compaction_opened_bytes_total",
    "counter",
    CoreCounter.COMPACTION_OPENED_BYTES,
    "Bytes of these pieces.",
  ),
  core(
    "snowskin_compaction_abandoned_total",
    "counter",
    CoreCounter.COMPACTION_ABANDONED,
    "Pieces given up before they were open: put to use by a write, or something could not leave.",
  ),
  core(
    "snowskin_compaction_moved_objects_total",
    "counter",
    CoreCounter.COMPACTION_MOVES,
    "Objects moved by compactions; also among those moved by jobs.",
  ),
  core(
    "snowskin_compaction_moved_bytes_total",
    "counter",
    CoreCounter.COMPACTION_MOVED_BYTES,
    "Bytes moved by compactions; also among those moved by jobs.",
  ),
  core(
    "snowskin_dynamic_replicas",
    "gauge",
    CoreCounter.HOT_COPIES,
    "Further replicas of objects that are read a lot.",
  ),
  core(
    "snowskin_dynamic_replica_bytes",
    "gauge",
    CoreCounter.HOT_BYTES,
    "Bytes of further replicas.",
  ),
  core(
    "snowskin_store_reports_total",
    "counter",
    CoreCounter.STORE_REPORTS,
    "Reports of clients about the stores that they use.",
  ),
  core(
    "snowskin_store_suspicions_total",
    "counter",
    CoreCounter.STORE_SUSPICIONS,
    "Stores that such reports called slow or silent.",
  ),
  core(
    "snowskin_stores_avoided_total",
    "counter",
    CoreCounter.STORES_AVOIDED,
    "How often a store came to be avoided because most of its users suspect it.",
  ),
  core(
    "snowskin_reserved_bytes",
    "gauge",
    CoreCounter.RESERVED_BYTES,
    "Memory that clients have reserved for puts to come.",
  ),
  core(
    "snowskin_reservations_total",
    "counter",
    CoreCounter.RESERVATIONS,
    "Reservations of memory for puts to come.",
  ),
  core(
    "snowskin_reservations_used_total",
    "counter",
    CoreCounter.RESERVATIONS_USED,
    "Reservations that became objects.",
  ),
  core(
    "snowskin_reservations_refused_total",
    "counter",
    CoreCounter.RESERVATIONS_REFUSED,
    "Reservations that were asked for and would have hurt others.",
  ),
  core(
    "snowskin_reservations_expired_total",
    "counter",
    CoreCounter.RESERVATIONS_EXPIRED,
    "Reservations that were neither used nor given back in time.",
  ),
  core(
    "snowskin_fences_ordered_total",
    "counter",
    CoreCounter.FENCES_ORDERED,
    "Orders to nodes to keep a vanished writer out.",
  ),
  core(
    "snowskin_fences_confirmed_total",
    "counter",
    CoreCounter.FENCES_CONFIRMED,
    "Of these, done: the memory was free before the release time-out.",
  ),
  core(
    "snowskin_fences_refused_total",
    "counter",
    CoreCounter.FENCES_REFUSED,
    "Of these, not possible: the memory waits for the release time-out.",
  ),
  core(
    "snowskin_fenced_bytes_total",
    "counter",
    CoreCounter.FENCED_BYTES,
    "Memory that came back early.",
  ),
  core(
    "snowskin_dynamic_replicas_added_total",
    "counter",
    CoreCounter.HOT_ADDED,
    "Further replicas made.",
  ),
  core(
    "snowskin_dynamic_replicas_removed_total",
    "counter",
    CoreCounter.HOT_REMOVED,
    "Further replicas removed: read no more, or their room was wanted.",
  ),
  core(
    "snowskin_dynamic_replicas_failed_total",
    "counter",
    CoreCounter.HOT_FAILED,
    "Further replicas that were ordered and not made.",
  ),
  core(
    "snowskin_dynamic_replicas_observed_total",
    "counter",
    CoreCounter.HOT_OBSERVED,
    "Further replicas that would have been ordered; once per object and heat window.",
  ),
  core(
    "snowskin_dynamic_replicas_no_room_total",
    "counter",
    CoreCounter.HOT_NO_ROOM,
    "Hot objects for which no cooler node with room was found.",
  ),
];

/** All families, in the order in which they are written. */
export const FAMILIES: readonly Family[] = [
  ...poolFamilies,
  ...rpcFamilies(),
  ...cacheFamilies,
  ...promotionFamilies,
  ...haFamilies,
  ...tenantFamilies,
  ...ownFamilies,
  ...serverFamilies,
];
