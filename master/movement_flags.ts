/** Flags of what the master moves and copies by itself; a part of the table in `flags.ts`. */
import { FlagGroup, group } from "./flag_types.ts";

const tasks = group(FlagGroup.TASKS);

export const MOVEMENT_FLAGS = [
  tasks.choice(
    "dynamic_replication_mode",
    "off",
    ["off", "observe", "enforce"],
    "Give objects that are read a lot a further replica; observe = only count and show them.",
  ),
  tasks.int(
    "dynamic_replication_heat_window_seconds",
    10,
    [1, 86_400],
    "Seconds in which a read counts: 1/e of it is left after them.",
  ),
  tasks.real(
    "dynamic_replication_admission_qps_threshold",
    0.8,
    [0.001, 1_000_000],
    "Reads per second from which an object gets one; below half of it it loses it.",
  ),
  tasks.int(
    "dynamic_replication_max_memory_replicas",
    2,
    [1, 64],
    "Memory replicas of an object, its own included, that this makes at most.",
  ),
  tasks.ratio(
    "dynamic_replication_max_memory_ratio",
    0.1,
    "* Share of the pool that further replicas may take together.",
  ),
  tasks.bool(
    "auto_compaction",
    true,
    "* Move objects together when a put finds no piece of memory though enough is free in pieces.",
  ),
  tasks.ratio(
    "auto_compaction_free_ratio",
    0,
    "* Also when the longest free piece is below this share of a segment's free memory; 0 = never.",
  ),
  tasks.int(
    "auto_compaction_bytes_per_second",
    67_108_864,
    [0, Number.MAX_SAFE_INTEGER],
    "* Bytes that it moves in a second; 0 = no limit.",
  ),
] as const;
