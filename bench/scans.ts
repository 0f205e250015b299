/**
 * `deno run -A bench/scans.ts [keys]`: what it takes to look for a pattern in every key, a million by
 * default, of 64 bytes each. Beside the scan of the master stands V8's own engine over the same keys
 * as texts, which is what the scan replaced; a pattern that would not end in time is cut off.
 */
import { byteText } from "../master/core/key_pattern.ts";
import { KeyScan } from "../master/core/key_scan.ts";
import type { CoreState } from "../master/core/state.ts";
import { bytesOf } from "../tests/support/core_driver.ts";
import { KeptCore } from "./kept_core.ts";
import { machineLine } from "./process_stat.ts";
import { printTable, short } from "./table.ts";

const SLICE_WORK = 200_000;
const CUT_OFF_MS = 5000;

const patterns = [
  ...["^key/00000", "00123", "7/x+$", "key/[0-9]+/.*x$", "^(?!key)", "(0|1|2)+/"],
  ...["[[:digit:]]{5}7", "(x+)+!$"],
];

interface Measured {
  keysPerSecond: number;
  matches: number;
  longestSliceMs: number;
}

/** The scan of the master, a slice after the other. */
function scan(state: CoreState, pattern: string): Measured {
  const keys = new KeyScan(state, 0, bytesOf(pattern), () => true);
  let matches = 0;
  let longestSliceMs = 0;
  const startedMs = performance.now();
  while (!keys.isOver) {
    const sliceMs = performance.now();
    const work = { left: SLICE_WORK };
    while (keys.next(work) !== 0) matches++;
    longestSliceMs = Math.max(longestSliceMs, performance.now() - sliceMs);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  return { keysPerSecond: state.objects.count / seconds, matches, longestSliceMs };
}

/** V8's engine over texts, in one go. */
function backtrack({ objects }: CoreState, pattern: string): Measured {
  const expression = new RegExp(pattern.replace("[[:digit:]]", "\\d"));
  let matches = 0;
  let looked = 0;
  const startedMs = performance.now();
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot)) continue;
    const at = objects.keyOffset(slot);
    const text = byteText(objects.keyPage(slot), at, at + objects.keyLength(slot));
    if (expression.test(text)) matches++;
    looked++;
    if (performance.now() - startedMs > CUT_OFF_MS) break;
  }
  const tookMs = performance.now() - startedMs;
  return { keysPerSecond: looked / tookMs * 1000, matches, longestSliceMs: tookMs };
}

const count = Number(Deno.args[0] ?? 1_000_000);
if (!Number.isInteger(count) || count < 1 || Deno.args.length > 1) {
  console.error(`Unknown arguments ${Deno.args.join(" ")}; allowed: a number of keys from 1`);
  Deno.exit(2);
}
console.log(`Machine: ${machineLine()}`);
using kept = new KeptCore("none");
kept.batch(count);
const { state } = kept.driver.core;
const rows = patterns.map((pattern) => {
  const found = scan(state, pattern);
  // V8 needs 2 to the power of the run of letters for this one: it would never come to a stop.
  const before = pattern === "(x+)+!$" ? null : backtrack(state, pattern);
  return [
    pattern,
    short(found.matches),
    short(found.keysPerSecond),
    found.longestSliceMs.toFixed(2),
    before === null ? "never" : short(before.keysPerSecond),
    before === null ? "never" : before.longestSliceMs.toFixed(0),
  ];
});
printTable(
  ["pattern", "matches", "keys/s", "longest slice ms", "V8 keys/s", "V8 in one go, ms"],
  rows,
);
