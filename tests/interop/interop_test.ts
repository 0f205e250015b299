import assert from "node:assert/strict";
import { findWheel } from "../support/wheel.ts";
import { scenarios } from "./scenarios.ts";

const wheel = await findWheel();

for (const { name, run, missing } of scenarios) {
  const why = "python" in wheel ? missing ?? null : wheel.reason;
  Deno.test({
    name: `interop: ${name}${why === null ? "" : ` (skipped: ${why})`}`,
    ignore: why !== null,
    fn: async () => {
      assert("python" in wheel);
      const { equal, wrong } = await run(wheel);
      assert.deepEqual(wrong, []);
      assert(equal > 0);
    },
  });
}
