import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Errno, errnoName } from "../../ffi/errno.ts";
import type { NativeEngine, NativeMemory } from "../../ffi/native_engine.ts";
import { NativeError } from "../../ffi/native_error.ts";
import type { HostMemory, MemoryPlacement } from "./engine.ts";
import { surveyMaps } from "./memory_maps.ts";
import {
  chooseNodes,
  chosenWord,
  hugePool,
  lockLimit,
  MORE_LOCKED,
  type NodeChoice,
  type ReadSystemFile,
} from "./numa_nodes.ts";
import { ANY_LOCATION } from "./topology.ts";

const MIB = 1 << 20;
const ORDINARY_PAGE = 4096;

/** Pages of a pool: their size as a power of two, and what comes next when they cannot be had. */
const pools: Readonly<Record<string, { shift: number; text: string; next: string }>> = {
  "1gb": { shift: 30, text: "1 GiB", next: "2mb" },
  "2mb": { shift: 21, text: "2 MiB", next: "thp" },
};

const systemFile: ReadSystemFile = (path) => readFileSync(path, "utf8");

/** Which memory, and for what. */
export interface HostMemoryRequest {
  length: number;
  publish: boolean;
  placement: MemoryPlacement;
  /** RDMA devices pin it. */
  rdma: boolean;
}

/**
 * Registers memory of the host as it is asked for: on the nodes named, in the largest pages that can
 * be had up to those asked for, locked. `Error` with one line that says why there is none.
 */
export function registerOnHost(
  engine: Pick<NativeEngine, "register">,
  request: HostMemoryRequest,
  readFile: ReadSystemFile = systemFile,
): { memory: NativeMemory; host: HostMemory } {
  const { length, publish, placement } = request;
  const choice = chooseNodes(placement.numa, readFile);
  const notes: string[] = [];
  let pages: string = placement.hugepages;
  for (;;) {
    const pool = Object.hasOwn(pools, pages) ? pools[pages] : null;
    try {
      const memory = engine.register(length, {
        publish,
        host: {
          ...choice,
          pageShift: pool?.shift ?? 0,
          smallPages: pages === "off",
          locked: placement.lockMemory,
        },
      });
      if (pages === "thp") notes.push(...transparentNotes(publish, readFile));
      const page = pool === null ? ORDINARY_PAGE : 2 ** pool.shift;
      return { memory, host: hostMemory(memory, locationOf(choice, page), notes) };
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      if (pool === null || ![Errno.ENOMEM, Errno.EOPNOTSUPP].includes(error.errno as 12)) {
        throw refusal(error, request, readFile);
      }
      notes.push(poolNote(pool, length, readFile));
      pages = pool.next;
    }
  }
}

/**
 * How a segment document names the place: parts of equal size, one for each node in their order;
 * `null` when nothing was said about it.
 */
function locationOf({ nodes, interleaved }: NodeChoice, pageBytes: number): string | null {
  if (nodes.length === 0) return null;
  if (interleaved && nodes.length > 1) return ANY_LOCATION;
  return nodes.length === 1 ? `cpu:${nodes[0]}` : `segments:${pageBytes}:${nodes.join(",")}`;
}

function hostMemory(
  { mapped: start, mappedLength }: NativeMemory,
  location: string | null,
  notes: string[],
): HostMemory {
  const range = { start, end: start + BigInt(mappedLength) };
  return {
    ...(location !== null && { location }),
    notes,
    async survey() {
      const [numaMaps, smaps] = await Promise.all([
        // Without NUMA the kernel has no such file.
        readFile("/proc/self/numa_maps", "utf8").catch(() => ""),
        readFile("/proc/self/smaps", "utf8"),
      ]);
      return surveyMaps([range], numaMaps, smaps);
    },
  };
}

function poolNote(
  { shift, text, next }: (typeof pools)[string],
  length: number,
  readFile: ReadSystemFile,
): string {
  const instead = next === "thp" ? "transparent huge pages" : `${pools[next].text} pages`;
  const pool = hugePool(2 ** shift, readFile);
  if (pool === null) return `the kernel has no pool of ${text} pages: ${instead} are used instead`;
  const needed = Math.ceil((length + ORDINARY_PAGE) / 2 ** shift);
  return `${pool.free} of ${pool.total} pages in the pool of ${text} pages are free and a segment ` +
    `needs ${needed}: ${instead} are used instead (as root: echo N > ${pool.path})`;
}

/**
 * What would be said now of pages for so much published memory: that there are too few in the pool, or
 * no transparent ones; nothing where pages can be had as asked for.
 */
export function foreseenNotes(
  hugepages: string,
  length: number,
  readFile: ReadSystemFile = systemFile,
): string[] {
  if (hugepages === "off") return [];
  if (!Object.hasOwn(pools, hugepages)) return transparentNotes(true, readFile);
  const wanted = pools[hugepages];
  const pool = hugePool(2 ** wanted.shift, readFile);
  const fits = pool !== null && pool.free * 2 ** wanted.shift >= length;
  return fits ? [] : [poolNote(wanted, length, readFile)];
}

function transparentNotes(publish: boolean, readFile: ReadSystemFile): string[] {
  const folder = "/sys/kernel/mm/transparent_hugepage";
  const path = `${folder}/${publish ? "shmem_enabled" : "enabled"}`;
  const word = chosenWord(path, readFile);
  if (word !== "never" && word !== "deny") return [];
  const better = publish ? "advise" : "madvise";
  return [
    `memory lies in ordinary pages, since ${path} is ${word} (as root: echo ${better} > ${path})`,
  ];
}

function refusal(
  error: NativeError,
  { length, rdma }: HostMemoryRequest,
  readFile: ReadSystemFile,
): Error {
  const what = `${(length / MIB).toFixed(1)} MiB of memory cannot be had`;
  const limit = lockLimit(readFile);
  const limited = `RLIMIT_MEMLOCK allows ${
    limit === null ? "as much as there is" : `${(limit / MIB).toFixed(1)} MiB`
  } (more with ${MORE_LOCKED})`;
  const reasons: Record<number, string> = {
    [Errno.EPERM]: `it cannot be locked, ${limited}`,
    [Errno.ENOMEM]: rdma
      ? `the system has not that much, or it cannot be pinned: ${limited}`
      : "the system has not that much",
    [Errno.ENODEV]: "it cannot be placed on these NUMA nodes",
  };
  const reason = reasons[error.errno] ?? errnoName(error.errno);
  return new Error(`${what}: ${reason}`, { cause: error });
}
