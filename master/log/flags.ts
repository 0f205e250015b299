/** The command line of `snowskin log`. */
import { parseArgs } from "node:util";
import { type FactName, factNames } from "../core/fact_text.ts";
import { parseMasterFlags } from "../flag_parser.ts";
import type { HaConfig } from "../ha/ha_config.ts";
import { percentDecode } from "../http/query.ts";
import { defaultDataDirectory } from "../journal/data_directory.ts";

/** A mistake in the command line; `message` is one line that says what is allowed. */
export class LogUsageError extends Error {
  override readonly name = "LogUsageError";
}

/** The log that masters share, and how it is reached. */
export interface SharedLog {
  readonly ha: HaConfig;
  readonly clusterId: string;
}

/** Which facts are wanted; `null` = all. */
export interface FactFilter {
  readonly kinds: ReadonlySet<FactName> | null;
  readonly key: Uint8Array | null;
  readonly tenant: string | null;
  /** Groups, both included. */
  readonly from: number;
  readonly to: number;
}

/** What is wanted of `snowskin log`. */
export interface LogOptions {
  readonly verb: "inspect" | "audit";
  readonly json: boolean;
  /** Data directories of masters, as they were given. */
  readonly directories: readonly string[];
  readonly shared: SharedLog | null;
  readonly filter: FactFilter;
}

/** Flags of a master that say where its shared log is. */
const HA_FLAGS = [
  ...["cluster_id", "ha_backend_type", "etcd_endpoints", "ha_backend_connstring"],
  ...["ha_user", "ha_password_file", "ha_tls_ca", "ha_tls_cert", "ha_tls_key"],
] as const;
const FILTERS = ["kind", "key", "tenant", "from", "to"] as const;

export const LOG_HELP = `Usage: snowskin log inspect [WHERE] [FLAGS]
       snowskin log audit [WHERE] [--json]

inspect prints the changes that a master has kept, one line each, in their order. audit replays them
and checks that what comes out is sound. Both only read; the master may be running.

WHERE (default: the directory that a master uses by default):
  --data_dir=DIR           data directory of a master, or the journal folder in it; audit takes several,
                           which are to be copies of one log
  --etcd_endpoints=HOST:PORT;...
  --ha_backend_type=redis --ha_backend_connstring=HOST:PORT
                           the log that the masters of a cluster share, with --cluster_id, --ha_user,
                           --ha_password_file, --ha_tls_ca, --ha_tls_cert and --ha_tls_key as a master
                           has them; audit compares it with each --data_dir

Flags of inspect:
  --kind=NAME[,NAME]       only changes of these kinds, such as OBJECT_ERASED
  --key=KEY                only those of one key; bytes as %61
  --tenant=NAME            only those of one tenant
  --from=N, --to=N         only groups from N to N

Flags of both:
  --json                   JSON: one line for each change, or the report

A line is: group.number kind fields. cpN.number is a change of the checkpoint that stands for all groups
up to N. Keys and names are bytes: others than printable ones are shown as %xx. Offsets and lengths of
extents are in units of the segment, 64 bytes unless it is over 256 GiB.

Exit codes: 0 shown, or sound; 1 damaged, or unsound, or not readable; 2 bad usage.

Example:
  snowskin log inspect --data_dir=/var/lib/snowskin --key=prompt/7 --kind=OBJECT_ADDED,OBJECT_ERASED
  snowskin log audit --data_dir=/mnt/master-1 --data_dir=/mnt/master-2 --etcd_endpoints=10.0.0.1:2379
`;

/** Reads the command line; `null` = help is wanted. Throws a {@linkcode LogUsageError}. */
export async function parseLogFlags(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<LogOptions | null> {
  if (args.includes("--help") || args.includes("-h")) return null;
  const [verb, ...rest] = args;
  if (verb !== "inspect" && verb !== "audit") {
    throw new LogUsageError(`${JSON.stringify(verb ?? "")} is no verb; allowed: inspect, audit`);
  }
  const values = readFlags(rest, verb === "inspect" ? FILTERS : []);
  const filter = filterOf(values);
  const directories = values.data_dir ?? [];
  const shared = await sharedLog(values);
  if (directories.includes("")) throw new LogUsageError("--data_dir=: allowed: a directory");
  const sources = directories.length + (shared === null ? 0 : 1);
  if (verb === "inspect" && sources > 1) {
    throw new LogUsageError("inspect shows one log; allowed: one --data_dir, or one shared log");
  }
  if (sources === 0) directories.push(defaultDirectory(env));
  const json = values.json !== undefined;
  return { verb, json, directories, shared, filter };
}

type Values = Record<string, string[] | undefined>;

function readFlags(args: string[], more: readonly string[]): Values {
  const names = ["data_dir", ...HA_FLAGS, ...more];
  const text = { type: "string", multiple: true } as const;
  const options = Object.fromEntries(names.map((name) => [name, text]));
  const dashes = args.map((arg) =>
    /^--[^=]+/.exec(arg)?.[0].replaceAll("-", "_").replace("__", "--")
  );
  const plain = args.map((arg, i) =>
    dashes[i] === undefined ? arg : dashes[i] + arg.slice(dashes[i].length)
  );
  try {
    const { json, ...values } = parseArgs({
      args: plain,
      options: { ...options, json: { type: "boolean" } },
      strict: true,
    }).values;
    const found = values as Values;
    for (const name of names) {
      if (name === "data_dir" || (found[name]?.length ?? 0) < 2) continue;
      throw new LogUsageError(`--${name} is there twice; allowed: once`);
    }
    return { ...found, ...(json === true && { json: [] }) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const allowed = [...names, "json"].map((name) => `--${name}`).join(", ");
    throw new LogUsageError(`${error.message.split(/[.\n]/)[0]}; allowed: ${allowed}, --help`);
  }
}

function defaultDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const path = defaultDataDirectory(env);
  if (path !== null) return path;
  throw new LogUsageError("there is no home directory; allowed: --data_dir=DIR");
}

/** The shared log as a master reads these flags, `null` = none is named. */
async function sharedLog(values: Values): Promise<SharedLog | null> {
  const given = HA_FLAGS.filter((name) => values[name] !== undefined);
  if (given.length === 0) return null;
  const type = values.ha_backend_type?.[0];
  if (type === "k8s") {
    throw new LogUsageError(
      "--ha_backend_type=k8s: a Lease keeps no log; allowed: etcd, or redis for the log of such a cluster",
    );
  }
  const flags = given.map((name) => `--${name}=${values[name]![0]}`);
  const parsed = await parseMasterFlags(["--enable_ha=true", ...flags], {}, () => "");
  if ("error" in parsed) throw new LogUsageError(parsed.error);
  if (!("config" in parsed) || parsed.config.ha === null) {
    throw new LogUsageError("no shared log is named; allowed: --etcd_endpoints=HOST:PORT");
  }
  return { ha: parsed.config.ha, clusterId: parsed.config.clusterId };
}

function filterOf(values: Values): FactFilter {
  const [kinds, key, tenant] = [values.kind?.[0], values.key?.[0], values.tenant?.[0]];
  const filter = {
    kinds: kinds === undefined ? null : new Set(kinds.split(",").map(kindOf)),
    key: key === undefined ? null : percentDecode(key),
    tenant: tenant ?? null,
    from: groupNumber("from", values.from?.[0], 0),
    to: groupNumber("to", values.to?.[0], Infinity),
  };
  if (filter.from > filter.to) {
    throw new LogUsageError(`--from=${filter.from} is above --to=${filter.to}; allowed: up to it`);
  }
  return filter;
}

function kindOf(text: string): FactName {
  const name = factNames.find((known) => known === text.trim().toUpperCase());
  if (name !== undefined) return name;
  throw new LogUsageError(`--kind=${text} is no kind; allowed: ${factNames.join(", ")}`);
}

function groupNumber(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const number = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (number >= 0) return number;
  throw new LogUsageError(`--${name}=${text} is refused; allowed: the number of a group, from 0`);
}
