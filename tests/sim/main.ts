/** Runs many seeds of the simulation by hand, or one with its log: `deno task sim --help`. */
import { parseArgs } from "node:util";
import { Cluster } from "./cluster.ts";
import { SimError, World, type WorldOptions, type WorldSummary } from "./world.ts";

const USAGE = `Usage: deno task sim [--seeds=N] [--first=N] [--ha]

Worlds of a master, nodes and clients with simulated time, network and disk; each seed draws its faults,
and every promise is checked. N seeds (default 1000) from --first on (default 1). With --ha each world
has several masters over a simulated engine. SEED=N runs one world and prints its log.

Example: deno task sim --seeds=200 --ha
`;

/** Seeds between two lines of progress. */
const PROGRESS_EVERY = 500;

/** What is told of clusters besides. */
interface Summary extends WorldSummary {
  reigns: number;
  fetched: number;
}

async function runOne(seed: number, options: WorldOptions): Promise<void> {
  const world = new World(seed, { ...options, log: (line) => console.log(line) });
  console.log(world.profile);
  if (world.haProfile !== null) console.log(world.haProfile);
  console.log(await world.run());
}

async function runMany(first: number, count: number, options: WorldOptions): Promise<void> {
  const total: Summary = {
    ...{
      steps: 0,
      stored: 0,
      hits: 0,
      misses: 0,
      lateWrites: 0,
      restarts: 0,
      evicted: 0,
      moved: 0,
      opened: 0,
      copied: 0,
      early: 0,
      confirmed: 0,
      held: 0,
      met: 0,
      reserved: 0,
      inVain: 0,
      reigns: 0,
      fetched: 0,
    },
  };
  const began = performance.now();
  for (let seed = first; seed < first + count; seed++) {
    const world = new World(seed, options);
    const summary = await world.run();
    const { reigns, fetched } = world.master instanceof Cluster
      ? world.master
      : { reigns: 0, fetched: 0 };
    const all: Summary = { ...summary, reigns, fetched };
    for (const name of Object.keys(total) as (keyof Summary)[]) total[name] += all[name];
    const done = seed - first + 1;
    if (done % PROGRESS_EVERY !== 0 && done !== count) continue;
    const each = (performance.now() - began) / done;
    console.log(`${done} of ${count} seeds, ${each.toFixed(1)} ms each`, total);
  }
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        seeds: { type: "string", default: "1000" },
        first: { type: "string", default: "1" },
        ha: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    const [what] = (error as Error).message.split(/\. |\n/);
    console.error(`${what}; see deno task sim --help`);
    Deno.exit(2);
  }
}

function integer(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name}=${text}: allowed are integers from 0`);
  Deno.exit(2);
}

if (import.meta.main) {
  const values = readOptions();
  if (values.help) {
    console.log(USAGE);
    Deno.exit(0);
  }
  const given = Deno.env.get("SEED");
  const options: WorldOptions = values.ha ? { ha: {} } : {};
  try {
    if (given !== undefined) await runOne(integer("SEED", given), options);
    else await runMany(integer("first", values.first), integer("seeds", values.seeds), options);
  } catch (error) {
    if (!(error instanceof SimError)) throw error;
    console.error(error.cause instanceof Error ? error.cause.stack : error.cause);
    console.error(error.message);
    const seed = /^seed (\d+)/.exec(error.message)?.[1];
    if (given === undefined) {
      console.error(`SEED=${seed} deno run -A tests/sim/main.ts${values.ha ? " --ha" : ""}`);
    }
    Deno.exit(1);
  }
}
