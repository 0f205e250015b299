/** The master's settings as plain data, checked against each other, and their parts for the core. */
import type { StorageConfig } from "../proto/types.ts";
import type { CoreConfig } from "./core/api.ts";
import { KeyFormat } from "./core/key_format.ts";
import { ModelAliases } from "./core/model_aliases.ts";
import { FlagError } from "./flag_layers.ts";
import type { FlagSource } from "./flag_types.ts";
import type { FlagName, FlagValues } from "./flags.ts";
import { type HaConfig, haConfig } from "./ha/ha_config.ts";
import { type SnapshotConfig, snapshotConfig } from "./snapshot_config.ts";

/** How the summary line looks; `json` turns every log line into an object. */
export type LogFormat = FlagValues["log_format"];

/** A place to listen; port 0 = the system chooses. */
export interface ListenAddress {
  host: string;
  port: number;
}

/** Everything the master needs to know at start. Structured-cloneable; sizes are bytes. */
export interface MasterConfig {
  rpc: ListenAddress & {
    /** Interface whose address replaces `host`, or empty; see {@linkcode resolveRpcHost}. */
    interface: string;
    /** Host to show people, or empty for the bound one. */
    advertise: string;
    /** Silence after which a connection is closed; 0 = never. */
    idleTimeoutMs: number;
    noDelay: boolean;
    maxFrameBytes: number;
    maxKeyBytes: number;
    /** How long a write waits for space. */
    putWaitMs: number;
  };
  admin: ListenAddress & { insecure: boolean };
  /** `null` = no HTTP metadata server. */
  metadata: ListenAddress & { cleanupOnTimeout: boolean } | null;
  log: {
    format: LogFormat;
    /** 0 info, 1 warning, 2 error, 3 fatal. */
    minLevel: number;
    prefix: boolean;
    /** Time between two summary lines, `null` = none are printed. */
    summaryIntervalMs: number | null;
  };
  /** How metadata outlives the process, `null` = not. `directory` is empty for the default one. */
  durability: { mode: Exclude<FlagValues["durability"], "none">; directory: string } | null;
  /** Snapshots of the metadata, `null` = none. */
  snapshots: SnapshotConfig | null;
  /** Multi-tenancy, `null` = off. `policyPath` is empty for the file in the data directory. */
  tenants: { policyPath: string } | null;
  /** Whether keys are asked for. */
  requireAuth: boolean;
  clusterId: string;
  /** `null` = one master alone. */
  ha: HaConfig | null;
  /** What GetStorageConfig answers. */
  storage: StorageConfig;
  values: FlagValues;
  sources: Record<FlagName, FlagSource>;
  /** Sentences to log at start, about choices that followed from flags. */
  notes: string[];
}

/**
 * Builds the settings from the value of every flag; `env` says how buckets are reached. Throws {@linkcode FlagError} when two flags
 * contradict each other.
 */
export function buildMasterConfig(
  values: FlagValues,
  sources: Record<FlagName, FlagSource>,
  env: Readonly<Record<string, string>> = {},
): MasterConfig {
  const given = (name: FlagName) => sources[name] !== "default";
  const notes: string[] = [];
  checkTimes(values);
  checkDiskTier(values);
  checkKeyFormat(values);
  if (values.durability === "none" && given("data_dir") && values.data_dir !== "") {
    throw new FlagError(`--data_dir=${values.data_dir}: nothing is kept with --durability=none`);
  }
  if (values.max_key_bytes >= values.max_frame_bytes) {
    throw refusal(values, "max_key_bytes", `below --max_frame_bytes=${values.max_frame_bytes}`);
  }

  if (given("port") && values.rpc_port === 0) notes.push("--port is an older name of --rpc_port");
  const threads = values.rpc_thread_num === 0 ? values.max_threads : values.rpc_thread_num;
  if (threads !== 1 && (given("rpc_thread_num") || given("max_threads"))) {
    notes.push(`one thread serves all RPCs; ${threads} is the most that was allowed`);
  }
  const config: MasterConfig = {
    rpc: {
      host: values.rpc_address,
      port: values.rpc_port === 0 ? values.port : values.rpc_port,
      interface: values.rpc_interface,
      advertise: values.rpc_advertise,
      idleTimeoutMs: values.rpc_conn_timeout_seconds * 1000,
      noDelay: values.rpc_enable_tcp_no_delay,
      maxFrameBytes: values.max_frame_bytes,
      maxKeyBytes: values.max_key_bytes,
      putWaitMs: values.put_wait_ms,
    },
    admin: { host: values.metrics_host, port: values.metrics_port, insecure: values.insecure },
    metadata: metadataServer(values, given, notes),
    log: {
      format: values.log_format,
      minLevel: values.minloglevel,
      prefix: values.log_prefix,
      summaryIntervalMs: values.enable_metric_reporting ? values.metrics_log_interval * 1000 : null,
    },
    durability: values.durability === "none"
      ? null
      : { mode: values.durability, directory: values.data_dir },
    snapshots: snapshotConfig(values, sources, env, notes),
    tenants: tenantSettings(values, given, notes),
    requireAuth: requireAuth(values),
    clusterId: values.cluster_id,
    ha: haConfig(values, given, notes),
    storage: {
      fsdir: "",
      enableDiskEviction: values.enable_disk_eviction,
      quotaBytes: values.quota_bytes,
    },
    values,
    sources,
    notes,
  };
  checkPorts(config);
  return config;
}

function metadataServer(
  values: FlagValues,
  given: (name: FlagName) => boolean,
  notes: string[],
): MasterConfig["metadata"] {
  const named = (["http_metadata_server_host", "http_metadata_server_port"] as const).find(given);
  let enabled = values.enable_http_metadata_server;
  if (named && !given("enable_http_metadata_server")) {
    enabled = true;
    notes.push(`the HTTP metadata server is on because --${named} is given`);
  } else if (named && !enabled) {
    notes.push(`--${named} has no effect with --enable_http_metadata_server=false`);
  }
  if (!enabled) {
    if (values.enable_metadata_cleanup_on_timeout) {
      throw new FlagError(
        "--enable_metadata_cleanup_on_timeout=true: needs --enable_http_metadata_server=true; " +
          "allowed: false",
      );
    }
    return null;
  }
  return {
    host: values.http_metadata_server_host,
    port: values.http_metadata_server_port,
    cleanupOnTimeout: values.enable_metadata_cleanup_on_timeout,
  };
}

function requireAuth(values: FlagValues): boolean {
  if (!values.require_auth) return false;
  if (values.durability === "none") {
    throw new FlagError(
      "--require_auth=true: keys are kept in the data directory, and there is none with " +
        "--durability=none; allowed: false, or another --durability",
    );
  }
  if (values.insecure) {
    throw new FlagError("--insecure=true: contradicts --require_auth=true; allowed: false");
  }
  return true;
}

function tenantSettings(
  values: FlagValues,
  given: (name: FlagName) => boolean,
  notes: string[],
): MasterConfig["tenants"] {
  const policyPath = values.tenant_quota_connector_uri;
  if (!values.enable_multi_tenants) {
    if (given("tenant_quota_connector_uri") && policyPath !== "") {
      notes.push("--tenant_quota_connector_uri has no effect without --enable_multi_tenants");
    }
    return null;
  }
  if (policyPath === "" && values.durability === "none") {
    throw new FlagError(
      "--tenant_quota_connector_uri=: there is no data directory with --durability=none; " +
        "allowed: the path of a YAML file",
    );
  }
  return { policyPath };
}

function checkTimes(values: FlagValues): void {
  if (values.default_kv_soft_pin_ttl > values.max_kv_soft_pin_ttl) {
    const most = values.max_kv_soft_pin_ttl;
    throw refusal(values, "default_kv_soft_pin_ttl", `0 to --max_kv_soft_pin_ttl=${most}`);
  }
  const discard = values.put_start_discard_timeout_sec;
  if (values.put_start_release_timeout_sec <= discard) {
    const least = `more than --put_start_discard_timeout_sec=${discard}`;
    throw refusal(values, "put_start_release_timeout_sec", least);
  }
}

function checkDiskTier(values: FlagValues): void {
  const needs = [
    ["offload_on_evict", "enable_offload"],
    ["offload_force_evict", "offload_on_evict"],
    ["promotion_on_hit", "enable_offload"],
  ] as const;
  for (const [flag, other] of needs) {
    if (values[flag] && !values[other]) {
      throw new FlagError(`--${flag}=true: needs --${other}=true; allowed: false`);
    }
  }
}

function checkKeyFormat(values: FlagValues): void {
  const check = (name: "key_format" | "model_aliases", read: (text: string) => unknown) => {
    const text = values[name];
    if (text === "") return;
    try {
      read(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new FlagError(`--${name}=${text}: ${error.message}`);
    }
  };
  check("key_format", (text) => new KeyFormat(text));
  check("model_aliases", (text) => new ModelAliases(text));
}

function checkPorts(config: MasterConfig): void {
  const servers: [flag: string, address: ListenAddress][] = [
    [config.values.rpc_port === 0 ? "port" : "rpc_port", config.rpc],
    ["metrics_port", config.admin],
  ];
  if (config.metadata) servers.push(["http_metadata_server_port", config.metadata]);
  for (const [index, [flag, address]] of servers.entries()) {
    const other = servers.slice(0, index).find(([, earlier]) => overlap(earlier, address));
    if (other) {
      throw new FlagError(
        `--${flag}=${address.port}: already taken by --${other[0]}; allowed: another port or host`,
      );
    }
  }
}

function overlap(a: ListenAddress, b: ListenAddress): boolean {
  const wildcard = (host: string) => host === "0.0.0.0" || host === "::";
  if (a.port !== b.port || a.port === 0) return false;
  return a.host === b.host || wildcard(a.host) || wildcard(b.host);
}

function refusal(values: FlagValues, name: FlagName, allowed: string): FlagError {
  return new FlagError(
    `--${name}=${values[name]}: does not fit the other flags; allowed: ${allowed}`,
  );
}

/**
 * The address to bind for RPC: `rpc.host`, or the first address of `rpc.interface` (IPv4 before
 * IPv6). Throws {@linkcode FlagError} when there is no such interface.
 */
export function resolveRpcHost(
  config: MasterConfig,
  interfaces: readonly { name: string; family: "IPv4" | "IPv6"; address: string }[],
): string {
  const wanted = config.rpc.interface;
  if (wanted === "") return config.rpc.host;
  const own = interfaces.filter(({ name }) => name === wanted);
  const found = own.find(({ family }) => family === "IPv4") ?? own[0];
  if (found) return found.address;
  const names = [...new Set(interfaces.map(({ name }) => name))].join(", ");
  throw new FlagError(`--rpc_interface=${wanted}: no such interface; allowed: ${names}`);
}

/**
 * The core's part of the settings. `epochOffsetMs` is what the core adds to its monotonic time to
 * get Unix time. A time-out of 0 seconds means none and becomes `Infinity`.
 */
export function toCoreConfig(config: MasterConfig, epochOffsetMs: number): CoreConfig {
  const v = config.values;
  return {
    defaultKvLeaseTtlMs: v.default_kv_lease_ttl,
    readHoldMs: v.read_hold_ms,
    defaultKvSoftPinTtlMs: v.default_kv_soft_pin_ttl,
    maxKvSoftPinTtlMs: v.max_kv_soft_pin_ttl,
    allowEvictSoftPinnedObjects: v.allow_evict_soft_pinned_objects,
    evictionRatio: v.eviction_ratio,
    evictionHighWatermarkRatio: v.eviction_high_watermark_ratio,
    clientTtlMs: v.client_ttl * 1000,
    putStartDiscardTimeoutMs: v.put_start_discard_timeout_sec * 1000,
    putStartReleaseTimeoutMs: v.put_start_release_timeout_sec * 1000,
    maxReservedShare: v.max_reserved_ratio,
    slowStartMs: v.slow_start_s * 1000,
    allocationStrategy: v.allocation_strategy,
    enableOffload: v.enable_offload,
    offloadOnEvict: v.offload_on_evict,
    offloadForceEvict: v.offload_force_evict,
    offloadingQueueLimit: v.offloading_queue_limit,
    offloadCapRatio: v.offload_cap_ratio,
    promotionOnHit: v.promotion_on_hit,
    promotionAdmissionThreshold: v.promotion_admission_threshold,
    promotionMaxPerHeartbeat: v.promotion_max_per_heartbeat,
    promotionQueueLimit: v.promotion_queue_limit,
    maxTotalFinishedTasks: v.max_total_finished_tasks,
    maxTotalPendingTasks: v.max_total_pending_tasks,
    maxTotalProcessingTasks: v.max_total_processing_tasks,
    pendingTaskTimeoutMs: v.pending_task_timeout_sec * 1000 || Infinity,
    processingTaskTimeoutMs: v.processing_task_timeout_sec * 1000 || Infinity,
    maxRetryAttempts: v.max_retry_attempts,
    reattachGraceMs: v.reattach_grace,
    replicationMode: v.dynamic_replication_mode,
    replicationHeatWindowMs: v.dynamic_replication_heat_window_seconds * 1000,
    replicationAdmissionQps: v.dynamic_replication_admission_qps_threshold,
    replicationMaxReplicas: v.dynamic_replication_max_memory_replicas,
    replicationMaxShare: v.dynamic_replication_max_memory_ratio,
    autoCompaction: v.auto_compaction,
    autoCompactionFreeRatio: v.auto_compaction_free_ratio,
    autoCompactionBytesPerSecond: Number(v.auto_compaction_bytes_per_second),
    lifeEvents: v.life_events === 0 ? 0 : Math.max(2, 2 ** Math.ceil(Math.log2(v.life_events))),
    enableMultiTenants: v.enable_multi_tenants,
    keyFormat: v.key_format,
    modelAliases: v.model_aliases,
    fsdir: config.storage.fsdir,
    epochOffsetMs,
  };
}
