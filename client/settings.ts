/**
 * What a store client can be told, with the check and the default of each setting. Options of
 * `StoreClient.connect`, environment variables, configuration files and flags all end here.
 */
import { isIP } from "node:net";
import { MASTER_ADDRESS_FORMS, parseMasterAddress } from "./leader/address.ts";
import { hasZone, parseHostPort } from "./transfer/address.ts";
import { DEVICE_MAP_FORM, isDeviceMap, parseDeviceMap } from "./transfer/device_map.ts";
import { DEFAULT_PLACEMENT } from "./transfer/engine.ts";
import { parseMetadataServer } from "./transfer/metadata_server.ts";
import { TRANSPORT_NAMES } from "./transfer/transport_names.ts";
import { parseBandwidth } from "./bandwidth.ts";
import type { EarlyReadsChoice, HeldReadsChoice } from "./known_places.ts";
import type { ReservedPutsChoice } from "./reserved_puts.ts";
import { parseSize } from "./size.ts";
import { checkTransport } from "./transport_settings.ts";

/**
 * Checked settings. Sizes are bytes, times milliseconds.
 *
 * @example
 * ```ts ignore
 * const settings: StoreSettings = readConfig(sources).settings;
 * const client = await StoreClient.connect(settings);
 * ```
 */
export interface StoreSettings {
  /**
   * Host that peers reach this process at, with the port that names its segment if one is given;
   * 127.0.0.1, or ::1 with a master that is given by an IPv6 address.
   */
  localHostname: string;
  /**
   * Where transfer endpoints find each other: `P2PHANDSHAKE`, an http(s) URL,
   * `etcd://host:port,host:port` or `redis://host:port/db`.
   */
  metadataServer: string;
  /** User and password for an etcd or Redis that keeps these metadata; empty = none. */
  metadataUser: string;
  /** See `metadataUser`. */
  metadataPassword: string;
  /** Database of a Redis whose URL names none. */
  metadataDatabase: number;
  /** PEM files for connections to them; empty = none. */
  metadataTlsCa: string;
  /** Certificate that this client shows; see `metadataTlsCa`. */
  metadataTlsCert: string;
  /** Its key. */
  metadataTlsKey: string;
  /**
   * `host:port`; or where the leader of several masters is found: a list of `host:port` with commas,
   * `etcd://host:port,host:port`, `redis://host:port/db`, `k8s://namespace`.
   */
  masterServerAddress: string;
  /** Name of the cluster of masters in etcd, Redis or Kubernetes. */
  clusterId: string;
  /** User and password for etcd, Redis, or the token for Kubernetes; empty = none. */
  haUser: string;
  /** See `haUser`. */
  haPassword: string;
  /** PEM files for connections to them; empty = none. */
  haTlsCa: string;
  /** Certificate that this client shows; see `haTlsCa`. */
  haTlsCert: string;
  /** Its key. */
  haTlsKey: string;
  /** Memory lent to the pool; 0 = pure client. */
  globalSegmentSize: number;
  /** Device that the lent memory lies on, as `cuda:0`; empty = memory of the host. */
  deviceMemory: string;
  /**
   * NUMA nodes of the lent memory: `off`, `interleave` or `split` over all, or those to split over, as
   * `0,1`.
   */
  numa: string;
  /**
   * Pages of the lent memory: `auto`, `thp` (the same, and says why there are none), `off`, or the
   * largest to take from a pool, `2mb` or `1gb`.
   */
  hugepages: string;
  /** DAX device or file that the lent memory is; empty = none. */
  memoryFile: string;
  /** Whether lent memory is locked; refused where that is not allowed. */
  lockMemory: boolean;
  /** Staging memory; 0 = pure server, which refuses data calls. */
  localBufferSize: number;
  /**
   * How bytes travel: `tcp` with the memory of this host used directly, `rdma` to peers that have it,
   * `rpc_only`: plain TCP connections and nothing else, `libfabric`, `efa`, `cxi`, or the name of
   * a transport with a library of its own.
   */
  protocol: string;
  /** With protocol `rdma`: use TCP where there is no library for RDMA or no device. */
  allowFallback: boolean;
  /** Library with the transport that `protocol` names, see `mc/transport_plugin.h`; empty = none. */
  transportLibrary: string;
  /** Handed to that library. */
  transportOptions: string;
  /** Provider of protocol `libfabric`; empty = tcp. */
  fabricProvider: string;
  /** RDMA devices joined by commas; empty = all that are up. TCP uses none. */
  deviceName: string;
  /**
   * PEM file of the certificate that this process shows to peers, which have to show one, too: handshakes
   * and data go over TLS 1.3 then. Empty = in the clear. Together with the next two.
   */
  tlsCertFile: string;
  /** PEM file of its key. */
  tlsKeyFile: string;
  /** PEM file of the authorities whose certificates are accepted. */
  tlsCaFile: string;
  /** Whose objects these are. */
  tenantId: string;
  /** API key of the tenant, for a master that asks for one; empty = none. */
  authKey: string;
  /** Whether a store node serves health and metrics over HTTP. */
  enableHttpServer: boolean;
  /** Port of that server. */
  httpPort: number;
  /** For one call to the master. */
  rpcTimeoutMs: number;
  /** Until the master is connected. */
  rpcConnectTimeoutMs: number;
  /** For one batch of transfers. */
  transferTimeoutMs: number;
  /** For one call of the client in all, whatever it takes: calls to the master, transfers, retries. */
  opBudgetMs: number;
  /** Bytes a second of each class of transfers, such as `low=200mb,normal=2gb`; empty = no limit. */
  bandwidth: string;
  /** How long one replica is waited for where there is another one, and 1 ms more for 64 KiB. */
  replicaPatienceMs: number;
  /**
   * Per cent of the bytes read that may be read a second time, from another replica, when the first
   * one is slow for its peer; 0 = none.
   */
  hedgePercent: number;
  /**
   * Whether an object that this client has read or written lately is read where it was while the master
   * is asked whether it is there: `auto` where its answers take their time, `on`, `off`. Needs
   * `storeChecksum`.
   */
  earlyReads: EarlyReadsChoice;
  /** Whether an object is read again without asking the master while it has promised that it stays. */
  heldReads: HeldReadsChoice;
  /** Whether the end of a put reserves memory for the next one that is like it: `on`, `off`. */
  reservedPuts: ReservedPutsChoice;
  /** For one handshake with a peer. */
  handshakeTimeoutMs: number;
  /** Bytes of a handshake frame. */
  handshakeMaxLength: number;
  /** Port for handshakes and data of this process; 0 = a free one of the next two. */
  dataPort: number;
  /** Address that it is bound to; empty = all, or that of a loopback `localHostname`. */
  bindAddress: string;
  /** Ports that are taken when `dataPort` is 0. */
  minPort: number;
  /** Last of these ports. */
  maxPort: number;
  /** Host published instead of that of `localHostname`; empty = not replaced. */
  advertisedHost: string;
  /** Inserted into metadata keys; empty = none. */
  metadataClusterId: string;
  /** Whether objects get a checksum when they are written and are checked when they are read. */
  storeChecksum: boolean;
  /** Whether replicas in this process are copied instead of sent over the network. */
  memcpy: boolean;
  /** Use TCP also for peers on this host, whose memory is mapped and copied otherwise. */
  forceTcp: boolean;
  /** Framing asked of peers: 2 is acknowledged, 1 the older form. */
  tcpProtocolVersion: 1 | 2;
  /** File with a priority matrix, instead of what sysfs tells; empty = none. RDMA only. */
  topologyFile: string;
  /** Port of each RDMA device. */
  rdmaPort: number;
  /** Index of the GID to use; -1 = one is chosen, RoCE v2 and routable first. */
  rdmaGidIndex: number;
  /** Bytes of a packet, at most what the port has. */
  rdmaMtu: number;
  /** Service level of packets. */
  rdmaServiceLevel: number;
  /** Traffic class of packets. */
  rdmaTrafficClass: number;
  /** Index of the partition key. */
  rdmaPkeyIndex: number;
  /** Queue pairs between two devices; 0 = 4, and 2 to those of the reference. */
  rdmaQpsPerLink: number;
  /** Pairs of devices that stay connected. */
  rdmaMaxLinks: number;
  /** Work requests of a queue pair. */
  rdmaMaxWr: number;
  /** Entries of a work request. */
  rdmaMaxSge: number;
  /** Bytes that are sent inside of a work request. */
  rdmaMaxInline: number;
  /** Entries of a completion queue. */
  rdmaCqEntries: number;
  /** Bytes of one work request. */
  rdmaSliceSize: number;
  /** Microseconds of polling for completions before a wait sleeps. */
  rdmaSpinUs: number;
}

const KIB = 1024;
const placementFields = ["numa", "hugepages", "lockMemory"] as const;
const TIB = 1024 ** 4;

type Read<T> = (name: string, value: unknown) => T;

function refuse(name: string, value: unknown, allowed: string): never {
  const zone = hasZone(String(value)) ? " (a zone such as %eth0 means nothing to others)" : "";
  throw new RangeError(`${name}=${JSON.stringify(value)} is refused; allowed: ${allowed}${zone}`);
}

const text: Read<string> = (name, value) => {
  if (typeof value !== "string") return refuse(name, value, "text");
  return value;
};

const filledText: Read<string> = (name, value) => {
  if (typeof value !== "string" || value.trim() === "") return refuse(name, value, "text");
  return value;
};

const hostname: Read<string> = (name, value) => {
  const parsed = parseHostPort(String(value));
  if (parsed === null) return refuse(name, value, "host, host:port or [v6 address]:port");
  return String(value);
};

const optionalHost: Read<string> = (name, value) => {
  if (value === "") return "";
  const parsed = parseHostPort(String(value));
  if (parsed === null || parsed.port !== null) return refuse(name, value, "a host or an address");
  return parsed.host;
};

const bindAddress: Read<string> = (name, value) => {
  if (value === "" || isIP(String(value)) !== 0) return String(value);
  return refuse(name, value, "an IPv4 or IPv6 address; 0.0.0.0 = all of IPv4, :: = all of both");
};

const masterAddress: Read<string> = (name, value) => {
  const address = String(value);
  if (parseMasterAddress(address) === null) return refuse(name, value, MASTER_ADDRESS_FORMS);
  return address;
};

const clusterId: Read<string> = (name, value) => {
  if (/^[A-Za-z0-9_.-]{1,128}$/.test(String(value))) return String(value);
  return refuse(name, value, "1 to 128 of A-Z a-z 0-9 _ . -");
};

const metadataServer: Read<string> = (name, value) => {
  parseMetadataServer(name, String(value));
  return String(value);
};

const segmentSize: Read<number> = (name, value) => {
  const bytes = parseSize(name, value);
  if (bytes !== 0 && (bytes < KIB || bytes > TIB)) return refuse(name, value, "0, or 1kb to 1tb");
  return bytes;
};

const bufferSize: Read<number> = (name, value) => {
  const bytes = parseSize(name, value);
  if (bytes > TIB) return refuse(name, value, "0 to 1tb");
  return bytes;
};

const protocol: Read<string> = (name, value) => {
  const wanted = String(value).trim().toLowerCase();
  if (/^[a-z0-9_]{1,32}$/.test(wanted)) return wanted;
  return refuse(name, value, TRANSPORT_NAMES.join(", "));
};

const provider: Read<string> = (name, value) => {
  const wanted = text(name, value).trim();
  if (/^([\w-]+(;[\w-]+)*)?$/.test(wanted)) return wanted;
  return refuse(
    name,
    value,
    "the name of a provider, as fi_info prints it: tcp, shm, verbs;ofi_rxm",
  );
};

const device: Read<string> = (name, value) => {
  const wanted = text(name, value);
  if (wanted === "" || wanted === "auto-discovery") return "";
  if (/^[\w.-]+(,[\w.-]+)*$/.test(wanted)) return wanted;
  if (isDeviceMap(wanted)) {
    parseDeviceMap(wanted);
    return wanted;
  }
  const allowed = `empty, auto-discovery, names joined by commas, or ${DEVICE_MAP_FORM}`;
  return refuse(name, value, allowed);
};

const deviceMemory: Read<string> = (name, value) => {
  const wanted = text(name, value).trim().toLowerCase();
  if (wanted === "" || /^(cuda|npu):\d{1,4}$/.test(wanted)) return wanted;
  return refuse(name, value, "empty, or one device: cuda:N, npu:N");
};

const numaNodes: Read<string> = (name, value) => {
  const wanted = String(value).trim().toLowerCase();
  if (["off", "interleave", "split"].includes(wanted)) return wanted;
  const nodes = wanted.split(",").map((node) => /^\d{1,2}$/.test(node) ? Number(node) : NaN);
  if (nodes.every((node) => node <= 63)) return nodes.join(",");
  return refuse(name, value, "off, interleave, split, or nodes from 0 to 63 joined by commas");
};

const oneOf = <T extends string>(...allowed: T[]): Read<T> => (name, value) => {
  const wanted = String(value).trim().toLowerCase();
  return allowed.find((one) => one === wanted) ?? refuse(name, value, allowed.join(", "));
};

/** A value that is true or false, in the usual words. */
export const readTruth: Read<boolean> = (name, value) => {
  const word = String(value).trim().toLowerCase();
  if (["true", "1", "yes", "on", "enable"].includes(word)) return true;
  if (["false", "0", "no", "off", "disable"].includes(word)) return false;
  return refuse(name, value, "true or false");
};

/** The value is a secret, so no message repeats it. */
const apiKey: Read<string> = (name, value) => {
  if (value === "" || typeof value === "string" && /^mk_[0-9a-f]{12}_[\w-]{43}$/.test(value)) {
    return value;
  }
  throw new RangeError(`${name} is refused; allowed: mk_ and 56 characters, or empty`);
};

function wholeNumber(low: number, high: number): Read<number> {
  return (name, value) => {
    const number = typeof value === "string" && /^-?\d+$/.test(value.trim())
      ? Number(value)
      : value;
    if (typeof number !== "number" || !Number.isInteger(number) || number < low || number > high) {
      return refuse(name, value, `an integer from ${low} to ${high}`);
    }
    return number;
  };
}

const bandwidth: Read<string> = (name, value) => {
  parseBandwidth(name, value);
  return value as string;
};

const mtu: Read<number> = (name, value) => {
  const bytes = wholeNumber(256, 4096)(name, value);
  if ([256, 512, 1024, 2048, 4096].includes(bytes)) return bytes;
  return refuse(name, value, "256, 512, 1024, 2048, 4096");
};

const port = wholeNumber(1, 65535);
const duration = wholeNumber(1, 3_600_000);

/** A time given in seconds and kept in milliseconds. */
export const seconds: Read<number> = (name, value) => wholeNumber(1, 3600)(name, value) * 1000;

/** How each setting is checked, and what it is when nobody sets it. */
export const settingTable: {
  readonly [K in keyof StoreSettings]: { fallback: StoreSettings[K]; read: Read<StoreSettings[K]> };
} = {
  localHostname: { fallback: "127.0.0.1", read: hostname },
  metadataServer: { fallback: "P2PHANDSHAKE", read: metadataServer },
  metadataUser: { fallback: "", read: text },
  metadataPassword: { fallback: "", read: text },
  metadataDatabase: { fallback: 0, read: wholeNumber(0, 255) },
  metadataTlsCa: { fallback: "", read: text },
  metadataTlsCert: { fallback: "", read: text },
  metadataTlsKey: { fallback: "", read: text },
  masterServerAddress: { fallback: "127.0.0.1:50051", read: masterAddress },
  clusterId: { fallback: "mooncake_cluster", read: clusterId },
  haUser: { fallback: "", read: text },
  haPassword: { fallback: "", read: text },
  haTlsCa: { fallback: "", read: text },
  haTlsCert: { fallback: "", read: text },
  haTlsKey: { fallback: "", read: text },
  globalSegmentSize: { fallback: 0, read: segmentSize },
  deviceMemory: { fallback: "", read: deviceMemory },
  numa: { fallback: DEFAULT_PLACEMENT.numa, read: numaNodes },
  hugepages: {
    fallback: DEFAULT_PLACEMENT.hugepages,
    read: oneOf("auto", "thp", "off", "2mb", "1gb"),
  },
  memoryFile: { fallback: "", read: text },
  lockMemory: { fallback: DEFAULT_PLACEMENT.lockMemory, read: readTruth },
  localBufferSize: { fallback: 16 * KIB * KIB, read: bufferSize },
  protocol: { fallback: "tcp", read: protocol },
  allowFallback: { fallback: false, read: readTruth },
  transportLibrary: { fallback: "", read: text },
  transportOptions: { fallback: "", read: text },
  fabricProvider: { fallback: "", read: provider },
  deviceName: { fallback: "", read: device },
  tlsCertFile: { fallback: "", read: text },
  tlsKeyFile: { fallback: "", read: text },
  tlsCaFile: { fallback: "", read: text },
  tenantId: { fallback: "default", read: filledText },
  authKey: { fallback: "", read: apiKey },
  enableHttpServer: { fallback: false, read: readTruth },
  httpPort: { fallback: 9300, read: port },
  rpcTimeoutMs: { fallback: 5000, read: duration },
  rpcConnectTimeoutMs: { fallback: 1000, read: duration },
  transferTimeoutMs: { fallback: 30_000, read: duration },
  opBudgetMs: { fallback: 60_000, read: duration },
  replicaPatienceMs: { fallback: 500, read: duration },
  hedgePercent: { fallback: 5, read: wholeNumber(0, 100) },
  earlyReads: { fallback: "auto", read: oneOf<EarlyReadsChoice>("auto", "on", "off") },
  heldReads: { fallback: "on", read: oneOf<HeldReadsChoice>("on", "off") },
  reservedPuts: { fallback: "on", read: oneOf<ReservedPutsChoice>("on", "off") },
  bandwidth: { fallback: "", read: bandwidth },
  handshakeTimeoutMs: { fallback: 5000, read: duration },
  handshakeMaxLength: { fallback: KIB * KIB, read: wholeNumber(KIB, 64 * KIB * KIB) },
  dataPort: { fallback: 0, read: wholeNumber(0, 65535) },
  bindAddress: { fallback: "", read: bindAddress },
  minPort: { fallback: 15_000, read: port },
  maxPort: { fallback: 17_000, read: port },
  advertisedHost: { fallback: "", read: optionalHost },
  metadataClusterId: { fallback: "", read: text },
  storeChecksum: { fallback: true, read: readTruth },
  memcpy: { fallback: true, read: readTruth },
  forceTcp: { fallback: false, read: readTruth },
  tcpProtocolVersion: {
    fallback: 2,
    read: (name, value) => wholeNumber(1, 2)(name, value) as 1 | 2,
  },
  topologyFile: { fallback: "", read: text },
  rdmaPort: { fallback: 1, read: wholeNumber(1, 255) },
  rdmaGidIndex: { fallback: -1, read: wholeNumber(-1, 255) },
  rdmaMtu: { fallback: 4096, read: mtu },
  rdmaServiceLevel: { fallback: 0, read: wholeNumber(0, 15) },
  rdmaTrafficClass: { fallback: 0, read: wholeNumber(0, 255) },
  rdmaPkeyIndex: { fallback: 0, read: wholeNumber(0, 65535) },
  rdmaQpsPerLink: { fallback: 0, read: wholeNumber(0, 16) },
  rdmaMaxLinks: { fallback: 4096, read: wholeNumber(1, 65536) },
  rdmaMaxWr: { fallback: 256, read: wholeNumber(1, 65535) },
  rdmaMaxSge: { fallback: 4, read: wholeNumber(1, 64) },
  rdmaMaxInline: { fallback: 64, read: wholeNumber(1, 1024) },
  rdmaCqEntries: { fallback: 4096, read: wholeNumber(2, 1048576) },
  rdmaSliceSize: { fallback: 262144, read: wholeNumber(4096, 1073741824) },
  rdmaSpinUs: { fallback: 0, read: wholeNumber(0, 1000000) },
};

const TOGETHER = [
  ["haTlsCert", "haTlsKey"],
  ["metadataTlsCert", "metadataTlsKey"],
  ["tlsCertFile", "tlsKeyFile"],
  ["tlsCertFile", "tlsCaFile"],
] as const;

/**
 * Settings from values that somebody gave, each with the name under which it was given; the rest are
 * defaults. `RangeError` naming the setting, the value and what is allowed.
 */
export function resolveSettings(
  given: ReadonlyMap<keyof StoreSettings, { name: string; value: unknown }>,
): StoreSettings {
  const settings: Record<string, unknown> = {};
  for (const field of Object.keys(settingTable) as (keyof StoreSettings)[]) {
    const { fallback, read } = settingTable[field];
    const entry = given.get(field);
    settings[field] = entry === undefined ? fallback : read(entry.name, entry.value);
  }
  const resolved = settings as unknown as StoreSettings;
  if (!given.has("localHostname")) resolved.localHostname = loopbackFor(resolved);
  for (const [cert, key] of TOGETHER) {
    if ((resolved[cert] === "") === (resolved[key] === "")) continue;
    const [one, other] = resolved[cert] === "" ? [key, cert] : [cert, key];
    refuse(given.get(one)?.name ?? one, resolved[one], `together with ${other}`);
  }
  const named = (field: keyof StoreSettings) => given.get(field)?.name ?? field;
  checkTransport(
    resolved,
    named,
    (field, allowed) => refuse(named(field), resolved[field], allowed),
  );
  const { deviceMemory, memoryFile } = resolved;
  for (const field of deviceMemory + memoryFile === "" ? [] : placementFields) {
    if (resolved[field] === DEFAULT_PLACEMENT[field]) continue;
    const what = deviceMemory === "" ? "a memory_file" : "memory of a device";
    refuse(named(field), resolved[field], `${DEFAULT_PLACEMENT[field]} with ${what}`);
  }
  if (resolved.protocol === "rpc_only") resolved.forceTcp = true;
  if (resolved.minPort > resolved.maxPort) {
    const name = (given.get("minPort") ?? given.get("maxPort"))?.name ?? "minPort";
    refuse(name, resolved.minPort, `at most the upper end of the range, ${resolved.maxPort}`);
  }
  return resolved;
}

/** The loopback address of the family in which the master is reached. */
function loopbackFor({ masterServerAddress, localHostname }: StoreSettings): string {
  const master = parseMasterAddress(masterServerAddress);
  return master?.kind === "one" && master.host.includes(":") ? "::1" : localHostname;
}
