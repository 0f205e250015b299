import type { TransferEngineOptions } from "../options.ts";
import {
  type Arguments,
  choiceFlag,
  CommandError,
  integerFlag,
  readArguments,
  refuseFlag,
} from "./command_line.ts";
import { engineFlags } from "./engine_flags.ts";

/** Bytes of a second's unit. */
export const UNITS = {
  GB: 1e9,
  GiB: 2 ** 30,
  Gb: 1e9 / 8,
  MB: 1e6,
  MiB: 2 ** 20,
  Mb: 1e6 / 8,
  KB: 1e3,
  KiB: 2 ** 10,
  Kb: 1e3 / 8,
} as const;
/** Name of a unit of the report. */
export type Unit = keyof typeof UNITS;

/** What the flags of `te bench` ask for. */
export interface BenchOptions {
  readonly engine: TransferEngineOptions;
  readonly mode: "initiator" | "target";
  readonly operation: "read" | "write";
  /** Whose memory, or which files, an initiator uses. */
  readonly segment: string;
  /** What a target publishes instead of memory. */
  readonly files: readonly string[];
  /** Bytes. */
  readonly bufferSize: number;
  /** Requests of a batch. */
  readonly batchSize: number;
  /** Bytes of a request. */
  readonly blockSize: number;
  readonly seconds: number;
  /** Batches under way at the same time. */
  readonly threads: number;
  readonly unit: Unit;
  /** Digits behind the point. */
  readonly precision: number;
}

/** The help of `snowskin te`. */
export const BENCH_HELP = `Usage: snowskin te bench [FLAGS]

Measures how fast a transfer engine moves bytes, with the flags of the reference's
transfer_engine_bench; either side can be that program.

  --mode=initiator|target      moves bytes, or lends memory until it is stopped (default initiator)
  --metadata_server=WHERE      P2PHANDSHAKE (default), http://host:port/path, etcd://host:port or
                               redis://host:port; SNOWSKIN_METADATA_USER, _PASSWORD, _TLS_CA,
                               _TLS_CERT, _TLS_KEY and MC_REDIS_* say how it is entered
  --local_server_name=NAME     host or host:port of this process (default 127.0.0.1)
  --segment_id=NAME            the target: its name, which it prints (initiator only)
  --operation=read|write       (default read)
  --block_size=BYTES           of one request (default 65536)
  --batch_size=N               requests of one batch (default 128)
  --threads=N                  batches under way at the same time, all submitted by one thread
                               (default 12)
  --duration=SECONDS           (default 10)
  --buffer_size=BYTES          registered memory (default 1073741824); made larger when the blocks
                               of all batches do not fit
  --protocol=NAME              tcp, rdma, libfabric, efa, cxi, nvmeof (default tcp)
  --files=PATH[,PATH]          with nvmeof: block devices or files, which a target publishes
  --local_paths=FILE=PATH[,FILE=PATH]
                               with nvmeof: where an initiator has the files of its target (default
                               where the segment's document says)
  --fabric_provider=NAME       of libfabric, as fi_info prints it (default tcp)
  --device_name=NAME[,NAME]    RDMA devices (default all that are up)
  --auto_discovery=true|false  true: all devices that are up
  --tls_cert_file=FILE         PEM certificate; with --tls_key_file=FILE, its key, and
                               --tls_ca_file=FILE, the authorities, handshakes and data go over
                               TLS 1.3 (SNOWSKIN_TLS_CERT_FILE, _KEY_FILE, _CA_FILE; default no TLS)
  --report_unit=UNIT           ${Object.keys(UNITS).join(", ")} (default GB)
  --report_precision=DIGITS    (default 2)
  --backend=classic

MC_FORCE_TCP=1 keeps to TCP on one host, where memory is mapped and copied otherwise;
MC_TCP_BIND_ADDRESS is the host that is published, MC_CUSTOM_TOPO_JSON a file with the RDMA devices of
each location of memory.

Example:
  snowskin te bench --mode=target --local_server_name=10.0.0.7 &
  snowskin te bench --local_server_name=10.0.0.8 --segment_id=10.0.0.7:15731 --threads=4
`;

const FLAGS = [
  ...Array.from(BENCH_HELP.matchAll(/^ {2}--(\w+)=/gm), ([, name]) => name),
  ...["tls_key_file", "tls_ca_file"],
];
const PROTOCOLS = ["tcp", "rdma", "libfabric", "efa", "cxi", "nvmeof"] as const;
const SIZE_LIMIT = 2 ** 46;

/** Reads the command line of `te bench`. `CommandError` for what is wrong. */
export function parseBenchFlags(
  args: readonly string[],
  env: (name: string) => string | undefined,
): BenchOptions {
  const { flags, words } = readArguments(args, FLAGS);
  if (words.length > 0) throw new CommandError(`${JSON.stringify(words[0])} is no flag`, 2);
  const mode = choiceFlag(flags, "mode", ["initiator", "target"]);
  const segment = flags.segment_id ?? "";
  if (mode === "initiator" && segment === "") {
    throw new CommandError("--segment_id is missing: the name that the target prints", 2);
  }
  choiceFlag(flags, "backend", ["classic"]);
  const protocol = choiceFlag(flags, "protocol", PROTOCOLS);
  const devices = flags.device_name ?? "";
  if (choiceFlag(flags, "auto_discovery", ["false", "true"]) === "true" && devices !== "") {
    refuseFlag("device_name", devices, "none with --auto_discovery=true");
  }
  const batchSize = integerFlag(flags, "batch_size", 128, 1, 1 << 20);
  const blockSize = integerFlag(flags, "block_size", 65_536, 1, SIZE_LIMIT);
  const threads = integerFlag(flags, "threads", 12, 1, 1024);
  const bufferSize = integerFlag(flags, "buffer_size", 1 << 30, 1, SIZE_LIMIT);
  const needed = batchSize * blockSize * threads;
  if (needed > SIZE_LIMIT) {
    refuseFlag("block_size", String(blockSize), `at most ${SIZE_LIMIT} bytes in all batches`);
  }
  return {
    mode,
    segment,
    files: fileFlags(flags, mode, protocol),
    operation: choiceFlag(flags, "operation", ["read", "write"]),
    ...{ batchSize, blockSize, threads, bufferSize: Math.max(bufferSize, needed) },
    seconds: integerFlag(flags, "duration", 10, 1, 86_400),
    unit: choiceFlag(flags, "report_unit", Object.keys(UNITS) as Unit[]),
    precision: integerFlag(flags, "report_precision", 2, 0, 20),
    engine: { ...engineFlags(flags, env, protocol), ...localPathFlags(flags, mode, protocol) },
  };
}

function fileFlags(flags: Arguments["flags"], mode: string, protocol: string): string[] {
  const { files } = flags;
  if (files === undefined) {
    if (mode !== "target" || protocol !== "nvmeof") return [];
    throw new CommandError("--files is missing: the block devices or files to publish", 2);
  }
  if (mode === "target" && protocol === "nvmeof") return files.split(",");
  return refuseFlag("files", files, "none without --mode=target --protocol=nvmeof");
}

function localPathFlags(
  flags: Arguments["flags"],
  mode: string,
  protocol: string,
): Pick<TransferEngineOptions, "localPaths"> {
  const text = flags.local_paths;
  if (text === undefined) return {};
  const pairs = text.split(",").map((pair) => pair.split("="));
  const isWhole = pairs.every((pair) => pair.length === 2 && !pair.includes(""));
  if (isWhole && mode === "initiator" && protocol === "nvmeof") {
    return { localPaths: Object.fromEntries(pairs) };
  }
  const allowed = "FILE=PATH,FILE=PATH of an initiator with --protocol=nvmeof";
  return refuseFlag("local_paths", text, allowed);
}
