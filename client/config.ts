/**
 * Settings from where a deployment keeps them. What names a setting wins in this order: a definition
 * on the command line, the configuration file, the environment, the default.
 */
import { errorText } from "./transfer/error_text.ts";
import { resolveSettings, seconds, type StoreSettings } from "./settings.ts";

/**
 * Where settings are read; nothing else is looked at.
 *
 * @example
 * ```ts ignore
 * const sources: ConfigSources = { env: process.env, readFile: (path) => readFileSync(path, "utf8") };
 * ```
 */
export interface ConfigSources {
  /** Variables of the environment. */
  env: Readonly<Record<string, string | undefined>>;
  /** Settings by their file key, with the name to use in messages (`--master`, `-D tenant_id`). */
  definitions?: readonly { name: string; key: string; value: string }[];
  /** Path of the configuration file; wins over `MOONCAKE_CONFIG_PATH`. */
  configPath?: string;
  /** Returns the text of a file or throws. */
  readFile(path: string): string;
}

/**
 * What {@linkcode readConfig} found.
 *
 * @example
 * ```ts ignore
 * const config: Config = readConfig(sources);
 * console.log(config.given.has("globalSegmentSize"));
 * ```
 */
export interface Config {
  /** Every setting, checked. */
  settings: StoreSettings;
  /** Settings that somebody set; the others are defaults. */
  given: ReadonlySet<keyof StoreSettings>;
}

interface Source {
  field: keyof StoreSettings;
  /** Keys of the file and of `-D`, as the reference spells them. */
  keys?: readonly string[];
  env?: readonly string[];
  /** Variables that count, too, when Redis keeps the metadata. */
  redisEnv?: readonly string[];
  /** Turns the outer unit into that of the setting. */
  convert?: (name: string, value: unknown) => unknown;
}

const sources: readonly Source[] = [
  { field: "localHostname", keys: ["local_hostname"], env: ["MOONCAKE_LOCAL_HOSTNAME"] },
  { field: "metadataServer", keys: ["metadata_server"], env: ["MOONCAKE_TE_META_DATA_SERVER"] },
  {
    field: "metadataUser",
    env: ["SNOWSKIN_METADATA_USER"],
    redisEnv: ["MC_REDIS_USERNAME"],
  },
  {
    field: "metadataPassword",
    env: ["SNOWSKIN_METADATA_PASSWORD"],
    redisEnv: ["MC_REDIS_PASSWORD"],
  },
  { field: "metadataDatabase", redisEnv: ["MC_REDIS_DB_INDEX"] },
  { field: "metadataTlsCa", env: ["SNOWSKIN_METADATA_TLS_CA"] },
  { field: "metadataTlsCert", env: ["SNOWSKIN_METADATA_TLS_CERT"] },
  { field: "metadataTlsKey", env: ["SNOWSKIN_METADATA_TLS_KEY"] },
  {
    field: "masterServerAddress",
    keys: ["master_server_address", "master_server_addr"],
    env: ["MOONCAKE_MASTER"],
  },
  { field: "clusterId", env: ["MC_STORE_CLUSTER_ID"] },
  { field: "haUser", env: ["SNOWSKIN_HA_USER"] },
  { field: "haPassword", env: ["SNOWSKIN_HA_PASSWORD"] },
  { field: "haTlsCa", env: ["SNOWSKIN_HA_TLS_CA"] },
  { field: "haTlsCert", env: ["SNOWSKIN_HA_TLS_CERT"] },
  { field: "haTlsKey", env: ["SNOWSKIN_HA_TLS_KEY"] },
  {
    field: "globalSegmentSize",
    keys: ["global_segment_size"],
    env: ["MOONCAKE_GLOBAL_SEGMENT_SIZE"],
  },
  { field: "deviceMemory", keys: ["device_memory"], env: ["SNOWSKIN_DEVICE_MEMORY"] },
  { field: "memoryFile", keys: ["memory_file"], env: ["SNOWSKIN_MEMORY_FILE"] },
  { field: "numa", keys: ["numa"], env: ["SNOWSKIN_NUMA", "MC_STORE_NUMA_SOCKET_ID"] },
  { field: "hugepages", keys: ["hugepages"], env: ["SNOWSKIN_HUGEPAGES"] },
  { field: "lockMemory", keys: ["lock_memory"], env: ["SNOWSKIN_LOCK_MEMORY"] },
  { field: "localBufferSize", keys: ["local_buffer_size"], env: ["MOONCAKE_LOCAL_BUFFER_SIZE"] },
  { field: "protocol", keys: ["protocol"], env: ["MOONCAKE_PROTOCOL"] },
  { field: "allowFallback", keys: ["allow_fallback"], env: ["SNOWSKIN_ALLOW_FALLBACK"] },
  {
    field: "transportLibrary",
    keys: ["transport_library"],
    env: ["SNOWSKIN_TRANSPORT_LIBRARY"],
  },
  {
    field: "transportOptions",
    keys: ["transport_options"],
    env: ["SNOWSKIN_TRANSPORT_OPTIONS"],
  },
  { field: "fabricProvider", keys: ["fabric_provider"], env: ["SNOWSKIN_FABRIC_PROVIDER"] },
  { field: "deviceName", keys: ["device_name", "rdma_devices"], env: ["MOONCAKE_DEVICE"] },
  { field: "tlsCertFile", keys: ["tls_cert_file"], env: ["SNOWSKIN_TLS_CERT_FILE"] },
  { field: "tlsKeyFile", keys: ["tls_key_file"], env: ["SNOWSKIN_TLS_KEY_FILE"] },
  { field: "tlsCaFile", keys: ["tls_ca_file"], env: ["SNOWSKIN_TLS_CA_FILE"] },
  { field: "tenantId", keys: ["tenant_id"], env: ["MOONCAKE_TENANT_ID"] },
  { field: "authKey", keys: ["auth_key"], env: ["MOONCAKE_API_KEY"] },
  {
    field: "enableHttpServer",
    keys: ["enable_client_http_server"],
    env: ["MOONCAKE_ENABLE_CLIENT_HTTP_SERVER"],
  },
  { field: "httpPort", keys: ["client_http_port"], env: ["MOONCAKE_CLIENT_HTTP_PORT"] },
  { field: "rpcTimeoutMs", env: ["MC_RPC_TIMEOUT_MS"] },
  { field: "rpcConnectTimeoutMs", env: ["MC_RPC_CONNECT_TIMEOUT_MS"] },
  { field: "transferTimeoutMs", env: ["MC_TRANSFER_TIMEOUT"], convert: seconds },
  { field: "opBudgetMs", keys: ["op_budget_ms"], env: ["SNOWSKIN_OP_BUDGET_MS"] },
  {
    field: "replicaPatienceMs",
    keys: ["replica_patience_ms"],
    env: ["SNOWSKIN_REPLICA_PATIENCE_MS"],
  },
  { field: "hedgePercent", keys: ["hedge_percent"], env: ["SNOWSKIN_HEDGE_PERCENT"] },
  { field: "earlyReads", keys: ["early_reads"], env: ["SNOWSKIN_EARLY_READS"] },
  { field: "heldReads", keys: ["held_reads"], env: ["SNOWSKIN_HELD_READS"] },
  { field: "reservedPuts", keys: ["reserved_puts"], env: ["SNOWSKIN_RESERVED_PUTS"] },
  { field: "bandwidth", keys: ["bandwidth"], env: ["SNOWSKIN_BANDWIDTH"] },
  { field: "handshakeTimeoutMs", env: ["MC_HANDSHAKE_CONNECT_TIMEOUT"], convert: seconds },
  { field: "handshakeMaxLength", env: ["MC_HANDSHAKE_MAX_LENGTH"] },
  { field: "dataPort", keys: ["data_port"], env: ["SNOWSKIN_DATA_PORT"] },
  { field: "bindAddress", keys: ["bind_address"], env: ["SNOWSKIN_BIND_ADDRESS"] },
  { field: "minPort", env: ["MC_MIN_RPC_PORT", "MC_MIN_PRC_PORT"] },
  { field: "maxPort", env: ["MC_MAX_RPC_PORT", "MC_MAX_PRC_PORT"] },
  { field: "advertisedHost", env: ["MC_TCP_BIND_ADDRESS"] },
  { field: "metadataClusterId", env: ["MC_METADATA_CLUSTER_ID"] },
  { field: "storeChecksum", env: ["MOONCAKE_STORE_CHECKSUM"] },
  { field: "memcpy", env: ["MC_STORE_MEMCPY"] },
  { field: "forceTcp", env: ["MC_FORCE_TCP"] },
  { field: "tcpProtocolVersion", env: ["MC_TCP_PROTO"] },
  { field: "topologyFile", env: ["MC_CUSTOM_TOPO_JSON"] },
  { field: "rdmaPort", env: ["MC_IB_PORT"] },
  { field: "rdmaGidIndex", env: ["MC_GID_INDEX", "NCCL_IB_GID_INDEX"] },
  { field: "rdmaMtu", env: ["MC_MTU"] },
  { field: "rdmaServiceLevel", env: ["MC_IB_SL"] },
  { field: "rdmaTrafficClass", env: ["MC_IB_TC"] },
  { field: "rdmaPkeyIndex", env: ["MC_PKEY_INDEX"] },
  { field: "rdmaQpsPerLink", env: ["MC_NUM_QP_PER_EP"] },
  { field: "rdmaMaxLinks", env: ["MC_MAX_EP_PER_CTX"] },
  { field: "rdmaMaxWr", env: ["MC_MAX_WR"] },
  { field: "rdmaMaxSge", env: ["MC_MAX_SGE"] },
  { field: "rdmaMaxInline", env: ["MC_MAX_INLINE"] },
  { field: "rdmaCqEntries", env: ["MC_MAX_CQE_PER_CTX"] },
  { field: "rdmaSliceSize", env: ["MC_SLICE_SIZE"] },
  { field: "rdmaSpinUs", env: ["SNOWSKIN_RDMA_SPIN_US"] },
];

/** Features of the reference that this version lacks: their switches may only be off. */
const switchedOff: readonly { key?: string; env: string; feature: string; off: string }[] = [
  {
    key: "enable_ssd_offload",
    env: "MOONCAKE_OFFLOAD_ENABLED",
    feature: "offload to SSD",
    off: "false",
  },
  { env: "MOONCAKE_ENABLE_DFS", feature: "the distributed file system tier", off: "false" },
  { env: "MC_RPC_PROTOCOL", feature: "another RPC transport", off: "tcp" },
];

/** Keys that mean something only to features that are off. */
const unusedKeys = ["ssd_offload_path"];

/**
 * Reads the configuration. Pure: it looks only at what it is given. `RangeError` with one line that
 * names the setting, the value and what is allowed, for a bad value, an unknown key, or a file that
 * cannot be read.
 *
 * @example
 * ```ts
 * import { readConfig } from "./config.ts";
 *
 * const env = { MOONCAKE_MASTER: "10.0.0.1:50051", MOONCAKE_GLOBAL_SEGMENT_SIZE: "16gb" };
 * const { settings } = readConfig({ env, readFile: () => "" });
 * console.log(settings.globalSegmentSize); // 17179869184
 * ```
 */
export function readConfig(from: ConfigSources): Config {
  const file = readConfigFile(from);
  const given = new Map<keyof StoreSettings, { name: string; value: unknown }>();
  for (const { field, keys = [], env = [], redisEnv = [], convert } of sources) {
    const redis = /^rediss?:/i.test(String(given.get("metadataServer")?.value));
    const entry = firstOf(from, file, keys, redis ? [...env, ...redisEnv] : env);
    if (entry === null) continue;
    const { name, value } = entry;
    given.set(field, { name, value: convert === undefined ? value : convert(name, value) });
  }
  const pages = given.has("hugepages") ? null : hugepagesOf(from.env);
  if (pages !== null) given.set("hugepages", pages);
  for (const { key, env, feature, off } of switchedOff) {
    const entry = firstOf(from, file, key === undefined ? [] : [key], [env]);
    if (entry === null || isOff(entry.value, off)) continue;
    throw new RangeError(
      `${entry.name}=${JSON.stringify(entry.value)} is refused; allowed: ${off} ` +
        `(${feature} is not available in this version)`,
    );
  }
  return { settings: resolveSettings(given), given: new Set(given.keys()) };
}

/** Keys that a configuration file and `-D` may use. */
export const configKeys: readonly string[] = [
  ...sources.flatMap(({ keys = [] }) => keys),
  ...switchedOff.flatMap(({ key }) => key === undefined ? [] : [key]),
  ...unusedKeys,
];

/** The reference's two variables for huge pages: that there be some, and which. */
function hugepagesOf(env: ConfigSources["env"]): { name: string; value: string } | null {
  const { MC_STORE_USE_HUGEPAGE: use, MC_STORE_HUGEPAGE_SIZE: size } = env;
  if (use === undefined || isOff(use, "false")) return null;
  if (size === undefined) return { name: "MC_STORE_USE_HUGEPAGE", value: "2mb" };
  if (/^(2mb|1gb)$/i.test(size.trim())) return { name: "MC_STORE_HUGEPAGE_SIZE", value: size };
  throw new RangeError(
    `MC_STORE_HUGEPAGE_SIZE=${JSON.stringify(size)} is refused; allowed: 2MB, 1GB`,
  );
}

type File = { path: string; values: Readonly<Record<string, unknown>> } | null;

function firstOf(
  from: ConfigSources,
  file: File,
  keys: readonly string[],
  env: readonly string[],
): { name: string; value: unknown } | null {
  const defined = from.definitions?.findLast(({ key }) => keys.includes(key));
  if (defined !== undefined) return defined;
  const key = keys.find((name) => file !== null && Object.hasOwn(file.values, name));
  if (file !== null && key !== undefined) {
    return { name: `${key} of ${file.path}`, value: file.values[key] };
  }
  const variable = env.find((name) => from.env[name] !== undefined);
  return variable === undefined ? null : { name: variable, value: from.env[variable] };
}

function isOff(value: unknown, off: string): boolean {
  const word = String(value ?? "").trim().toLowerCase();
  if (word === off || word === "") return true;
  return off !== "tcp" && ["false", "0", "no", "off", "disable"].includes(word);
}

function readConfigFile(from: ConfigSources): File {
  for (const { name, key } of from.definitions ?? []) checkKey(name, key);
  const path = from.configPath ?? from.env.MOONCAKE_CONFIG_PATH;
  if (path === undefined) return null;
  let values: unknown;
  try {
    values = JSON.parse(from.readFile(path));
  } catch (error) {
    throw new RangeError(
      `Cannot read the configuration file ${JSON.stringify(path)}: ${errorText(error)}`,
    );
  }
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw new RangeError(
      `Cannot read the configuration file ${JSON.stringify(path)}: it holds no JSON object`,
    );
  }
  for (const key of Object.keys(values)) checkKey(path, key);
  return { path, values: values as Record<string, unknown> };
}

function checkKey(where: string, key: string): void {
  if (configKeys.includes(key)) return;
  throw new RangeError(
    `${where}: the key ${JSON.stringify(key)} is unknown; allowed: ${configKeys.join(", ")}`,
  );
}
