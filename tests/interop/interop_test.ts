import assert from "node:assert/strict";
import { findWheel } from "../support/wheel.ts";
import { scenarios } from "./scenarios.ts";

const wheel = await findWheel();

for (const { name, run } of scenarios) {
  Deno.test({
    name: `interop: ${name}${"python" in wheel ? "" : ` (skipped: ${wheel.reason})`}`,
    ignore: !("python" in wheel),
    fn: async () => {
      assert("python" in wheel);
      const { equal, wrong } = await run(wheel);
      assert.deepEqual(wrong, []);
      assert(equal > 0);
    },
  });
}
