import { idealHits, type IdealResult } from "./ideal_cache.ts";
import type { Tally } from "./replay.ts";
import { BLOCK_TOKENS, type Request } from "./request.ts";

/** Tokens a second that the model behind the demo is taken to prefill; an assumption, not a result. */
export const PREFILL_TOKENS_PER_SECOND = 8000;

export interface ReportInput {
  workload: string;
  requests: readonly Request[];
  tally: Tally;
  blockBytes: number;
  poolBytes: number;
  leaseMs: number;
  seconds: number;
  evictedKeys: number;
  engine: string;
}

/** The demo's result as lines of text. */
export function report(input: ReportInput): string[] {
  const { tally, blockBytes, poolBytes, requests } = input;
  const capacity = Math.floor(poolBytes / blockBytes);
  const ratio = ({ hits, blocks }: IdealResult) => hits / blocks;
  const reached = ratio(tally);
  const sameSize = ratio(idealHits(requests, capacity));
  const unlimited = ratio(idealHits(requests, Infinity));
  const readBytes = tally.hits * blockBytes;
  const storedBytes = tally.stored * blockBytes;
  const saved = tally.hits * BLOCK_TOKENS / PREFILL_TOKENS_PER_SECOND;
  const rows: [string, string][] = [
    ["workload", input.workload],
    ["pool", `${size(poolBytes)} of ${size(blockBytes)} blocks, lease ${input.leaseMs} ms`],
    ["transfers", input.engine],
    [
      "requests",
      `${tally.requests} with ${tally.blocks} block references, in ${input.seconds.toFixed(1)} s`,
    ],
    ["hit ratio", percent(reached)],
    [
      "  ideal LRU, same size",
      `${percent(sameSize)} (reached ${(reached / sameSize).toFixed(3)} of it)`,
    ],
    ["  unlimited cache", percent(unlimited)],
    ["read", `${size(readBytes)}, ${rate(readBytes, tally.getMs)}, ${times(tally.getMs)}`],
    ["stored", `${size(storedBytes)}, ${rate(storedBytes, tally.putMs)}, ${times(tally.putMs)}`],
    ["evictions", `${input.evictedKeys} blocks`],
    ["no room", `${tally.refused} blocks`],
    ["wrong bytes", String(tally.wrongBytes)],
    [
      "prefill saved",
      `${
        saved.toFixed(0)
      } s of computing, if the model prefills ${PREFILL_TOKENS_PER_SECOND} tokens/s (assumed)`,
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}

/** One line about how far the replay is. */
export function progress(tally: Tally, total: number, seconds: number): string {
  const hit = tally.blocks === 0 ? 0 : tally.hits / tally.blocks;
  return `${tally.requests}/${total} requests, hit ratio ${percent(hit)}, ` +
    `${tally.wrongBytes} wrong bytes, ${seconds.toFixed(0)} s`;
}

function percent(value: number): string {
  return `${(100 * value).toFixed(2)} %`;
}

export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(2)} ${units[unit]}`;
}

function rate(bytes: number, ms: number[]): string {
  const seconds = ms.reduce((sum, value) => sum + value, 0) / 1000;
  return seconds === 0 ? "nothing timed" : `${(bytes / seconds / 1e9).toFixed(2)} GB/s`;
}

/** Median and 99th percentile of calls of up to 64 blocks. */
function times(ms: number[]): string {
  if (ms.length === 0) return "no calls";
  const sorted = Float64Array.from(ms).sort();
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return `p50 ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms a call of up to 64 blocks`;
}
