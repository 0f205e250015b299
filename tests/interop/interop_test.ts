import assert from "node:assert/strict";
import { findWheel } from "../support/wheel.ts";
import { type Scenario, scenarios } from "./scenarios.ts";

const wheel = await findWheel();
const absent = "python" in wheel ? null : wheel.reason;

/** They wait more than they compute, and share nothing. */
const AT_A_TIME = 2;

async function check({ run }: Scenario): Promise<void> {
  assert("python" in wheel);
  const { equal, wrong } = await run(wheel);
  assert.deepEqual(wrong, []);
  assert(equal > 0);
}

Deno.test({
  name: `interop${absent === null ? "" : ` (skipped: ${absent})`}`,
  ignore: absent !== null,
  fn: async (test) => {
    // The last one waits for longest.
    const left = scenarios.toReversed();
    await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const scenario = next;
        const { name, missing } = scenario;
        await test.step({
          name: `${name}${missing ? ` (skipped: ${missing})` : ""}`,
          ignore: Boolean(missing),
          fn: () => check(scenario),
          // Steps side by side are not told apart by their processes and sockets.
          ...{ sanitizeOps: false, sanitizeResources: false, sanitizeExit: false },
        });
      }
    }));
  },
});
