import { formatSize } from "../size.ts";
import type { MemorySurvey } from "../transfer/memory_maps.ts";

/** Share of the free memory that a node takes when nobody said how much it should. */
const DEFAULT_SHARE = 0.8;
const MIB = 1 << 20;

/** Memory that a node lends unless it is told otherwise, as the reference's service does. */
export const DEFAULT_SEGMENT_BYTES = 3_355_443_200;

/**
 * Bytes that this process may still take: what the system has free, or what its control group
 * allows if that is less. `readFile` returns the text of a file or throws.
 */
export function availableMemory(systemBytes: number, readFile: (path: string) => string): number {
  const limits = [
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"],
    [
      "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ],
  ];
  let available = systemBytes;
  for (const [limitPath, usagePath] of limits) {
    const limit = readCount(limitPath, readFile);
    const usage = readCount(usagePath, readFile);
    if (limit !== null && usage !== null) available = Math.min(available, limit - usage);
  }
  return Math.max(0, available);
}

/**
 * How much memory to lend, and a line for the operator when that is not simply what was asked for.
 * A size that was asked for is kept; the default shrinks to what the machine has.
 */
export function chooseSegmentSize(
  asked: number | null,
  available: number,
): { size: number; note: string | null } {
  if (asked !== null) {
    const note = asked > available
      ? `the segment of ${formatSize(asked)} is larger than the ${
        formatSize(available)
      } that are ` +
        `available: the system may end this process when clients fill it`
      : null;
    return { size: asked, note };
  }
  const limit = Math.floor(available * DEFAULT_SHARE / MIB) * MIB;
  if (DEFAULT_SEGMENT_BYTES <= limit) return { size: DEFAULT_SEGMENT_BYTES, note: null };
  const note = `lending ${formatSize(limit)} instead of the default ` +
    `${formatSize(DEFAULT_SEGMENT_BYTES)}: ${formatSize(available)} are available ` +
    `(--segment_size sets it)`;
  return { size: limit, note };
}

/** Where memory lies, for people: `node 0 1.00 GiB, node 1 1.00 GiB, in pages of 2.00 MiB`. */
export function describeSurvey({ nodes, pages, locked }: MemorySurvey): string {
  const ascending = (sums: ReadonlyMap<number, number>) =>
    Array.from(sums).sort(([a], [b]) => a - b);
  const places = ascending(nodes).map(([node, bytes]) => `node ${node} ${formatSize(bytes)}`);
  const kinds = ascending(pages).map(([page, bytes]) =>
    pages.size === 1
      ? `in pages of ${formatSize(page)}`
      : `${formatSize(bytes)} in pages of ${formatSize(page)}`
  );
  const parts = [...places, ...kinds, ...(locked > 0 ? [`${formatSize(locked)} locked`] : [])];
  return parts.length === 0 ? "no page of it has been touched" : parts.join(", ");
}

function readCount(path: string, readFile: (path: string) => string): number | null {
  try {
    const text = readFile(path).trim();
    return /^\d+$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
}
