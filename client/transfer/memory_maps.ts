/** Reads out of `/proc/self/numa_maps` and `/proc/self/smaps` where memory lies. Pure. */

/**
 * Where memory of the host lies.
 *
 * @example
 * ```ts ignore
 * const survey: MemorySurvey | null = await client.surveyMemory();
 * console.log(survey?.nodes.get(0));
 * ```
 */
export interface MemorySurvey {
  /** Bytes of each NUMA node. Pages that were never touched are on none. */
  nodes: ReadonlyMap<number, number>;
  /** Bytes in pages of each size in bytes, transparent huge pages among them. */
  pages: ReadonlyMap<number, number>;
  /** Bytes that stay in memory by order of this process. */
  locked: number;
}

/** A range of addresses, `[start, end)`. */
export interface AddressRange {
  start: bigint;
  end: bigint;
}

const KIB = 1024;
/** What the processors that this runs on map with one entry of the middle level. */
const TRANSPARENT_PAGE = 2 << 20;

/** Where the memory of some mappings lies; mappings that begin in none of the ranges are left out. */
export function surveyMaps(
  ranges: readonly AddressRange[],
  numaMaps: string,
  smaps: string,
): MemorySurvey {
  const inside = (start: bigint) =>
    ranges.some((range) => start >= range.start && start < range.end);
  const nodes = new Map<number, number>();
  for (const line of numaMaps.split("\n")) {
    const address = /^([0-9a-f]+) /.exec(line);
    if (address === null || !inside(BigInt(`0x${address[1]}`))) continue;
    const page = KIB * Number(/ kernelpagesize_kB=(\d+)/.exec(line)?.[1] ?? 4);
    for (const [, node, count] of line.matchAll(/ N(\d+)=(\d+)/g)) {
      add(nodes, Number(node), page * Number(count));
    }
  }
  return { nodes, ...pagesOf(smaps, inside) };
}

/** The sum of several. */
export function sumSurveys(surveys: readonly MemorySurvey[]): MemorySurvey {
  const nodes = new Map<number, number>(), pages = new Map<number, number>();
  let locked = 0;
  for (const survey of surveys) {
    for (const [node, bytes] of survey.nodes) add(nodes, node, bytes);
    for (const [page, bytes] of survey.pages) add(pages, page, bytes);
    locked += survey.locked;
  }
  return { nodes, pages, locked };
}

function pagesOf(
  smaps: string,
  inside: (start: bigint) => boolean,
): Pick<MemorySurvey, "pages" | "locked"> {
  const pages = new Map<number, number>();
  let locked = 0;
  let fields: Map<string, number> | null = null;
  const finish = () => {
    if (fields === null) return;
    const kib = (...names: string[]) =>
      names.reduce((sum, name) => sum + (fields?.get(name) ?? 0), 0);
    const page = KIB * (fields.get("KernelPageSize") ?? 4);
    const pooled = kib("Shared_Hugetlb", "Private_Hugetlb");
    const huge = kib("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped");
    add(pages, TRANSPARENT_PAGE, KIB * huge);
    add(pages, page, KIB * (pooled > 0 ? pooled : kib("Rss") - huge));
    locked += KIB * kib("Locked");
  };
  for (const line of smaps.split("\n")) {
    const header = /^([0-9a-f]+)-[0-9a-f]+ /.exec(line);
    if (header !== null) {
      finish();
      fields = inside(BigInt(`0x${header[1]}`)) ? new Map() : null;
      continue;
    }
    const field = /^(\w+):\s+(\d+) kB$/.exec(line);
    if (field !== null) fields?.set(field[1], Number(field[2]));
  }
  finish();
  return { pages, locked };
}

function add(sums: Map<number, number>, key: number, bytes: number): void {
  if (bytes > 0) sums.set(key, (sums.get(key) ?? 0) + bytes);
}
