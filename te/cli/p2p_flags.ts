import type { P2pOptions, SeedOptions } from "../p2p/p2p_options.ts";
import { MAX_PIECE, MIN_PIECE } from "../p2p/manifest.ts";
import {
  type Arguments,
  choiceFlag,
  CommandError,
  integerFlag,
  readArguments,
} from "./command_line.ts";
import { ENGINE_FLAGS, engineFlags } from "./engine_flags.ts";

/** The help of `snowskin p2p`. */
export const P2P_HELP = `Usage: snowskin p2p VERB --metadata_server=WHERE [FLAGS]

  seed NAME FILE...    shares files under a name until it is stopped (ctrl-C)
  get NAME --to=DIR    brings the files of a name into a folder, from all who have pieces of them,
                       and serves what has come to others meanwhile
  list [PREFIX]        shows names, their content and who holds it
  unseed NAME          takes a name back everywhere; files stay where they are

  --metadata_server=WHERE      http://host:port/metadata of a master of ours, etcd://host:port or
                               redis://host:port/db; SNOWSKIN_METADATA_USER, _PASSWORD, _TLS_CA,
                               _TLS_CERT, _TLS_KEY and MC_REDIS_* say how it is entered
  --local_server_name=NAME     host at which others reach this process (default 127.0.0.1)
  --protocol=NAME              tcp, rdma, libfabric, efa, cxi (default tcp)
  --fabric_provider=NAME       of libfabric (default tcp)
  --device_name=NAME[,NAME]    RDMA devices (default all that are up)
  --tls_cert_file=FILE         with --tls_key_file=FILE and --tls_ca_file=FILE: bytes go over TLS 1.3
                               (SNOWSKIN_TLS_CERT_FILE, _KEY_FILE, _CA_FILE; default no TLS)
seed:
  --piece_size=BYTES           ${MIN_PIECE} to ${MAX_PIECE}; 0: such that there are up to 4096, 262144
                               at least (default 0)
  --checksum=sha256|crc32c     of each piece (default sha256; that of the name, where it is known)
get:
  --to=DIR                     the folder; a file that is not whole has .part behind its name, and a
                               stopped get goes on from there
  --stay=true|false            serves on when all has come, until it is stopped (default false)
  --wait=SECONDS               for the name to be there (default 0)
  --stall=SECONDS              without a new piece until it fails (default 30)
  --parallel=N                 pieces fetched at the same time (default 8)
  --overwrite=true|false       replaces files with other content (default false)

MC_FORCE_TCP=1 keeps to TCP on one host; MC_TCP_BIND_ADDRESS is the host that is published.

Example:
  snowskin p2p seed llama model-*.safetensors --metadata_server=etcd://10.0.0.1:2379 \\
    --local_server_name=10.0.0.7
  snowskin p2p get llama --to=/models/llama --metadata_server=etcd://10.0.0.1:2379 \\
    --local_server_name=10.0.0.8
`;

const FLAGS = [
  ...ENGINE_FLAGS,
  ...["protocol", "piece_size", "checksum", "to", "stay", "wait", "stall", "parallel", "overwrite"],
];
/** Flags that one verb alone has. */
const OF_VERB: Readonly<Record<string, readonly string[]>> = {
  seed: ["piece_size", "checksum"],
  get: ["to", "stay", "wait", "stall", "parallel", "overwrite"],
  list: [],
  unseed: [],
};
const PROTOCOLS = ["tcp", "rdma", "libfabric", "efa", "cxi"] as const;

/** What the command line asks for. */
export interface P2pCommand {
  readonly verb: "seed" | "get" | "list" | "unseed";
  /** A name; of `list` a prefix. */
  readonly name: string;
  /** Of `seed`. */
  readonly paths: readonly string[];
  readonly seed: Pick<SeedOptions, "pieceLength" | "checksum">;
  readonly get: GetFlags;
  readonly store: P2pOptions;
}

/** Flags of `get`. */
export interface GetFlags {
  readonly directory: string;
  readonly stay: boolean;
  readonly waitMs: number;
  readonly stallTimeoutMs: number;
  readonly parallel: number;
  readonly overwrite: boolean;
}

/** Reads the command line of `p2p`. `CommandError` for what is wrong. */
export function parseP2pFlags(
  args: readonly string[],
  env: (name: string) => string | undefined,
): P2pCommand {
  const { flags, words } = readArguments(args, FLAGS);
  const [verb, name = "", ...paths] = words;
  if (verb !== "seed" && verb !== "get" && verb !== "list" && verb !== "unseed") {
    const given = verb === undefined ? "nothing" : JSON.stringify(verb);
    throw new CommandError(`${given} is no verb; allowed: ${Object.keys(OF_VERB).join(", ")}`, 2);
  }
  checkFlags(flags, verb);
  if (name === "" && verb !== "list") throw new CommandError(`${verb} needs a name`, 2);
  if (verb === "seed" && paths.length === 0) throw new CommandError("seed needs files", 2);
  if (verb !== "seed" && paths.length > 0) {
    throw new CommandError(`${JSON.stringify(paths[0])} is too much for ${verb}`, 2);
  }
  if (flags.metadata_server === undefined) {
    throw new CommandError("--metadata_server is missing: where names are kept", 2);
  }
  const protocol = choiceFlag(flags, "protocol", PROTOCOLS);
  return {
    ...{ verb, name, paths },
    seed: seedFlags(flags),
    get: getFlags(flags),
    store: engineFlags(flags, env, protocol),
  };
}

function checkFlags(flags: Arguments["flags"], verb: string): void {
  for (const [owner, names] of Object.entries(OF_VERB)) {
    const foreign = names.find((name) => owner !== verb && flags[name] !== undefined);
    if (foreign !== undefined) throw new CommandError(`--${foreign} is for ${owner} only`, 2);
  }
  if (verb === "get" && !flags.to) throw new CommandError("--to is missing: the folder", 2);
}

function seedFlags(flags: Arguments["flags"]): P2pCommand["seed"] {
  const pieceLength = integerFlag(flags, "piece_size", 0, 0, MAX_PIECE);
  return {
    ...(pieceLength !== 0 && { pieceLength }),
    ...(flags.checksum !== undefined && {
      checksum: choiceFlag(flags, "checksum", ["sha256", "crc32c"]),
    }),
  };
}

function getFlags(flags: Arguments["flags"]): GetFlags {
  const isTrue = (name: string) => choiceFlag(flags, name, ["false", "true"]) === "true";
  return {
    directory: flags.to ?? "",
    ...{ stay: isTrue("stay"), overwrite: isTrue("overwrite") },
    waitMs: integerFlag(flags, "wait", 0, 0, 86_400) * 1000,
    stallTimeoutMs: integerFlag(flags, "stall", 30, 1, 86_400) * 1000,
    parallel: integerFlag(flags, "parallel", 8, 1, 256),
  };
}
