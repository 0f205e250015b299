/**
 * `deno task interop`: the published wheel on our master and store nodes, and the same steps on the
 * reference, compared answer by answer.
 */
import { findWheel } from "../support/wheel.ts";
import { scenarios } from "./scenarios.ts";

const wheel = await findWheel({ install: true });
if (!("python" in wheel)) {
  console.error(`Cannot run the reference wheel: ${wheel.reason}`);
  Deno.exit(1);
}
let failed = 0;
for (const { name, run, missing } of scenarios) {
  if (missing) {
    console.log(`skip   ${name}: ${missing}`);
    continue;
  }
  const started = performance.now();
  const { equal, intended, wrong } = await run(wheel);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${wrong.length === 0 ? "ok    " : "FAILED"} ${name}: ${equal} steps equal, ` +
      `${intended.length} differ on purpose, ${wrong.length} wrong (${seconds} s)`,
  );
  for (const { step, reason } of intended) console.log(`         differs: ${step}: ${reason}`);
  for (const { step, reference, ours } of wrong) {
    console.log(`         WRONG: ${step}`);
    console.log(`           reference ${JSON.stringify(reference)?.slice(0, 200)}`);
    console.log(`           ours      ${JSON.stringify(ours)?.slice(0, 200)}`);
  }
  failed += wrong.length;
}
Deno.exit(failed === 0 ? 0 : 1);
