/** What keeping a batch in the journal costs, beside a core that keeps nothing. */
import { KeptCore } from "./kept_core.ts";

for (const puts of [1, 16, 128]) {
  for (const durability of ["none", "batch", "fsync"] as const) {
    const kept = new KeptCore(durability);
    addEventListener("unload", () => kept[Symbol.dispose]());
    Deno.bench({
      name: durability,
      group: `a batch of ${puts} puts, PutStart and PutEnd of each`,
      baseline: durability === "none",
      n: durability === "fsync" ? 50 : Math.ceil(20_000 / puts),
      fn: () => kept.batch(puts),
    });
  }
}
