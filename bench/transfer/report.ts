/** Runs the sections of the transfer benchmark and prints their figures. */
import { findWheel } from "../../tests/support/wheel.ts";
import { machineLine } from "../process_stat.ts";
import { measureChecksums } from "./checksums.ts";
import { measureEngines } from "./engine.ts";
import { printFigures } from "./figure.ts";
import { measureHost } from "./host.ts";
import { measureIdle } from "./idle.ts";
import type { SectionName, TransferBenchOptions } from "./options.ts";
import type { InstalledWheel, Section } from "./section.ts";
import { measureStores } from "./store.ts";

const NEEDS_WHEEL: readonly SectionName[] = ["engine", "store"];

/** A turn's length and how many there are, by section; `--quick` takes the second. */
const SCALES = {
  engine: [{ rounds: 7, seconds: 0.15 }, { rounds: 3, seconds: 0.05 }],
  store: [{ rounds: 5, seconds: 0.15 }, { rounds: 3, seconds: 0.04 }],
  host: [{ rounds: 11, seconds: 0.1 }, { rounds: 3, seconds: 0.05 }],
  idle: [{ rounds: 3, seconds: 2 }, { rounds: 1, seconds: 2 }],
  crc: [{ rounds: 31, seconds: 0.1 }, { rounds: 9, seconds: 0.06 }],
} as const;

/** Measures what the options ask for; ends the process with 1 and one line when that cannot be. */
export async function benchTransfers(options: TransferBenchOptions): Promise<void> {
  const startedAt = new Date().toISOString();
  const machine = machineLine();
  const found = await findWheel({
    install: options.sections.some((name) => NEEDS_WHEEL.includes(name)),
  });
  const wheel = "python" in found ? found : null;
  if (!("python" in found) && options.sections.some((name) => NEEDS_WHEEL.includes(name))) {
    console.error(`Cannot compare with the reference: ${found.reason}`);
    Deno.exit(1);
  }
  console.log(`Machine: ${machine}`);
  console.log(
    `Wheel: ${wheel?.version ?? "not installed"}; ours: this checkout on Deno ${Deno.version.deno}`,
  );
  const results: Partial<Record<SectionName, Section>> = {};
  for (const name of options.sections) {
    const scale = SCALES[name][options.quick ? 1 : 0];
    console.log(`\n${name}: ${scale.rounds} rounds, turns of ${scale.seconds} s ...`);
    try {
      const section = results[name] = await measure(name, wheel, scale);
      for (const note of section.notes) console.log(note);
      console.log();
      printFigures(section.figures);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      console.error(`${name}: ${why.trim().replaceAll("\n", " / ")}`);
      Deno.exit(1);
    }
  }
  const asked = Object.values(results).flatMap(({ figures }) => figures)
    .filter(({ met }) => met !== null);
  const missed = asked.filter(({ met }) => !met);
  console.log(`\n${asked.length - missed.length} of ${asked.length} figures are as asked`);
  for (const { name, value, asked: limit } of missed) {
    console.log(`  not: ${name}: ${value.toFixed(3)}, asked ${limit!.compare} ${limit!.limit}`);
  }
  const loadAtEnd = Deno.loadavg().map((value) => value.toFixed(2)).join(" ");
  console.log(`Load at the end: ${loadAtEnd}`);
  if (options.json !== "") {
    const report = {
      ...{ machine, startedAt, loadAtEnd, wheel: wheel?.version ?? null },
      ...{ quick: options.quick, sections: results },
    };
    Deno.writeTextFileSync(options.json, JSON.stringify(report, null, 2));
  }
}

type Scales = typeof SCALES;

function measure(
  name: SectionName,
  wheel: InstalledWheel | null,
  scale: Scales[SectionName][0 | 1],
): Promise<Section> {
  if (name === "engine") return measureEngines(wheel!, scale);
  if (name === "store") return measureStores(wheel!, scale);
  if (name === "host") return measureHost(scale);
  return name === "idle" ? measureIdle(wheel, scale) : measureChecksums(scale);
}
