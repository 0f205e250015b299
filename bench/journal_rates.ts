/**
 * `deno run -A bench/journal_rates.ts`: durable changes a second, and how long a million keys take to
 * come back.
 */
import { MasterCore } from "../master/core/core.ts";
import { SeededRng } from "../master/core/rng.ts";
import { foldCheckpoint } from "../master/journal/checkpoint.ts";
import type { Durability } from "../master/journal/journal.ts";
import { recover } from "../master/journal/recovery.ts";
import { KeptCore } from "./kept_core.ts";

/** Changes a second through core and journal, batches of `puts`, the disk keeping pace behind. */
async function rate(durability: Durability, puts: number, total: number): Promise<number> {
  using kept = new KeptCore(durability);
  kept.batch(1000);
  const startedMs = performance.now();
  for (let done = 0; done < total; done += puts) {
    kept.batch(puts);
    if (done / puts % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  if (durability !== "none") kept.journal.sync();
  return 2 * total / ((performance.now() - startedMs) / 1000);
}

async function report(): Promise<void> {
  for (const puts of [16, 128, 1024]) {
    const rates = [];
    for (const durability of ["none", "batch", "fsync"] as const) {
      const total = durability === "fsync" ? puts * 200 : 200_000;
      rates.push(`${durability} ${(await rate(durability, puts, total) / 1000).toFixed(0)} k`);
    }
    console.log(`changes a second, batches of ${puts} puts: ${rates.join(", ")}`);
  }
  using kept = new KeptCore("batch");
  for (let i = 0; i < 1000; i++) {
    kept.batch(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { config } = kept.driver.core.state;
  const fromTail = time(() => recover(kept.directory, new MasterCore(config, new SeededRng(1))));
  let bytes = 0;
  const fold = time(() =>
    bytes = foldCheckpoint(kept.directory, kept.journal.seal(), config).bytes
  );
  const core = new MasterCore(config, new SeededRng(1));
  const fromCheckpoint = time(() => {
    recover(kept.directory, core);
    core.finishReplay(0);
  });
  console.log(
    `a million keys of 64 bytes: recovered from the tail in ${fromTail} s, folded in ${fold} s ` +
      `into ${(bytes / 2 ** 20).toFixed(0)} MiB, recovered from that in ${fromCheckpoint} s`,
  );
  const walk = kept.driver.core.walkRecency();
  const ids = new Float64Array(1024);
  const slices: number[] = [];
  for (let more = true; more;) {
    const startedMs = performance.now();
    more = walk.next(ids, kept.driver.nowMs) === ids.length;
    slices.push(performance.now() - startedMs);
  }
  const sum = slices.reduce((total, ms) => total + ms, 0);
  const p99 = slices.sort((a, b) => a - b)[Math.floor(slices.length * 0.99)];
  console.log(
    `their order of eviction is handed over in ${sum.toFixed(0)} ms: ${slices.length} slices, ` +
      `p99 ${p99.toFixed(2)} ms, longest ${slices.at(-1)!.toFixed(2)} ms`,
  );
  if (core.digest() !== kept.driver.core.digest()) throw new Error("the digests differ");
}

function time(run: () => void): string {
  const startedMs = performance.now();
  run();
  return ((performance.now() - startedMs) / 1000).toFixed(2);
}

await report();
