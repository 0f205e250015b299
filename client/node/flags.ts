import { isLoopback, parseHostPort } from "../transfer/address.ts";
import { type Config, configKeys, type ConfigSources, readConfig } from "../config.ts";
import { readTruth } from "../settings.ts";

/** What the command line of a store node asks for. */
export interface NodeOptions extends Config {
  /** Milliseconds that an absent master is waited for. */
  maxWaitMs: number;
  /** Port of the health server; `null` = none. */
  httpPort: number | null;
  /** Do not start where the control group has too little memory for it. */
  strictMemory: boolean;
}

interface Flag {
  /** Key of the setting that the flag defines, or `null` for one of the node itself. */
  key: string | null;
  placeholder: string;
  help: string;
}

const flags: Readonly<Record<string, Flag>> = {
  master: {
    key: "master_server_address",
    placeholder: "HOST:PORT",
    help: "the master to join (MOONCAKE_MASTER; default 127.0.0.1:50051)",
  },
  segment_size: {
    key: "global_segment_size",
    placeholder: "SIZE",
    help: "memory to lend, such as 16gb (MOONCAKE_GLOBAL_SEGMENT_SIZE; default 3355443200, or " +
      "less when the machine has less)",
  },
  device_memory: {
    key: "device_memory",
    placeholder: "WHERE",
    help: "the device that the memory lies on, cuda:N or npu:N (not yet run on hardware), which " +
      "needs --segment_size (SNOWSKIN_DEVICE_MEMORY; default memory of the host)",
  },
  memory_file: {
    key: "memory_file",
    placeholder: "PATH",
    help: "DAX device (/dev/dax0.0) or file whose first bytes are the memory; needs " +
      "--segment_size, at most what it has, in whole pages of it (SNOWSKIN_MEMORY_FILE); " +
      "snowskin topology shows the devices",
  },
  numa: {
    key: "numa",
    placeholder: "HOW",
    help:
      "NUMA nodes that the memory lies on if they have room: off (wherever the system puts it), " +
      "interleave, split (one piece of each segment on each node), or nodes to split over, as 0,1 " +
      "(SNOWSKIN_NUMA, MC_STORE_NUMA_SOCKET_ID; default off)",
  },
  hugepages: {
    key: "hugepages",
    placeholder: "SIZE",
    help:
      "pages of the memory: 2mb or 1gb from the system's pool, with a line in the log and the " +
      "next smaller ones where it has not enough; thp (transparent ones, and a line where they are " +
      "off), auto (the same without the line), off (SNOWSKIN_HUGEPAGES, MC_STORE_USE_HUGEPAGE with " +
      "MC_STORE_HUGEPAGE_SIZE; default auto)",
  },
  lock_memory: {
    key: "lock_memory",
    placeholder: "BOOL",
    help: "lock the memory, or do not start where RLIMIT_MEMLOCK is too low " +
      "(SNOWSKIN_LOCK_MEMORY; default false)",
  },
  strict_memory: {
    key: null,
    placeholder: "BOOL",
    help: "do not start where the memory limit of the control group is below --segment_size and " +
      "buffers and 512 MiB; else that is a line in the log (SNOWSKIN_STRICT_MEMORY; default false)",
  },
  host: {
    key: "local_hostname",
    placeholder: "HOST[:PORT]",
    help: "where clients reach this node; with a port it is the segment's name " +
      "(MOONCAKE_LOCAL_HOSTNAME; default 127.0.0.1, or ::1 with a master at an IPv6 address)",
  },
  data_port: {
    key: "data_port",
    placeholder: "PORT",
    help: "the one port of this node, for handshakes and data; 0 = a free one of MC_MIN_RPC_PORT " +
      "to MC_MAX_RPC_PORT, 15000 to 17000 (SNOWSKIN_DATA_PORT; default 12300)",
  },
  bind_address: {
    key: "bind_address",
    placeholder: "ADDRESS",
    help: "address at which the ports are opened (SNOWSKIN_BIND_ADDRESS; default all of IPv4 and " +
      "IPv6, or that of a loopback --host)",
  },
  metadata_server: {
    key: "metadata_server",
    placeholder: "WHERE",
    help: "P2PHANDSHAKE, http://host:port/metadata, etcd://host:port or redis://host:port " +
      "(MOONCAKE_TE_META_DATA_SERVER; default P2PHANDSHAKE)",
  },
  protocol: {
    key: "protocol",
    placeholder: "NAME",
    help:
      "transport: tcp, rdma to peers that have it, rpc_only (plain connections and nothing else), " +
      "libfabric, efa or cxi (which libfabric.so.1 carries), or with --transport_library the name " +
      "of another (MOONCAKE_PROTOCOL; default tcp)",
  },
  allow_fallback: {
    key: "allow_fallback",
    placeholder: "BOOL",
    help: "with --protocol=rdma: use tcp, and say so in one line, where this machine has no " +
      "libibverbs or no device that can be used (SNOWSKIN_ALLOW_FALLBACK; default false: do not " +
      "start)",
  },
  fabric_provider: {
    key: "fabric_provider",
    placeholder: "NAME",
    help: "provider of --protocol=libfabric, as fi_info prints it (SNOWSKIN_FABRIC_PROVIDER; " +
      "default tcp)",
  },
  transport_library: {
    key: "transport_library",
    placeholder: "FILE",
    help: "library with the transport that --protocol names, such as barex; it has the interface " +
      "of mc/transport_plugin.h (SNOWSKIN_TRANSPORT_LIBRARY)",
  },
  transport_options: {
    key: "transport_options",
    placeholder: "TEXT",
    help: "handed to that library (SNOWSKIN_TRANSPORT_OPTIONS)",
  },
  device_name: {
    key: "device_name",
    placeholder: "NAME[,NAME]",
    help: 'RDMA devices, or a JSON map of them by location or GPU, as {"0": "mlx5_0"} ' +
      "(MOONCAKE_DEVICE; default all with an active port)",
  },
  tls_cert_file: {
    key: "tls_cert_file",
    placeholder: "FILE",
    help: "PEM certificate of this node, which covers --host; with the next two handshakes and " +
      "data go over TLS 1.3, and peers without are refused (SNOWSKIN_TLS_CERT_FILE; default no TLS)",
  },
  tls_key_file: {
    key: "tls_key_file",
    placeholder: "FILE",
    help: "PEM file of its key (SNOWSKIN_TLS_KEY_FILE)",
  },
  tls_ca_file: {
    key: "tls_ca_file",
    placeholder: "FILE",
    help: "PEM file of the authorities whose certificates are accepted (SNOWSKIN_TLS_CA_FILE)",
  },
  tenant_id: {
    key: "tenant_id",
    placeholder: "NAME",
    help: "tenant (MOONCAKE_TENANT_ID; default default); its API key is in MOONCAKE_API_KEY",
  },
  config: {
    key: null,
    placeholder: "FILE",
    help: "JSON file with the settings of -D (MOONCAKE_CONFIG_PATH)",
  },
  define: {
    key: null,
    placeholder: "KEY=VALUE",
    help: "one setting, see below; also -D KEY=VALUE",
  },
  max_wait_time: {
    key: null,
    placeholder: "SECONDS",
    help: "how long to wait for a master that is not there yet (default 60)",
  },
  http_port: {
    key: null,
    placeholder: "PORT",
    help: "serve /health/live, /health/ready, /health/memory and /metrics on this port (default: " +
      "no HTTP; MOONCAKE_ENABLE_CLIENT_HTTP_SERVER with MOONCAKE_CLIENT_HTTP_PORT)",
  },
};

/** Fixed, so that a firewall or a network policy can name it. */
const DEFAULT_DATA_PORT = 12300;
const DEFAULT_MAX_WAIT_MS = 60_000;

/**
 * Reads the command line, the configuration file and the environment of a store node. `RangeError`
 * with one line for an unknown flag or a bad value.
 */
export function parseNodeFlags(
  args: readonly string[],
  sources: Pick<ConfigSources, "env" | "readFile">,
): NodeOptions | { help: string } {
  const definitions: { name: string; key: string; value: string }[] = [];
  let configPath: string | undefined;
  let maxWaitMs = DEFAULT_MAX_WAIT_MS;
  let httpPort: number | undefined;
  let strictMemory = readStrict("SNOWSKIN_STRICT_MEMORY", sources.env.SNOWSKIN_STRICT_MEMORY ?? "");
  for (const { name, value } of readArgs(args)) {
    if (name === "help") return { help: helpText() };
    const { key } = flags[name];
    if (key !== null) definitions.push({ name: `--${name}`, key, value });
    else if (name === "config") configPath = value;
    else if (name === "define") definitions.push(readDefinition(value));
    else if (name === "max_wait_time") maxWaitMs = readSeconds(value);
    else if (name === "strict_memory") strictMemory = readStrict("--strict_memory", value);
    else httpPort = readPort(value);
  }
  const config = readConfig({
    ...sources,
    // A node lends memory and moves no objects of its own unless it is told to.
    env: {
      MOONCAKE_LOCAL_BUFFER_SIZE: "0",
      SNOWSKIN_DATA_PORT: String(DEFAULT_DATA_PORT),
      ...sources.env,
    },
    definitions,
    ...(configPath !== undefined && { configPath }),
  });
  const { enableHttpServer, httpPort: configuredPort, deviceMemory, memoryFile } = config.settings;
  if (memoryFile !== "" && !config.given.has("globalSegmentSize")) {
    throw new RangeError(`${memoryFile} is lent only with --segment_size`);
  }
  if (deviceMemory !== "" && !config.given.has("globalSegmentSize")) {
    throw new RangeError(`memory of ${deviceMemory} is lent only with --segment_size`);
  }
  return {
    ...config,
    maxWaitMs,
    strictMemory,
    httpPort: httpPort ?? (enableHttpServer ? configuredPort : null),
  };
}

/** A line for the operator of a node that only this machine can reach, or `null`. */
export function hostNote({ settings, given }: NodeOptions): string | null {
  const master = parseHostPort(settings.masterServerAddress)?.host ?? "";
  const ownHost = parseHostPort(settings.localHostname)?.host ?? "";
  const reachable = settings.advertisedHost !== "" || !isLoopback(ownHost);
  if (reachable || isLoopback(master) || given.has("localHostname")) return null;
  return `clients on other machines cannot reach ${ownHost}: --host says where they can`;
}

function readArgs(args: readonly string[]): { name: string; value: string }[] {
  const found: { name: string; value: string }[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === "--help" || arg === "-h") return [{ name: "help", value: "" }];
    const short = /^-D(.*)$/s.exec(arg);
    const long = /^--([^=]+)(?:=(.*))?$/s.exec(arg);
    if (short === null && long === null) {
      throw new RangeError(`${JSON.stringify(arg)} is no flag; see --help`);
    }
    const name = short === null ? long![1].replaceAll("-", "_") : "define";
    if (!Object.hasOwn(flags, name)) {
      const allowed = Object.keys(flags).map((flag) => `--${flag}`).join(", ");
      throw new RangeError(`unknown flag ${arg.split("=")[0]}; allowed: ${allowed}, --help`);
    }
    const attached = short === null ? long![2] : short[1] || undefined;
    const isSwitch = flags[name].placeholder === "BOOL" && !/^[^-]/.test(args[i + 1] ?? "");
    const value = attached ?? (isSwitch ? "true" : args[++i]);
    if (value === undefined) throw new RangeError(`${arg} needs a value; see --help`);
    found.push({ name, value });
  }
  return found;
}

function readDefinition(text: string): { name: string; key: string; value: string } {
  const at = text.indexOf("=");
  if (at < 1) throw new RangeError(`-D ${JSON.stringify(text)} is refused; allowed: KEY=VALUE`);
  const key = text.slice(0, at);
  return { name: `-D ${key}`, key, value: text.slice(at + 1) };
}

function readStrict(name: string, text: string): boolean {
  return text === "" ? false : readTruth(name, text);
}

function readSeconds(text: string): number {
  const seconds = text.trim() === "" ? NaN : Number(text);
  if (!(seconds >= 0 && seconds <= 86_400)) {
    throw new RangeError(`--max_wait_time=${text} is refused; allowed: 0 to 86400 seconds`);
  }
  return seconds * 1000;
}

function readPort(text: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(port >= 1 && port <= 65535)) {
    throw new RangeError(`--http_port=${text} is refused; allowed: 1 to 65535`);
  }
  return port;
}

function helpText(): string {
  const lines = Object.entries(flags).map(([name, { placeholder, help }]) =>
    `  --${name}=${placeholder}\n${wrap(help, 6)}`
  );
  return `Usage: deno run -A client/node/main.ts [FLAGS]

Runs a store node: lends memory of this machine to the pool of a master.

Flags, as --name=value or --name value, a BOOL also alone (what names a setting wins over the
configuration file, which wins over the environment variable in brackets):
${lines.join("\n")}
  --help

Settings of -D and of the configuration file:
${wrap([...new Set(configKeys)].join(", "), 2)}

Example:
  deno run -A client/node/main.ts --master=10.0.0.1:50051 --host=10.0.0.7 --segment_size=64gb
`;
}

function wrap(text: string, indent: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line !== "" && indent + line.length + 1 + word.length > 98) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.map((line) => " ".repeat(indent) + line).join("\n");
}
