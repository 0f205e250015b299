/**
 * `deno task bench`: the micro benches, what calls cost with few and with many keys, then the
 * side-by-side comparison. Arguments go to the comparison; `--micro` runs the micro benches alone.
 */
const USAGE =
  `Usage: deno task bench [--micro] [--quick] [--only=master|transfer] [--clients=1,4,16]

Micro benches, then what calls cost with few and with many keys, then the published wheel with its
own master and with ours, and transfers. Some twenty minutes; --micro ends after the first part,
--quick takes fewer and shorter rounds of the comparison.

Example: deno task bench --quick --only=master --clients=1
`;

if (Deno.args.includes("--help")) {
  console.log(USAGE);
  Deno.exit(0);
}
const known = /^--(micro|quick|only=(master|transfer)|clients=\d[\d,]*)$/;
const unknown = Deno.args.find((arg) => !known.test(arg));
if (unknown !== undefined) {
  console.error(`Unknown option ${unknown}; see deno task bench --help`);
  Deno.exit(2);
}
const root = new URL("../", import.meta.url).pathname;

async function run(args: string[]): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), { args, cwd: root }).spawn();
  const { code } = await child.status;
  if (code !== 0) Deno.exit(code);
}

await run(["bench", "-A", "--no-check", "bench/"]);
if (!Deno.args.includes("--micro")) {
  await run(["run", "-A", "bench/many_keys.ts", "--rounds=2"]);
  await run(["run", "-A", "bench/side_by_side.ts", ...Deno.args]);
}
