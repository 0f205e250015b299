/** Running numbers that the core itself keeps; the metric families they feed are in comments. */
export const Counter = {
  /** `master_put_start_alloc_failures_total` */
  ALLOCATION_FAILURES: 0,
  /** `master_put_start_partial_allocations_total` */
  PARTIAL_ALLOCATIONS: 1,
  /** `master_attempted_evictions_total` */
  EVICTIONS_ATTEMPTED: 2,
  /** `master_successful_evictions_total` */
  EVICTIONS_SUCCESSFUL: 3,
  /** `master_evicted_key_count` */
  EVICTED_KEYS: 4,
  /** `master_evicted_size_bytes` */
  EVICTED_BYTES: 5,
  /** `master_put_start_discard_cnt` */
  WRITES_DISCARDED: 6,
  /** `master_put_start_release_cnt` */
  DISCARDED_RELEASED: 7,
  /** `master_put_start_discarded_staging_size` */
  DISCARDED_BYTES: 8,
  /** `master_soft_pin_key_count` */
  SOFT_PINNED: 9,
  /** `mem_cache_nums_` */
  IN_MEMORY: 10,
  /** `file_cache_nums_` */
  ON_DISK: 11,
  /** `total_get_nums_` */
  GETS: 12,
  /** `valid_get_nums_` */
  VALID_GETS: 13,
  /** `mem_cache_hit_nums_` */
  MEMORY_HITS: 14,
  /** `mem_cache_hit_bytes_total` */
  MEMORY_HIT_BYTES: 15,
  /** `file_cache_hit_nums_` */
  DISK_HITS: 16,
  /** `file_cache_hit_bytes_total` */
  DISK_HIT_BYTES: 17,
  /** `master_promotion_in_flight` */
  PROMOTIONS_IN_FLIGHT: 18,
  /** `master_promotion_admitted_total` */
  PROMOTIONS_ADMITTED: 19,
  /** `master_promotion_completed_total` */
  PROMOTIONS_COMPLETED: 20,
  /** `master_promotion_completed_bytes_total` */
  PROMOTED_BYTES: 21,
  /** `master_promotion_expired_total` */
  PROMOTIONS_EXPIRED: 22,
  /** `master_promotion_failed_total` */
  PROMOTIONS_FAILED: 23,
  /** `master_promotion_cancelled_total` */
  PROMOTIONS_CANCELLED: 24,
  /** `master_promotion_rejected_frequency_total` */
  PROMOTION_TOO_RARE: 25,
  /** `master_promotion_rejected_watermark_total` */
  PROMOTION_NO_SPACE: 26,
  /** `master_promotion_rejected_cap_total` */
  PROMOTION_QUEUE_FULL: 27,
  /** `master_allocated_bytes`: memory in use, without what only waits for readers and writers */
  ALLOCATED_BYTES: 28,
  /** `master_total_capacity_bytes` */
  CAPACITY_BYTES: 29,
  /** Memory given back that readers or writers may still touch. */
  HELD_BYTES: 30,
  /** `master_allocated_file_size_bytes` */
  DISK_BYTES: 31,
  /** `master_total_file_capacity_bytes` */
  DISK_CAPACITY_BYTES: 32,
  /** Evictions that went through because room was needed at once, inside a put. */
  PUT_EVICTIONS: 33,
  /** Objects sent to disk instead of being evicted. */
  OFFLOADS_FOR_EVICTION: 34,
  /** `snowskin_job_moved_objects_total` */
  JOB_MOVES: 35,
  /** `snowskin_job_moved_bytes_total` */
  JOB_MOVED_BYTES: 36,
  /** `snowskin_job_failed_moves_total` */
  JOB_FAILED_MOVES: 37,
  /** `snowskin_job_dropped_objects_total` */
  JOB_DROPS: 38,
  /** `snowskin_jobs_running` */
  JOBS_RUNNING: 39,
  /** `snowskin_dynamic_replicas_added_total` */
  HOT_ADDED: 40,
  /** `snowskin_dynamic_replicas_removed_total` */
  HOT_REMOVED: 41,
  /** `snowskin_dynamic_replicas_failed_total` */
  HOT_FAILED: 42,
  /** `snowskin_dynamic_replicas_observed_total` */
  HOT_OBSERVED: 43,
  /** `snowskin_dynamic_replicas_no_room_total` */
  HOT_NO_ROOM: 44,
  /** `snowskin_dynamic_replicas` */
  HOT_COPIES: 45,
  /** `snowskin_dynamic_replica_bytes` */
  HOT_BYTES: 46,
  /** `snowskin_fences_ordered_total` */
  FENCES_ORDERED: 47,
  /** `snowskin_fences_confirmed_total` */
  FENCES_CONFIRMED: 48,
  /** `snowskin_fences_refused_total` */
  FENCES_REFUSED: 49,
  /** `snowskin_fenced_bytes_total` */
  FENCED_BYTES: 50,
  /** `snowskin_compaction_no_piece_total` */
  COMPACTION_NO_PIECE: 51,
  /** `snowskin_compaction_opened_pieces_total` */
  COMPACTION_OPENED: 52,
  /** `snowskin_compaction_opened_bytes_total` */
  COMPACTION_OPENED_BYTES: 53,
  /** `snowskin_compaction_abandoned_total` */
  COMPACTION_ABANDONED: 54,
  /** `snowskin_compaction_moved_objects_total` */
  COMPACTION_MOVES: 55,
  /** `snowskin_compaction_moved_bytes_total` */
  COMPACTION_MOVED_BYTES: 56,
  /** `snowskin_store_reports_total` */
  STORE_REPORTS: 57,
  /** `snowskin_store_suspicions_total` */
  STORE_SUSPICIONS: 58,
  /** `snowskin_stores_avoided_total` */
  STORES_AVOIDED: 59,
  /** `snowskin_reservations_total` */
  RESERVATIONS: 60,
  /** `snowskin_reservations_used_total` */
  RESERVATIONS_USED: 61,
  /** `snowskin_reservations_refused_total` */
  RESERVATIONS_REFUSED: 62,
  /** `snowskin_reservations_expired_total` */
  RESERVATIONS_EXPIRED: 63,
  /** `snowskin_reserved_bytes` */
  RESERVED_BYTES: 64,
} as const;
export type Counter = (typeof Counter)[keyof typeof Counter];

/** The numbers of {@linkcode Counter}. Reading them changes nothing. */
export class Counters {
  readonly values = new Float64Array(Object.keys(Counter).length);

  get(counter: Counter): number {
    return this.values[counter];
  }

  add(counter: Counter, amount: number): void {
    this.values[counter] += amount;
  }
}
