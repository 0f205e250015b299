/** What a check may look at: this machine, or one that a test describes. */
import { constants, openSync } from "node:fs";
import { closeSync, existsSync, fsyncSync, readdirSync, readFileSync } from "node:fs";
import { readlinkSync, rmSync, statfsSync, writeSync } from "node:fs";
import { usableDevices } from "../client/transfer/device_nodes.ts";
import { type SysfsTree, sysfsTree } from "../client/transfer/sysfs.ts";
import { compile, isFile, libraryPath, nativeFolder } from "../ffi/build.ts";
import { openLibrary } from "../ffi/library.ts";

/** The C shim as it stands, looked at without building it. */
export interface ShimState {
  /** Path of the library that belongs to this code, `null` = it is not built. */
  readonly built: string | null;
  /** Why the built one cannot be loaded, `null` = it can. */
  readonly fault: string | null;
  /** Why it cannot be built, `null` = it can, or is. */
  readonly noCompiler: string | null;
  /** Why it is not to be used at all, such as `SNOWSKIN_NATIVE is off`. */
  readonly off: string | null;
}

/** Everything that checks read. Nothing of it changes the machine. */
export interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The text of a file of `/proc` or `/sys`; throws when it cannot be read. */
  readFile(path: string): string;
  /** Names in a folder; empty when it cannot be read. */
  list(path: string): string[];
  /** Where a link leads; empty when it cannot be told. */
  link(path: string): string;
  exists(path: string): boolean;
  readonly sysfs: SysfsTree;
  /** Whether programs can open an RDMA device. */
  usable(device: string): boolean;
  /** Why a shared library cannot be loaded, `null` = it can. */
  loadFault(library: string): string | null;
  shim(): ShimState;
  /** Bytes of memory that the system has free. */
  freeMemory(): number;
  /** Milliseconds, of the clock that only goes forward and of the one that people read. */
  monotonic(): number;
  wall(): number;
  /** Bytes that are free to this user on the disk of a path that exists. */
  freeDisk(path: string): number;
  /**
   * Writes 4 KiB to a file of its own in a folder, syncs it and removes it. Milliseconds of the sync;
   * throws what the system says.
   */
  trySync(folder: string): number;
  fetch(url: string, headers: Record<string, string>): Promise<Response>;
}

const PROBE_BYTES = 4096;
const FETCH_TIMEOUT_MS = 3000;

/** The machine that this runs on. */
export function thisMachine(): Machine {
  const sysfs = sysfsTree("/sys");
  return {
    env: Deno.env.toObject(),
    readFile: (path) => readFileSync(path, "utf8"),
    list: (path) => orElse(() => readdirSync(path), []),
    link: (path) => orElse(() => readlinkSync(path), ""),
    exists: existsSync,
    sysfs,
    usable: usableDevices(sysfs),
    loadFault,
    shim,
    freeMemory: () => Deno.systemMemoryInfo().available,
    monotonic: () => performance.now(),
    wall: Date.now,
    freeDisk(path) {
      const { bavail, bsize } = statfsSync(path);
      return bavail * bsize;
    },
    trySync,
    fetch: (url, headers) => fetch(url, { headers, signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) }),
  };
}

function loadFault(library: string): string | null {
  try {
    Deno.dlopen(library, {}).close();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0] : String(error);
  }
}

function shim(): ShimState {
  const choice = Deno.env.get("SNOWSKIN_NATIVE") ?? "";
  const native = nativeFolder();
  const path = choice !== "" && choice !== "off"
    ? choice
    : native === null
    ? ""
    : libraryPath(native);
  const built = path !== "" && isFile(path) ? path : null;
  const off = choice === "off"
    ? "SNOWSKIN_NATIVE is off"
    : Deno.build.os !== "linux"
    ? `it needs Linux, not ${Deno.build.os}`
    : null;
  let fault: string | null = null;
  if (built !== null && off === null) {
    const library = openLibrary();
    if ("unavailable" in library) fault = library.unavailable;
    else library.close();
  }
  const noCompiler = built !== null
    ? null
    : native === null
    ? "the code was not loaded from a local disk"
    : compile(["--version"]);
  return { built, fault, noCompiler, off };
}

function trySync(folder: string): number {
  const path = `${folder}/.snowskin-doctor-${crypto.randomUUID()}`;
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  const file = openSync(path, O_CREAT | O_EXCL | O_WRONLY, 0o600);
  try {
    writeSync(file, new Uint8Array(PROBE_BYTES));
    const startedMs = performance.now();
    fsyncSync(file);
    return performance.now() - startedMs;
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

function orElse<T>(read: () => T, fallback: T): T {
  try {
    return read();
  } catch {
    return fallback;
  }
}
