import type { Config } from "../config.ts";
import { formatSize } from "../size.ts";
import type { MemorySurvey } from "../transfer/memory_maps.ts";
import { hugePool, type ReadSystemFile } from "../transfer/numa_nodes.ts";
import { groupLimits, lowestLimit } from "./control_group.ts";

/** Share of the free memory that a node takes when nobody said how much it should. */
const DEFAULT_SHARE = 0.8;
const MIB = 1 << 20;

/** Memory that a node lends unless it is told otherwise, as the reference's service does. */
export const DEFAULT_SEGMENT_BYTES = 3_355_443_200;

/** Memory of a node besides what it lends and its buffers: the runtime, code, connections. */
const RUNTIME_BYTES = 512 * MIB;

/**
 * Bytes that this process may still take: what the system has free, or what its control groups
 * allow if that is less.
 */
export function availableMemory(systemBytes: number, readFile: ReadSystemFile): number {
  const rests = groupLimits(readFile).map(({ limit, used }) => limit - used);
  return Math.max(0, Math.min(systemBytes, ...rests));
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
      ? `the segment of ${formatSize(asked)} is larger than the ${formatSize(available)} that ` +
        "are available: the system may end this process when clients fill it"
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

/** What a node takes of the memory of its control group. */
export interface MemoryNeed {
  /** Bytes lent. */
  readonly segment: number;
  /** Bytes of the client's own buffers. */
  readonly buffer: number;
  /** As the setting of that name. */
  readonly hugepages: string;
}

/**
 * Compares the limit of the control group with segment + buffer + 512 MiB; a line with what is wrong
 * and what to do, or `null`. Pages of the system's pools do not count towards that limit.
 */
export function groupLimitNote(need: MemoryNeed, readFile: ReadSystemFile): string | null {
  const lowest = lowestLimit(readFile);
  if (lowest === null) return null;
  const segment = isPooled(need, readFile) ? 0 : need.segment;
  const wanted = segment + need.buffer + RUNTIME_BYTES;
  if (wanted <= lowest.limit) return null;
  const parts = [
    ...(segment > 0 ? [`${formatSize(segment)} lent`] : []),
    ...(need.buffer > 0 ? [`${formatSize(need.buffer)} of buffers`] : []),
    `${formatSize(RUNTIME_BYTES)} for the process`,
  ];
  const room = lowest.limit - (wanted - segment);
  const lend = segment > 0 && room > 0 ? `, or lend at most ${formatSize(room)}` : "";
  return `the memory limit of the control group, ${formatSize(lowest.limit)} ` +
    `(${lowest.path}), is less than ${formatSize(wanted)}: ${parts.join(", ")}; the system ends ` +
    `this process when it reaches the limit; raise it${lend}`;
}

/** The memory of a node, before any of it is had. */
export interface MemoryPlan {
  /** Bytes to lend. */
  readonly size: number;
  /** What of it the system provides: nothing of a device's or a file's. */
  readonly need: MemoryNeed;
  /** As of {@linkcode chooseSegmentSize}. */
  readonly note: string | null;
  /** As of {@linkcode groupLimitNote}. */
  readonly tight: string | null;
}

/** Plans the memory that settings ask for; `systemBytes` is what the system has free. */
export function planMemory(
  { settings, given }: Config,
  systemBytes: number,
  readFile: ReadSystemFile,
): MemoryPlan {
  const { deviceMemory, memoryFile, localBufferSize: buffer, hugepages } = settings;
  const isOurs = deviceMemory + memoryFile === "";
  const asked = given.has("globalSegmentSize") ? settings.globalSegmentSize : null;
  const available = isOurs ? availableMemory(systemBytes, readFile) : Infinity;
  const { size, note } = chooseSegmentSize(asked, available);
  const need = { segment: isOurs ? size : 0, buffer, hugepages };
  return { size, need, note, tight: groupLimitNote(need, readFile) };
}

/** Whether the segment finds room in a pool of huge pages. */
function isPooled({ segment, hugepages }: MemoryNeed, readFile: ReadSystemFile): boolean {
  const page = { "2mb": 2 << 20, "1gb": 1 << 30 }[hugepages];
  const pool = page === undefined ? null : hugePool(page, readFile);
  return pool !== null && pool.free * page! >= segment;
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
