/**
 * `deno task bench`: the micro benches, what calls cost with few and with many keys, then the
 * side-by-side comparison. Arguments go to the comparison; `--micro` runs the micro benches alone.
 */
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
