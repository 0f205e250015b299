import { existsSync } from "node:fs";
import { env } from "node:process";

/** What a process is told about a transport that is a library of its own. */
export interface TransportChoice {
  /** Path of a library with the interface of `mc/transport_plugin.h`; empty = none. */
  transportLibrary: string;
  /** Handed to that library. */
  transportOptions: string;
  /** Provider of libfabric. */
  fabricProvider: string;
}

/** How the bytes of a process go, besides TCP. */
export type ChosenTransport =
  | { readonly kind: "tcp" | "rdma" | "shm" | "rpc_only" | "nvmeof" }
  | { readonly kind: "plugin"; readonly library: string; readonly parameters: string };

/** The choice that nobody made. */
export const NO_CHOICE: TransportChoice = {
  ...{ transportLibrary: "", transportOptions: "", fabricProvider: "" },
};

/** A known transport that this build has no code for, and no plugin was named. */
export class TransportAbsentError extends Error {
  override readonly name = "TransportAbsentError";
}

const BUILT_IN = ["tcp", "rdma", "shm", "rpc_only", "nvmeof"] as const;

/** Those that libfabric carries, and the provider where the name says which. */
const FABRIC: Readonly<Record<string, string>> = { libfabric: "", efa: "efa", cxi: "cxi" };

/** Provider of `libfabric` when nobody names one. */
const DEFAULT_PROVIDER = "tcp";

interface Slot {
  /** The network or device. */
  readonly of: string;
  /** Library that its code would use; empty = not known to us. */
  readonly library: string;
  /** Where its vendor puts that library, besides the system's folders. */
  readonly folders?: readonly string[];
  /** Said instead of what is said of the others. */
  readonly instead?: string;
}

const ascend = ["/usr/local/Ascend/ascend-toolkit/latest/lib64"];
const cuda = ["/usr/local/cuda/lib64", "/usr/local/cuda/compat"];

/** The transports of the reference that need a plugin here, in the order of its documentation. */
const SLOTS: Readonly<Record<string, Slot>> = {
  barex: {
    of: "Alibaba's Barex, whose library is not public",
    library: "libaccl_barex.so",
  },
  nvlink: { of: "NVLink between hosts", library: "libcuda.so.1", folders: cuda },
  nvlink_intra: { of: "NVLink within a host", library: "libcuda.so.1", folders: cuda },
  mnnvl: { of: "NVLink between hosts", library: "libcuda.so.1", folders: cuda },
  nccl: { of: "NVIDIA's NCCL", library: "libnccl.so.2", folders: cuda },
  gds: { of: "NVIDIA's GPUDirect Storage", library: "libcufile.so.0", folders: cuda },
  ascend: { of: "Huawei's Ascend (HCCL)", library: "libhccl.so", folders: ascend },
  ascend_direct: { of: "Huawei's Ascend (ADXL)", library: "libascendcl.so", folders: ascend },
  heterogeneous: {
    of: "Huawei's Ascend beside other devices",
    library: "libascendcl.so",
    folders: ascend,
  },
  ubshmem: { of: "Huawei's UB shared memory", library: "libascendcl.so", folders: ascend },
  ub: { of: "Huawei's UB (Kunpeng)", library: "liburma.so.0" },
  hip: { of: "AMD's XGMI", library: "libamdhip64.so", folders: ["/opt/rocm/lib"] },
  musa: { of: "Moore Threads' MUSA", library: "libmusart.so", folders: ["/usr/local/musa/lib"] },
  maca: { of: "MetaX's MACA", library: "libmcruntime.so", folders: ["/opt/maca/lib"] },
  mlu: { of: "Cambricon's MLU", library: "libcnrt.so", folders: ["/usr/local/neuware/lib64"] },
  hylink: { of: "Hygon's HyLink", library: "libgalaxyhip.so", folders: ["/opt/dtk/lib"] },
  sunrise_link: { of: "Sunrise's link between GPUs", library: "" },
  flagcx: { of: "FlagCX", library: "libflagcx.so" },
  tpu: { of: "Google's TPU (PJRT)", library: "libtpu.so" },
  mpcomm: { of: "MPComm", library: "" },
  rdma_twosided: {
    of: "two-sided RDMA",
    library: "libibverbs.so.1",
    instead: "rdma is one-sided here, and has no other form",
  },
  nvmeof_generic: {
    of: "NVMe over fabrics",
    library: "",
    instead: "nvmeof is, in the transfer engine",
  },
  cxl: {
    of: "CXL memory",
    library: "",
    instead: "memory of a DAX device is lent with memory_file, over any transport",
  },
  io_uring: {
    of: "files",
    library: "",
    instead: "segments of files are nvmeof here, in the transfer engine",
  },
};

/** Every name of a transport that is known, for messages. */
export const TRANSPORT_NAMES: readonly string[] = [
  ...BUILT_IN,
  ...Object.keys(FABRIC),
  ...Object.keys(SLOTS),
];

const SYSTEM_FOLDERS = [
  ...["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"],
  ...["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/lib", "/usr/local/lib"],
];

/** What {@linkcode chooseTransport} looks at; default this machine. */
export interface LibrarySources {
  /** What the user calls `protocol` or a member of {@linkcode TransportChoice}. */
  readonly named?: (field: "protocol" | keyof TransportChoice) => string;
  /** Names that the caller refuses, left out of what a message allows. */
  readonly refused?: readonly string[];
  /** `LD_LIBRARY_PATH`. */
  readonly path: string;
  readonly exists: (path: string) => boolean;
}

/**
 * The transport of that name. `RangeError` for one that nobody knows, or options that do not fit
 * it; {@linkcode TransportAbsentError} with one line that says what is missing.
 */
export function chooseTransport(
  name: string,
  choice: TransportChoice = NO_CHOICE,
  sources: Partial<LibrarySources> = {},
): ChosenTransport {
  const { named = (field) => field, refused = [] } = sources;
  const refuse = (field: "protocol" | keyof TransportChoice, value: string, allowed: string) => {
    const what = `${named(field)}=${JSON.stringify(value)}`;
    throw new RangeError(`${what} is refused; allowed: ${allowed}`);
  };
  const { transportLibrary: library, transportOptions, fabricProvider } = choice;
  const builtIn = BUILT_IN.find((known) => known === name);
  const fabric = Object.hasOwn(FABRIC, name) ? FABRIC[name] : null;
  if (library !== "" && (builtIn !== undefined || fabric !== null)) {
    refuse("transportLibrary", library, `none with ${name}, which is built in`);
  }
  if (library === "" && transportOptions !== "") {
    refuse("transportOptions", transportOptions, `none without ${named("transportLibrary")}`);
  }
  if (fabricProvider !== "" && name !== "libfabric") {
    refuse("fabricProvider", fabricProvider, `none with ${name}, only with libfabric`);
  }
  if (builtIn !== undefined) return { kind: builtIn };
  if (fabric !== null) {
    const parameters = fabric || fabricProvider || DEFAULT_PROVIDER;
    return { kind: "plugin", library: "", parameters };
  }
  if (library !== "") return { kind: "plugin", library, parameters: transportOptions };
  if (!Object.hasOwn(SLOTS, name)) {
    const others = `or any name with ${named("transportLibrary")}`;
    const names = TRANSPORT_NAMES.filter((known) => !refused.includes(known));
    refuse("protocol", name, `${names.join(", ")}, ${others}`);
  }
  throw new TransportAbsentError(absence(name, SLOTS[name], { ...thisMachine(), ...sources }));
}

/** What is missing for a slot that no plugin fills. */
function absence(
  name: string,
  { of, library, folders = [], instead }: Slot,
  sources: LibrarySources,
): string {
  const what = `${name} (${of})`;
  if (instead !== undefined) return `${what} is not in this build: ${instead}`;
  const plugin = "a plugin for it can be named with transport_library (docs/transports.md)";
  if (library === "") {
    return `${what} is not in this build: no hardware and no library of it have been had; ${plugin}`;
  }
  const places = [...sources.path.split(":"), ...folders, ...SYSTEM_FOLDERS].filter(Boolean);
  const found = places.map((folder) => `${folder}/${library}`).find(sources.exists);
  return found === undefined
    ? `${what} needs ${library}, which is not on this machine (neither in LD_LIBRARY_PATH nor in ` +
      `${
        [...folders, "the system's folders"].join(", ")
      }), and code for it is not in this build; ` +
      plugin
    : `${what} is not in this build: ${found} is there, but no hardware has been had to write ` +
      `code for it; ${plugin}`;
}

function thisMachine(): LibrarySources {
  return { path: env.LD_LIBRARY_PATH ?? "", exists: existsSync };
}
