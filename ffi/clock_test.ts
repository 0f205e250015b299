import assert from "node:assert/strict";
import { monotonicClock } from "./clock.ts";
import { openLibrary } from "./library.ts";

const library = openLibrary();
const why = "unavailable" in library ? ` (skipped: ${library.unavailable})` : "";

Deno.test({
  name: `the shim's clock goes with that of the runtime${why}`,
  ignore: why !== "",
  fn() {
    if ("unavailable" in library) return;
    const clock = monotonicClock(library);
    for (let i = 0; i < 1000; i++) {
      const before = performance.now();
      const now = clock();
      const after = performance.now();
      assert(now >= before - 1 && now <= after + 1, `${before} <= ${now} <= ${after}`);
    }
  },
});
