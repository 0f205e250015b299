/**
 * Process memory per key and the cost of each call as the number of keys grows.
 *
 *     deno run -A bench/core_memory.ts [keys ...]        default: 50000 1000000
 *
 * Keys of 62 bytes, one replica of 64 KiB. Costs are medians over batches of 500 calls on keys drawn
 * at random; the longest batch and the 99.9th percentile show the pauses. Each count of keys is
 * measured in a process of its own.
 */
import { HugePages } from "../ffi/huge_pages.ts";
import { openLibrary } from "../ffi/library.ts";
import { MasterCore } from "../master/core/core.ts";
import { ordinaryPages } from "../master/core/pages.ts";
import { defaultCoreConfig } from "../master/core/config.ts";
import { randomBelow, SeededRng } from "../master/core/rng.ts";
import type { ReplicaSink } from "../master/core/api.ts";
import { clientId, replicateConfig, segmentOf } from "../tests/support/core_driver.ts";

const KEY_BYTES = 62;
const OBJECT_BYTES = 64 * 1024;
const BATCH = 500;
const BATCHES = 1500;
const SEGMENTS = 8;

class NullSink implements ReplicaSink {
  begin(): void {}
  checksum(): void {}
  memory(): void {}
  disk(): void {}
  localDisk(): void {}
}

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
  const library = openLibrary();
  const core = new MasterCore(
    defaultCoreConfig({ evictionHighWatermarkRatio: 1, defaultKvLeaseTtlMs: 1 }),
    new SeededRng(1),
    "unavailable" in library ? ordinaryPages : new HugePages(library),
  );
  let nowMs = 1;
  let filled = 0;
  core.tick(nowMs);
  const capacity = Math.ceil(keys / SEGMENTS) * OBJECT_BYTES;
  for (let i = 1; i <= SEGMENTS; i++) {
    core.cluster.mountSegment(segmentOf(i, `segment-${i}`, capacity), clientId(1));
  }
  const writer = { client: core.internClientUuid(clientId(1)), writeId: 0 };
  const random = new SeededRng(3);
  const key = new Uint8Array(KEY_BYTES).fill(0x61);
  const sink = new NullSink();
  const config = replicateConfig();
  const put = (n: number) => {
    nameKey(key, n);
    core.putStart(writer, 0, key, 0, KEY_BYTES, OBJECT_BYTES, config, null, nowMs, sink);
    core.putEnd(writer, 0, key, 0, KEY_BYTES, null, 4, nowMs);
  };
  const before = Deno.memoryUsage().rss;
  const filling = measure(Math.floor(keys / BATCH), () => put(filled++), () => nowMs++);
  const bytes = (Deno.memoryUsage().rss - before) / core.keyCount;
  const drawn = () => nameKey(key, randomBelow(random, filled));
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

/** A different key for each number, spread over all of the key's bytes. */
function nameKey(key: Uint8Array, n: number): void {
  let mixed = Math.imul(n + 1, 0x9e3779b1);
  for (let i = 0; i < 16; i++) {
    key[i] = 0x61 + (mixed >>> 28);
    mixed = Math.imul(mixed, 0x85ebca6b) + n | 0;
  }
  for (let i = KEY_BYTES - 1; i >= KEY_BYTES - 8; i--) {
    key[i] = 0x30 + n % 10;
    n = Math.floor(n / 10);
  }
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
