/**
 * Runs many seeds of the simulation by hand:
 * `deno run -A tests/sim/main.ts [--seeds=N] [--first=N]`, or one with its log: `SEED=n deno run -A
 * tests/sim/main.ts`.
 */
import { parseArgs } from "node:util";
import { SimError, World, type WorldSummary } from "./world.ts";

/** Seeds between two lines of progress. */
const PROGRESS_EVERY = 500;

async function runOne(seed: number): Promise<void> {
  const world = new World(seed, { log: (line) => console.log(line) });
  console.log(world.profile);
  console.log(await world.run());
}

async function runMany(first: number, count: number): Promise<void> {
  const total: WorldSummary = {
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
    },
  };
  const began = performance.now();
  for (let seed = first; seed < first + count; seed++) {
    const summary = await new World(seed).run();
    for (const name of Object.keys(total) as (keyof WorldSummary)[]) total[name] += summary[name];
    const done = seed - first + 1;
    if (done % PROGRESS_EVERY !== 0 && done !== count) continue;
    const each = (performance.now() - began) / done;
    console.log(`${done} of ${count} seeds, ${each.toFixed(1)} ms each`, total);
  }
}

function integer(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name}=${text}: allowed are integers from 0`);
  Deno.exit(2);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      first: { type: "string", default: "1" },
    },
  });
  const given = Deno.env.get("SEED");
  try {
    if (given !== undefined) await runOne(integer("SEED", given));
    else await runMany(integer("first", values.first), integer("seeds", values.seeds));
  } catch (error) {
    if (!(error instanceof SimError)) throw error;
    console.error(error.cause instanceof Error ? error.cause.stack : error.cause);
    console.error(error.message);
    const seed = /^seed (\d+)/.exec(error.message)?.[1];
    if (given === undefined) console.error(`SEED=${seed} deno run -A tests/sim/main.ts`);
    Deno.exit(1);
  }
}
