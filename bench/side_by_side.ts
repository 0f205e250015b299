/**
 * `deno run -A bench/side_by_side.ts`: the reference and Snowskin on this machine, in one run.
 *
 * Options: `--quick` (fewer rounds), `--only=master` or `--only=transfer`, `--clients=1,4,16`: how many
 * clients call a master at a time, one table for each.
 */
import { findWheel } from "../tests/support/wheel.ts";
import { compareMasters } from "./master_calls.ts";
import { machineLine } from "./process_stat.ts";
import { SECTIONS } from "./transfer/options.ts";
import { benchTransfers } from "./transfer/report.ts";

const known = ["--quick", "--only=master", "--only=transfer"];
const clientCounts = /^--clients=([1-9]\d{0,2}(?:,[1-9]\d{0,2})*)$/;
const unknown = Deno.args.find((arg) => !known.includes(arg) && !clientCounts.test(arg));
if (unknown !== undefined) {
  console.error(`Unknown option ${unknown}; allowed: ${known.join(", ")}, --clients=1,4,16`);
  Deno.exit(2);
}
const counts = Deno.args.map((arg) => clientCounts.exec(arg)?.[1]).findLast(Boolean) ?? "1,4,16";
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
  for (const [i, clients] of counts.split(",").map(Number).entries()) {
    console.log(`\nMaster calls, clients: ${clients} ...`);
    const scale = quick ? { rounds: 3, seconds: 0.3 } : { rounds: 7, seconds: 0.6 };
    const fill = i > 0 ? 0 : quick ? 50_000 : 500_000;
    await compareMasters(wheel, { ...scale, fill, clients });
  }
}
if (only !== "master") {
  console.log("\nTransfers ...");
  await benchTransfers({ sections: [...SECTIONS], quick, json: "" });
}
console.log(`\nLoad at the end: ${Deno.loadavg().map((value) => value.toFixed(2)).join(" ")}`);
