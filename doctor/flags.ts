/** The command line of `snowskin doctor`. */
import { type NodeOptions, parseNodeFlags } from "../client/node/flags.ts";
import { defaultDataDirectory } from "../master/journal/data_directory.ts";
import type { Role } from "./finding.ts";

const ROLES: readonly Role[] = ["master", "store", "client"];

/** What the machine is looked at for. */
export interface DoctorOptions {
  readonly roles: readonly Role[];
  readonly json: boolean;
  /** As a store node or a client would read flags and environment. */
  readonly node: NodeOptions;
  /** `host:port` of the master's admin server; `null` = that of the master, at the usual port. */
  readonly admin: string | null;
  /** A master's data directory; `null` = none can be told. */
  readonly dataDirectory: string | null;
  readonly rpcPort: number;
  readonly metricsPort: number;
  /** Of the HTTP metadata server; `null` = it is off. */
  readonly metadataPort: number | null;
}

export const DOCTOR_HELP = `Usage: snowskin doctor [FLAGS]

Looks at this machine for a master, a store node or a client: what is missing, what that means, and what
mends it. It changes nothing; in --data_dir it writes 4 KiB, syncs them and removes them again.

  --for=ROLE          master, store, client, or all (default)
  --json              the findings as one JSON object
  --admin=HOST:PORT   admin server of the master, for its version and time (default: the host of
                      --master, port 9003); its key: SNOWSKIN_ADMIN_KEY
  --data_dir=DIR      data directory of a master (default: as a master chooses it)
  --rpc_port=PORT, --metrics_port=PORT, --http_metadata_server_port=PORT
                      ports of a master (50051, 9003, and none)

and the flags and environment variables of snowskin store, which say what a store node or a client is
to be: --master=HOST:PORT, --segment_size=SIZE, --protocol=NAME, --device_name=NAME, --hugepages=SIZE,
--lock_memory, --data_port=PORT, --http_port=PORT, --device_memory=WHERE, --tls_cert_file=FILE ...

Exit codes: 0 no problem (notes are none), 1 a problem, 2 bad usage.

Example:
  snowskin doctor --for=store --master=10.0.0.1:50051 --segment_size=64gb --protocol=rdma
`;

const OWN = {
  for: "ROLE",
  admin: "HOST:PORT",
  data_dir: "DIR",
  rpc_port: "PORT",
  metrics_port: "PORT",
  http_metadata_server_port: "PORT",
} as const;
type Own = keyof typeof OWN;

/** Reads the command line; `null` = help is wanted. `RangeError` with one line for a bad one. */
export function parseDoctorFlags(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): DoctorOptions | null {
  if (args.includes("--help") || args.includes("-h")) return null;
  const own: Partial<Record<Own, string>> = {};
  const rest: string[] = [];
  let json = false;
  for (let i = 0; i < args.length; i++) {
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(args[i]);
    const name = match?.[1].replaceAll("-", "_") ?? "";
    if (name === "json" && match![2] === undefined) json = true;
    else if (!Object.hasOwn(OWN, name)) rest.push(args[i]);
    else {
      const value = match![2] ?? args[++i];
      if (value === undefined) throw new RangeError(`--${name} needs a value; see --help`);
      own[name as Own] = value;
    }
  }
  const node = parseNodeFlags(rest, { env, readFile });
  if ("help" in node) return null;
  const metadata = own.http_metadata_server_port;
  return {
    roles: rolesOf(own.for ?? "all"),
    json,
    node,
    admin: own.admin ?? null,
    dataDirectory: own.data_dir ?? defaultDataDirectory(env),
    rpcPort: portOf("rpc_port", own.rpc_port ?? "50051"),
    metricsPort: portOf("metrics_port", own.metrics_port ?? "9003"),
    metadataPort: metadata === undefined ? null : portOf("http_metadata_server_port", metadata),
  };
}

function rolesOf(text: string): readonly Role[] {
  if (text === "all") return ROLES;
  const role = ROLES.find((known) => known === text);
  if (role !== undefined) return [role];
  throw new RangeError(`--for=${text} is refused; allowed: ${ROLES.join(", ")}, all`);
}

function portOf(name: Own, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (port >= 1 && port <= 65535) return port;
  throw new RangeError(`--${name}=${text} is refused; allowed: 1 to 65535`);
}
