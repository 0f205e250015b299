import type { ReadSystemFile } from "../transfer/numa_nodes.ts";

/** What a control group that this process is in lets its processes have in memory. */
export interface GroupLimit {
  /** File that sets it. */
  readonly path: string;
  /** Bytes. */
  readonly limit: number;
  /** Bytes in use by all processes of the group, pages of files among them. */
  readonly used: number;
}

/** A version of control groups: where it is mounted, and its two files. */
interface Hierarchy {
  readonly line: RegExp;
  readonly root: string;
  readonly limit: string;
  readonly usage: string;
}

const HIERARCHIES: readonly Hierarchy[] = [
  {
    line: /^0::(\/.*)$/m,
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
  },
  {
    line: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m,
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
  },
];

/** What version 1 shows where there is no limit is about 2^63. */
const NO_LIMIT = 2 ** 62;

/**
 * The limits of memory of this process's control group and of those around it, as far as it can see
 * them: in a container these are often the group at the root of its own tree only.
 */
export function groupLimits(readFile: ReadSystemFile): GroupLimit[] {
  const found: GroupLimit[] = [];
  const own = textOf("/proc/self/cgroup", readFile);
  for (const { line, root, limit, usage } of HIERARCHIES) {
    const parts = (line.exec(own)?.[1] ?? "/").split("/").filter((part) => part !== "");
    for (let depth = parts.length; depth >= 0; depth--) {
      const folder = [root, ...parts.slice(0, depth)].join("/");
      const bytes = countIn(`${folder}/${limit}`, readFile);
      const used = countIn(`${folder}/${usage}`, readFile);
      if (bytes === null || used === null || bytes >= NO_LIMIT) continue;
      found.push({ path: `${folder}/${limit}`, limit: bytes, used });
    }
  }
  return found;
}

/** The lowest of them, `null` = there is none. */
export function lowestLimit(readFile: ReadSystemFile): GroupLimit | null {
  return groupLimits(readFile).reduce<GroupLimit | null>(
    (lowest, each) => lowest === null || each.limit < lowest.limit ? each : lowest,
    null,
  );
}

function countIn(path: string, readFile: ReadSystemFile): number | null {
  const text = textOf(path, readFile).trim();
  return /^\d+$/.test(text) ? Number(text) : null;
}

function textOf(path: string, readFile: ReadSystemFile): string {
  try {
    return readFile(path);
  } catch {
    return "";
  }
}
