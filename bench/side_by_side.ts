/**
 * `deno run -A bench/side_by_side.ts`: the reference and Snowskin on this machine, in one run.
 *
 * Options: `--quick` (fewer rounds), `--only=master` or `--only=transfer`.
 */
import { findWheel } from "../tests/support/wheel.ts";
import { compareEngines } from "./engine_transfers.ts";
import { compareMasters } from "./master_calls.ts";
import { machineLine } from "./process_stat.ts";

const known = ["--quick", "--only=master", "--only=transfer"];
const unknown = Deno.args.find((arg) => !known.includes(arg));
if (unknown !== undefined) {
  console.error(`Unknown option ${unknown}; allowed: ${known.join(", ")}`);
  Deno.exit(2);
}
const quick = Deno.args.includes("--quick");
const only = Deno.args.find((arg) => arg.startsWith("--only="))?.slice("--only=".length);

const wheel = await findWheel({ install: true });
if (!("python" in wheel)) {
  console.error(`Cannot compare with the reference: ${wheel.reason}`);
  Deno.exit(1);
}
console.log(`Machine: ${machineLine()}`);
console.log(
  `Reference: Mooncake wheel ${wheel.version}; ours: this checkout on Deno ${Deno.version.deno}`,
);
if (only !== "transfer") {
  console.log("\nMaster calls ...");
  await compareMasters(
    wheel,
    quick ? { rounds: 3, seconds: 0.3, fill: 50_000 } : { rounds: 7, seconds: 0.6, fill: 500_000 },
  );
}
if (only !== "master") {
  console.log("\nTransfers ...");
  await compareEngines(wheel, quick ? { rounds: 3, scale: 0.25 } : { rounds: 7, scale: 1 });
}
console.log(`\nLoad at the end: ${Deno.loadavg().map((value) => value.toFixed(2)).join(" ")}`);
