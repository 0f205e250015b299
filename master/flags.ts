/**
 * Every flag of the master: name, type, default, what is allowed and what it does.
 *
 * Names and defaults are the reference master's, so that its start scripts and config files work
 * unchanged, but that servers are bound to both families; the flags marked `*` in the help have no
 * counterpart there. A flag whose feature this version does not have is listed with `unavailable` and
 * accepted at its default only.
 */
import { GFLAGS_FLAGS } from "./gflags_flags.ts";
import { absent, type Flag, FlagGroup, type FlagValue, group } from "./flag_types.ts";
import { MOVEMENT_FLAGS } from "./movement_flags.ts";

const U32_MAX = 2 ** 32 - 1;
const I32_MAX = 2 ** 31 - 1;
const SAFE_MAX = Number.MAX_SAFE_INTEGER;

const HOST = {
  test: /^[A-Za-z0-9.:_-]+$/,
  allowed: "an IPv4 or IPv6 address or a host name",
};
const HOST_OR_EMPTY = { test: /^[A-Za-z0-9.:_-]*$/, allowed: HOST.allowed };
const CLUSTER_ID = { test: /^[A-Za-z0-9_.-]{1,128}$/, allowed: "1 to 128 of A-Z a-z 0-9 _ . -" };

const net = group(FlagGroup.NETWORK);
const admin = group(FlagGroup.ADMIN);
const meta = group(FlagGroup.METADATA);
const durable = group(FlagGroup.DURABILITY);
const snap = group(FlagGroup.SNAPSHOTS);
const clients = group(FlagGroup.CLIENTS);
const evict = group(FlagGroup.EVICTION);
const disk = group(FlagGroup.DISK);
const tasks = group(FlagGroup.TASKS);
const tenants = group(FlagGroup.TENANTS);
const files = group(FlagGroup.CONFIGURATION);
const ha = group(FlagGroup.HA);

const PORT = [0, 65_535] as const;
const COUNT = [0, U32_MAX] as const;
/** Seconds of a year. */
const SECONDS = [0, 365 * 24 * 3600] as const;

const POLLING = "a log that is read by polling";
const REDIS_CATALOG = "a snapshot catalog in Redis";
const CXL = "CXL memory";
const NOF = "NVMe-oF pools";
const EVENTS = "KV cache events";
const DFS = "a shared file system tier";
const ARENA = "the mmap arena allocator";

/** The table. */
export const FLAGS = [
  net.int("rpc_port", 0, PORT, "Port of the RPC server; 0 = the value of --port."),
  net.int("port", 50_051, PORT, "Older name of --rpc_port; 0 = let the system choose."),
  net.text("rpc_address", "::", "Address the RPC server binds; :: = IPv6 and IPv4.", HOST),
  net.text("rpc_interface", "", "Bind the first address of this interface instead."),
  net.text(
    "rpc_advertise",
    "",
    "* Address shown to people instead of the bound one, where clients reach it by another.",
    HOST_OR_EMPTY,
  ),
  net.int(
    "rpc_thread_num",
    0,
    [0, 4096],
    "Most threads that may serve RPCs; 0 = the value of --max_threads. One is used: a single " +
      "thread owns all metadata, so every value of 1 or more gives the same server.",
  ),
  net.int("max_threads", 16, [1, 4096], "Older name of --rpc_thread_num."),
  net.int(
    "rpc_conn_timeout_seconds",
    0,
    [0, I32_MAX],
    "Close RPC connections that were silent for this long; 0 = never.",
  ),
  net.bool("rpc_enable_tcp_no_delay", true, "Set TCP_NODELAY on RPC connections."),
  net.int(
    "max_frame_bytes",
    64 * 2 ** 20,
    [4096, 2 ** 30],
    "* Largest RPC request body; a larger one is answered with an error.",
  ),
  net.int("max_key_bytes", 2 ** 20, [1, 2 ** 30], "* Longest key; a longer one is refused."),

  admin.int("metrics_port", 9003, PORT, "Port of the admin server; 0 = let the system choose."),
  admin.text(
    "metrics_host",
    "::",
    "Address the admin server binds; :: = IPv6 and IPv4.",
    HOST,
  ),
  admin.bool(
    "insecure",
    false,
    "* Let other hosts change things through the admin server, without any credentials.",
  ),
  admin.bool("enable_metric_reporting", true, "Print the summary line periodically."),
  admin.int("metrics_log_interval", 10, [1, 86_400], "* Seconds between two summary lines."),
  admin.choice(
    "log_format",
    "text",
    ["text", "kep", "json"],
    "* text: the reference's summary line; kep: its short form; json: one object per line.",
  ),
  admin.int("minloglevel", 0, [0, 3], "Lowest level printed: 0 info, 1 warning, 2 error, 3 fatal."),
  admin.int(
    "life_events",
    131_072,
    [0, 2 ** 24],
    "* Ends and changes of keys that `snowskin why` remembers, 33 bytes each, rounded up to a " +
      "power of 2; 0 = none, and misses are not explained.",
  ),
  admin.text(
    "key_format",
    "",
    "* Where keys tell their model and layer, for hit ratios and lists of models: templates " +
      "separated by ; such as {model}@{}@{}@{} or {}_layer{layer}_{}; empty = they tell nothing.",
  ),
  admin.text(
    "model_aliases",
    "",
    "* Other names of models in keys: ALIAS=MODEL separated by ;, for hit ratios and lists of models.",
  ),
  admin.bool("log_prefix", true, "Start each text line with level, time and process id."),
  admin.bool("logtostderr", false, "The log always goes to stderr."),
  admin.bool("alsologtostderr", false, "The log always goes to stderr."),
  admin.int("stderrthreshold", 2, [0, 3], "Every level that is printed goes to stderr."),

  meta.bool(
    "enable_http_metadata_server",
    false,
    "Serve transfer engine metadata over HTTP. Giving the host or the port turns it on, too.",
  ),
  meta.text("http_metadata_server_host", "::", "Address it binds; :: = IPv6 and IPv4.", HOST),
  meta.int("http_metadata_server_port", 8080, PORT, "Its port; 0 = let the system choose."),
  meta.bool(
    "enable_metadata_cleanup_on_timeout",
    false,
    "Delete the metadata of a client's segments when the client expires.",
  ),

  clients.int("client_ttl", 10, [1, 86_400], "Seconds without a ping until a client expires."),
  clients.duration("default_kv_lease_ttl", 10_000, 500, "Lease a reader gets on an object."),
  clients.int(
    "read_hold_ms",
    250,
    [0, 250],
    "* How long a client of this project may read an object that it has looked up without asking again. " +
      "Who replaces it, or removes it by force, waits for that. 0 = it always asks.",
  ),
  clients.duration(
    "default_kv_soft_pin_ttl",
    1_800_000,
    1000,
    "Soft pin when the writer names no time.",
  ),
  clients.duration(
    "max_kv_soft_pin_ttl",
    86_400_000,
    1000,
    "Longest soft pin a writer may ask for.",
  ),
  clients.int(
    "put_start_discard_timeout_sec",
    30,
    [1, SECONDS[1]],
    "Seconds until an unfinished write may be overwritten by another writer.",
  ),
  clients.int(
    "put_start_release_timeout_sec",
    600,
    [1, SECONDS[1]],
    "Seconds until the space of an unfinished write is given out again.",
  ),
  clients.bool(
    "warm_up",
    true,
    "* Exercise the calls of engines for half a second after the start, between requests, so that the " +
      "first of them are served at full speed.",
  ),
  clients.int(
    "put_wait_ms",
    50,
    [0, 60_000],
    "* How long a write waits for space before it is refused; 0 = not at all.",
  ),
  clients.ratio(
    "max_reserved_ratio",
    0.03,
    "* Share of the pool that clients may reserve for puts to come; 0 = they may not.",
  ),

  durable.choice(
    "durability",
    "batch",
    ["fsync", "batch", "none"],
    "* What a reply waits for: fsync = the change is on the disk; batch = it is with the system, " +
      "and on the disk some milliseconds later; none = metadata is lost with the process.",
  ),
  durable.text(
    "data_dir",
    "",
    "* Directory of the metadata, used by one master at a time; empty = snowskin/master under " +
      "$XDG_STATE_HOME or ~/.local/state.",
  ),
  durable.duration(
    "reattach_grace",
    60_000,
    24,
    "* How long a restarted master keeps what clients held that have not come back.",
  ),

  snap.bool("enable_snapshot", false, "Write a snapshot of the metadata periodically."),
  snap.bool(
    "enable_snapshot_restore",
    false,
    "With nothing in --data_dir, start from the newest whole snapshot.",
  ),
  snap.choice(
    "snapshot_object_store_type",
    "",
    ["", "local", "s3"],
    "Where snapshots lie. local, the default: under the directory $MOONCAKE_SNAPSHOT_LOCAL_PATH; " +
      "s3: in the bucket $MOONCAKE_AWS_BUCKET_NAME, reached by the other MOONCAKE_AWS_* and by " +
      "the standard AWS_* variables.",
  ),
  snap.text("snapshot_backup_dir", "", "A further directory that gets every snapshot, too."),
  snap.int("snapshot_interval_seconds", 600, [1, SECONDS[1]], "Seconds between two snapshots."),
  snap.int("snapshot_retention_count", 2, [1, 100_000], "Snapshots that are kept in each place."),
  snap.int(
    "snapshot_child_timeout_seconds",
    300,
    [1, SECONDS[1]],
    "Seconds after which a snapshot that is not over is given up.",
  ),
  snap.choice(
    "snapshot_catalog_store_type",
    "",
    ["", "embedded", "payload"],
    "Where the list of snapshots lies: beside them, whatever the name.",
    { redis: REDIS_CATALOG },
  ),
  snap.choice(
    "snapshot_payload_store_type",
    "",
    ["", "local", "s3"],
    "Older name of --snapshot_object_store_type.",
  ),
  snap.choice(
    "snapshot_payload_backend_type",
    "",
    ["", "local", "s3"],
    "Older name of --snapshot_object_store_type.",
  ),
  snap.choice(
    "snapshot_catalog_backend_type",
    "",
    ["", "embedded", "payload"],
    "Older name of --snapshot_catalog_store_type.",
    { redis: REDIS_CATALOG },
  ),

  evict.int(
    "slow_start_s",
    10,
    [0, 86_400],
    "* Seconds in which the share of new objects of a segment that joins grows to a full one.",
  ),

  ha.bool(
    "enable_ha",
    false,
    "Be one of several masters, of which an engine elects the leader and keeps the log. They share " +
      "keys, quotas and rules of tenants, metadata documents and kept settings, too.",
  ),
  ha.choice(
    "ha_backend_type",
    "etcd",
    ["etcd", "redis", "k8s"],
    "The engine: etcd or redis for both, or a Kubernetes Lease with the log in Redis.",
  ),
  ha.text("etcd_endpoints", "", "etcd as host:port;host:port, also with http:// or https://."),
  ha.text(
    "ha_backend_connstring",
    "",
    "The same for any engine: redis://host:port/db, or https://host:port of a Kubernetes API " +
      "server; empty with k8s = the one that a pod finds.",
  ),
  ha.text("ha_log_connstring", "", "* With k8s: the Redis that keeps the log."),
  ha.text("ha_log_user", "", "* With k8s: user of that Redis."),
  ha.text("ha_log_password_file", "", "* With k8s: file with its password."),
  ha.text(
    "cluster_id",
    "mooncake_cluster",
    "Name of the cluster in the engine and in metrics.",
    CLUSTER_ID,
  ),
  ha.text("pod_name", "", "With k8s: name of this master in the Lease; empty = one is made up."),
  ha.text("pod_namespace", "", "With k8s: namespace of the Lease; empty = default."),
  ha.bool("enable_oplog", false, "The log is always kept with --enable_ha."),
  ha.int(
    "ha_lease_sec",
    2,
    [2, 60],
    "* Seconds until a leader that says nothing is replaced. A leader that cannot reach the engine " +
      "for so long stops answering.",
  ),
  ha.int(
    "ha_log_bytes",
    256 * 2 ** 20,
    [2 ** 16, 2 ** 36],
    "* Bytes of changes after which every master makes a checkpoint and the log lets go of them.",
  ),
  ha.bool(
    "etcd_compact",
    true,
    "* Have etcd forget old versions of all keys; false where it is told to by itself.",
  ),
  ha.text("ha_user", "", "* User of the engine, if it asks for one."),
  ha.text(
    "ha_password_file",
    "",
    "* File with the password, or with the token of a Kubernetes account.",
  ),
  ha.text("ha_tls_ca", "", "* PEM file of the authority that signed the engine's certificate."),
  ha.text("ha_tls_cert", "", "* PEM file of the certificate that this master shows to the engine."),
  ha.text("ha_tls_key", "", "* PEM file of its key."),

  evict.choice(
    "allocation_strategy",
    "random",
    ["random", "free_ratio_first", "ssd_free_ratio_first", "local_first"],
    "How segments are picked for an object.",
    { cxl: CXL },
  ),
  evict.choice("memory_allocator", "offset", ["offset"], "How space inside a segment is managed.", {
    cachelib: "the slab allocator",
  }),
  evict.ratio("eviction_ratio", 0.05, "Share of the pool freed by one eviction."),
  evict.ratio("eviction_high_watermark_ratio", 0.9, "Use of the pool that starts an eviction."),
  evict.bool(
    "allow_evict_soft_pinned_objects",
    true,
    "Evict soft-pinned objects as a last resort.",
  ),

  disk.bool("enable_offload", false, "Let clients keep objects on their own disks."),
  disk.bool("offload_on_evict", false, "Offload at eviction instead of at the end of a write."),
  disk.bool("offload_force_evict", false, "Evict without a disk copy what exceeds the cap."),
  disk.int(
    "offloading_queue_limit",
    50_000,
    [1, U32_MAX],
    "Most queued offloads per disk segment.",
  ),
  disk.ratio("offload_cap_ratio", 0.5, "Share of that queue one eviction may fill."),
  disk.bool(
    "promotion_on_hit",
    false,
    "Bring disk-only objects back to memory when they are read.",
  ),
  disk.int(
    "promotion_admission_threshold",
    2,
    [1, 255],
    "Reads of a key until it is promoted.",
  ),
  disk.int("promotion_max_per_heartbeat", 1, [1, U32_MAX], "Promotions handed out per heartbeat."),
  disk.int("promotion_queue_limit", 50_000, [1, U32_MAX], "Most promotions in flight."),
  disk.bool("enable_disk_eviction", true, "Told to clients: evict from their disk tier."),
  disk.int(
    "quota_bytes",
    0,
    [0, SAFE_MAX],
    "Told to clients: bytes of disk they may use; 0 = 90 % of its capacity.",
  ),

  tenants.bool(
    "enable_multi_tenants",
    false,
    "Give every registered tenant a name space and a quota of its own.",
  ),
  tenants.choice(
    "tenant_quota_connector_type",
    "file",
    ["file"],
    "Where the quotas of tenants are kept.",
    { etcd: "a quota table in etcd" },
  ),
  tenants.text(
    "tenant_quota_connector_uri",
    "",
    "YAML file of the quotas, which the admin server changes; empty = tenants.yaml in the data " +
      "directory, which need not be there at first. With --enable_ha only the first leader of a " +
      "cluster takes it in.",
  ),

  tenants.bool(
    "require_auth",
    false,
    "* Take calls about objects only with an API key in the tenant (name:mk_...), and admin calls " +
      "only with one as a bearer token. The first start, or the first leader of a cluster, prints " +
      "an admin key, once.",
  ),

  tasks.int("max_total_finished_tasks", 10_000, COUNT, "Finished tasks that are remembered."),
  tasks.int("max_total_pending_tasks", 10_000, COUNT, "Most waiting tasks."),
  tasks.int("max_total_processing_tasks", 10_000, COUNT, "Most running tasks."),
  tasks.int("pending_task_timeout_sec", 300, SECONDS, "Seconds a task may wait; 0 = no limit."),
  tasks.int("processing_task_timeout_sec", 300, SECONDS, "Seconds a task may run; 0 = no limit."),
  tasks.int("max_retry_attempts", 10, COUNT, "Times a failed task is tried again."),

  ...MOVEMENT_FLAGS,

  files.text("config_path", "", "JSON or YAML file (.json, .yaml, .yml) with flag names as keys."),
  files.text("flagfile", "", "File with one --flag=value per line; comma-separated for several."),
  files.text("fromenv", "", "Flags that must be set in the environment, as FLAGS_<name>."),
  files.text("tryfromenv", "", "Flags that may be set there. Every FLAGS_<name> is read anyway."),
  files.text("undefok", "", "Unknown flags to skip, comma-separated."),

  absent("oplog_poll_interval_ms", 1000, POLLING),
  absent("oplog_batch_max_entries", 1024, POLLING),
  absent("batch_oplog_retry_timeout_sec", 180, POLLING),
  absent("snapshot_catalog_store_connstring", "", REDIS_CATALOG),
  absent("snapshot_catalog_backend_connstring", "", REDIS_CATALOG),
  absent("enable_cxl", false, CXL),
  absent("cxl_path", "/dev/dax0.0", CXL),
  absent("cxl_size", 8_589_934_592, CXL),
  absent("nof_eviction_ratio", 0.05, NOF),
  absent("nof_eviction_high_watermark_ratio", 0.9, NOF),
  absent("nof_heartbeat_interval_sec", 10, NOF),
  absent("nof_heartbeat_probe_timeout_ms", 1000, NOF),
  absent("nof_heartbeat_failures_threshold", 3, NOF),
  absent("enable_kv_events", false, EVENTS),
  absent("kv_events_bind_endpoint", "", EVENTS),
  absent("kv_events_backend_id", "", EVENTS),
  absent("kv_events_emit_legacy_compat", true, EVENTS),
  absent("kv_events_emit_object_key", true, EVENTS),
  absent("kv_events_queue_capacity", 65_536, EVENTS),
  absent("kv_events_additional_salt", "", EVENTS),
  absent("kv_events_block_size", 0, EVENTS),
  absent("kv_events_dp_rank", 0, EVENTS),
  absent("kv_events_lora_name", "", EVENTS),
  absent("kv_events_model_name", "", EVENTS),
  absent("kv_events_tenant_id", "default", EVENTS),
  absent("root_fs_dir", "", DFS),
  absent("global_file_segment_size", 9_223_372_036_854_775_807n, DFS),
  absent("use_mmap_arena_allocator", false, ARENA),
  absent("mmap_arena_pool_size", 8_589_934_592, ARENA),
  ...GFLAGS_FLAGS,
] as const;

type TableEntry = (typeof FLAGS)[number];
export type FlagName = TableEntry["name"];

type Widen<T extends { type: string; default: FlagValue }> = T["type"] extends "bool" ? boolean
  : T["type"] extends "string" ? string
  : T["type"] extends "enum" ? T["default"]
  : T["default"] extends number ? number
  : number | bigint;

/** The value of every flag, typed by its entry in {@linkcode FLAGS}. */
export type FlagValues = { [F in TableEntry as F["name"]]: Widen<F> };

/** {@linkcode FLAGS} by name. */
export const flagsByName: ReadonlyMap<string, Flag> = new Map(
  FLAGS.map((flag) => [flag.name, flag]),
);

/** The defaults of all flags. */
export function defaultFlagValues(): FlagValues {
  return Object.fromEntries(FLAGS.map((flag) => [flag.name, flag.default])) as FlagValues;
}
