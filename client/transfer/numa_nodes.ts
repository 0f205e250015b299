/** What the kernel tells about NUMA nodes and its pools of huge pages. Pure, but for `readFile`. */

/** Returns the text of a file of `/sys` or `/proc`, or throws. */
export type ReadSystemFile = (path: string) => string;

const NODES = "/sys/devices/system/node";
/** Nodes that the shim can name. */
const MAX_NODE = 63;

/** Numbers of a kernel's list such as `0-1,4`; empty for anything else. */
export function parseNodeList(text: string): number[] {
  const nodes: number[] = [];
  for (const part of text.trim().split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (match === null) return [];
    for (let node = Number(match[1]); node <= Number(match[2] ?? match[1]); node++) {
      nodes.push(node);
    }
  }
  return nodes;
}

/** Nodes that have memory and that this process may use, ascending; none where there is no NUMA. */
export function memoryNodes(readFile: ReadSystemFile): number[] {
  const present = parseNodeList(textOf(`${NODES}/has_memory`, readFile));
  const allowed = /^Mems_allowed_list:\s*(\S+)$/m.exec(textOf("/proc/self/status", readFile));
  const usable = allowed === null ? present : parseNodeList(allowed[1]);
  return present.filter((node) => node <= MAX_NODE && usable.includes(node));
}

/** How memory is spread over nodes. */
export interface NodeChoice {
  /** Ascending; none = wherever the system puts it. */
  nodes: number[];
  /** Page by page instead of in one piece for each node. */
  interleaved: boolean;
}

/**
 * The nodes that a setting names: `off`, `interleave` and `split` over all nodes, or a list as `0,1`.
 * `Error` with one line for a node that this process cannot use.
 */
export function chooseNodes(numa: string, readFile: ReadSystemFile): NodeChoice {
  if (numa === "off") return { nodes: [], interleaved: false };
  const usable = memoryNodes(readFile);
  if (numa === "split" || numa === "interleave") {
    return { nodes: usable, interleaved: numa === "interleave" && usable.length > 0 };
  }
  const nodes = [...new Set(numa.split(",").map(Number))].sort((a, b) => a - b);
  for (const node of nodes) {
    if (usable.includes(node)) continue;
    const allowed = usable.length === 0
      ? "none: the kernel shows no NUMA nodes"
      : usable.join(", ");
    throw new Error(`there is no memory of NUMA node ${node}; allowed: ${allowed}`);
  }
  return { nodes, interleaved: false };
}

/** A pool of huge pages. */
export interface HugePool {
  /** File that sets how many pages there are. */
  path: string;
  total: number;
  /** Neither used nor promised. */
  free: number;
}

/** The pool of pages of that size, or `null` where the kernel has none. */
export function hugePool(pageBytes: number, readFile: ReadSystemFile): HugePool | null {
  const folder = `/sys/kernel/mm/hugepages/hugepages-${pageBytes / 1024}kB`;
  const count = (name: string) => {
    const text = textOf(`${folder}/${name}`, readFile).trim();
    return /^\d+$/.test(text) ? Number(text) : null;
  };
  const total = count("nr_hugepages"), free = count("free_hugepages");
  if (total === null || free === null) return null;
  const promised = count("resv_hugepages") ?? 0;
  return { path: `${folder}/nr_hugepages`, total, free: Math.max(0, free - promised) };
}

/** The word in brackets of a kernel's choice such as `always [madvise] never`, or empty. */
export function chosenWord(path: string, readFile: ReadSystemFile): string {
  return /\[(\w+)\]/.exec(textOf(path, readFile))?.[1] ?? "";
}

/** How a process is let lock more memory. */
export const MORE_LOCKED =
  "ulimit -l, LimitMEMLOCK= of systemd, --ulimit memlock=-1 of a container";

/** Bytes that this process may lock, or `null` without a limit. */
export function lockLimit(readFile: ReadSystemFile): number | null {
  const soft = /^Max locked memory\s+(\d+)/m.exec(textOf("/proc/self/limits", readFile));
  return soft === null ? null : Number(soft[1]);
}

function textOf(path: string, readFile: ReadSystemFile): string {
  try {
    return readFile(path);
  } catch {
    return "";
  }
}
