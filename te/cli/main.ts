/** `snowskin te`: the transfer engine on its own. */
import { runBench } from "./bench.ts";
import { BENCH_HELP, parseBenchFlags } from "./bench_flags.ts";
import { CommandError, runCommand } from "./command_line.ts";

/** Runs the command; resolves with the exit code. */
export function main(args: string[]): Promise<number> {
  return runCommand("te", BENCH_HELP, args, async () => {
    const [verb, ...rest] = args;
    if (verb !== "bench") {
      throw new CommandError(`${JSON.stringify(verb)} is no command of te; allowed: bench`, 2);
    }
    await runBench(parseBenchFlags(rest, (name) => Deno.env.get(name)));
  });
}
