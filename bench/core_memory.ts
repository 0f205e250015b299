/**
 * Process memory per key and the cost of each call as the number of keys grows.
 *
 *     deno run -A bench/core_memory.ts [keys ...]        default: 50000 1000000
 *
 * Keys of 62 bytes, one replica of 64 KiB. Costs are medians over batches of 500 calls on keys drawn
 * at random; the longest batch and the 99.9th percentile show the pauses. Each count of keys is
 * measured in a process of its own.
 */
import { randomBelow, SeededRng } from "../master/core/rng.ts";
import { emptyCore, KEY_BYTES, nameKey, putKeys, sink } from "./filled_core.ts";

const BATCH = 500;
const BATCHES = 1500;

interface Cost {
  medianNs: number;
  p999Ms: number;
  worstMs: number;
}

if (Deno.args[0] === "--one") one(Number(Deno.args[1]));
else await all(Deno.args.length > 0 ? Deno.args.map(Number) : [50_000, 1_000_000]);

async function all(counts: number[]): Promise<void> {
  for (const keys of counts) {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", new URL(import.meta.url).pathname, "--one", String(keys)],
      stdout: "inherit",
      stderr: "inherit",
    });
    await child.output();
  }
}

function one(keys: number): void {
  const filledCore = emptyCore(keys);
  const { core } = filledCore;
  let nowMs = 1;
  let filled = 0;
  const random = new SeededRng(3);
  const key = new Uint8Array(KEY_BYTES).fill(0x61);
  const put = (n: number) => {
    nameKey(key, 0, n);
    putKeys(filledCore, key, [0, KEY_BYTES], nowMs);
  };
  const before = Deno.memoryUsage().rss;
  const filling = measure(Math.floor(keys / BATCH), () => put(filled++), () => nowMs++);
  const bytes = (Deno.memoryUsage().rss - before) / core.keyCount;
  const drawn = () => nameKey(key, 0, randomBelow(random, filled));
  const exist = measure(BATCHES, () => {
    drawn();
    core.existKey(0, key, 0, KEY_BYTES, nowMs);
  }, () => nowMs++);
  const get = measure(BATCHES, () => {
    drawn();
    core.getReplicaList(0, key, 0, KEY_BYTES, nowMs, sink);
  }, () => nowMs++);
  nowMs += 1000;
  const churn = measure(BATCHES, () => put(filled++), () => core.tick(nowMs++));
  console.log(
    `${keys} keys: ${bytes.toFixed(0)} bytes of RSS each; ` +
      `${show("fill", filling)}; ${show("exist", exist)}; ${show("get", get)}; ` +
      show("put with eviction", churn),
  );
}

function measure(batches: number, call: () => void, afterBatch: () => void): Cost {
  const times = new Float64Array(batches);
  for (let batch = 0; batch < batches; batch++) {
    const start = performance.now();
    for (let i = 0; i < BATCH; i++) call();
    afterBatch();
    times[batch] = performance.now() - start;
  }
  times.sort();
  return {
    medianNs: times[batches >> 1] / BATCH * 1e6,
    p999Ms: times[Math.floor(batches * 0.999)],
    worstMs: times[batches - 1],
  };
}

function show(name: string, { medianNs, p999Ms, worstMs }: Cost): string {
  const pauses = `p99.9 ${p999Ms.toFixed(1)} ms, worst ${worstMs.toFixed(1)} ms`;
  return `${name} ${medianNs.toFixed(0)} ns (batches of ${BATCH}: ${pauses})`;
}
