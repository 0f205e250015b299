/**
 * `deno task faults`: real processes under load, killed, frozen and damaged, and what became of every
 * put that was acknowledged.
 *
 *     deno task faults [--rounds=N] [--only=kill,freeze,...] [--seed=N] [--seconds=N]
 *
 * The name of no scenario stands for those that it begins: `--only=rounds`. Ends with 1 when anything
 * acknowledged was lost, any byte was wrong, or nothing happened that could have made it wrong.
 */
import { parseArgs } from "node:util";
import { Random } from "../support/random.ts";
import { diskFull } from "./disk_scenario.ts";
import { haScenarios } from "./ha_scenarios.ts";
import { roundScenarios } from "./rounds.ts";
import { type Scenario, type ScenarioResult, scenarios as loneScenarios } from "./scenarios.ts";

const scenarios: readonly Scenario[] = [
  ...loneScenarios,
  diskFull,
  ...haScenarios,
  ...roundScenarios,
];

const USAGE = `Usage: deno task faults [--rounds=N] [--only=NAME,...] [--seed=N] [--seconds=N]

Real processes under load, killed, frozen and damaged; counts what became of acknowledged puts. Some
ten minutes. N rounds of the kills (default 50) and a fifth of that of the others.
With --seconds=N the scenarios that begin with "rounds" end after N seconds each at the latest.
Scenarios: ${scenarios.map(({ name }) => name).join(", ")}; a name stands for those that it begins.

Example: deno task faults --only=kill --rounds=10
`;

/** Rounds of the first scenario; the others get a fifth of them. */
const ROUNDS = 50;

function options(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        rounds: { type: "string", default: String(ROUNDS) },
        only: { type: "string" },
        seed: { type: "string", default: "1" },
        seconds: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    const [what] = (error as Error).message.split(/\. |\n/);
    console.error(`${what}; see deno task faults --help`);
    Deno.exit(2);
  }
}

function integer(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  console.error(`--${name}=${text}: allowed are integers from ${least}`);
  Deno.exit(2);
}

function chosen(only: string | undefined): readonly Scenario[] {
  if (only === undefined) return scenarios;
  const list: Scenario[] = [];
  for (const name of only.split(",")) {
    const exact = scenarios.filter((scenario) => scenario.name === name);
    const meant = exact.length > 0
      ? exact
      : scenarios.filter((scenario) => scenario.name.startsWith(`${name}-`));
    list.push(...meant);
    if (meant.length > 0) continue;
    const known = scenarios.map(({ name }) => name).join(", ");
    console.error(`--only=${only}: there is no scenario "${name}"; there are ${known}`);
    Deno.exit(2);
  }
  return list;
}

function line(result: ScenarioResult): string {
  if (result.summary !== undefined) return result.summary;
  const pauses = result.pausesMs.toSorted((a, b) => a - b);
  const seconds = (at: number) => (pauses[Math.floor(at * (pauses.length - 1))] / 1000).toFixed(2);
  return `${result.rounds} rounds, ${result.acknowledged} puts acknowledged ` +
    `(${result.rate.toFixed(0)}/s), ${result.checked} reads, ${result.lost} lost, ` +
    `${result.wrong} wrong${
      result.stale === undefined ? "" : `, ${result.stale} stale`
    }; next put after ${seconds(0.5)} s (median), ${seconds(1)} s (worst)`;
}

if (import.meta.main) {
  const values = options(Deno.args);
  if (values.help) {
    console.log(USAGE);
    Deno.exit(0);
  }
  const rounds = integer("rounds", values.rounds, 1);
  const random = new Random(integer("seed", values.seed, 0));
  const fraction = () => random.u32() / 2 ** 32;
  let failed = false;
  const list = chosen(values.only);
  const limitMs = values.seconds === undefined
    ? Infinity
    : integer("seconds", values.seconds, 1) * 1000;
  const endless = list.find(({ canEndEarly = false }) => !canEndEarly);
  if (limitMs !== Infinity && endless !== undefined) {
    console.error(
      `--seconds=${values.seconds}: ${endless.name} cannot end early, only rounds-... can`,
    );
    Deno.exit(2);
  }
  for (const { name, what, run, missing, short = false, judged = true } of list) {
    if (missing) {
      console.log(`${name} (${what}): skipped: ${missing}`);
      continue;
    }
    const mine = short || name === "kill" || name === "ha-kill" || list.length === 1
      ? rounds
      : Math.max(1, rounds / 5 | 0);
    const result = await run(mine, fraction, (text) => console.error(text), limitMs);
    failed ||= judged && (result.lost > 0 || result.wrong > 0 || (result.stale ?? 0) > 0);
    failed ||= result.harmless === true;
    console.log(`${name} (${what}): ${line(result)}`);
  }
  Deno.exit(failed ? 1 : 0);
}
