/**
 * `deno task bench:master`: the calls of a master under load, alone or beside the reference's, as a
 * table, as JSON and as a page. See `--help`.
 */
import { machineLine } from "../process_stat.ts";
import { printTable, short } from "../table.ts";
import { Contestant, type Measurement } from "./contestant.ts";
import { PERCENTILES } from "./load_worker.ts";
import { readOptions } from "./options.ts";
import { type MasterBenchReport, reportPage } from "./page.ts";

function row(name: string, one: Measurement): string[] {
  return [
    `${one.operation}${one.batch > 1 ? ` ${one.batch}` : ""}, ${name}`,
    short(one.keysPerSecond),
    ...one.percentiles.map(short),
    short(one.maxUs),
    one.cpuPerKeyUs === null ? "-" : short(one.cpuPerKeyUs),
    String(one.failed),
  ];
}

const options = readOptions(Deno.args);
const report: MasterBenchReport = {
  ...{ machine: machineLine(), startedAt: new Date().toISOString(), options, masters: [] },
};
console.log(`Machine: ${report.machine}`);
const contestants = await Contestant.all(options);
try {
  for (const contestant of contestants) {
    console.log(`${contestant.name}: ${options.keys} keys in ${options.segments} segments ...`);
    await contestant.prepare(options);
    report.masters.push({
      ...{ name: contestant.name, residentBytes: contestant.residentBytes, measurements: [] },
    });
  }
  const rows: string[][] = [];
  for (const operation of options.operations) {
    for (const [i, contestant] of contestants.entries()) {
      const measured = await contestant.measure(options, operation);
      report.masters[i].measurements.push(measured);
      rows.push(row(contestant.name, measured));
    }
  }
  const latencies = PERCENTILES.map((at) => `p${at} us`);
  printTable(["operation", "keys/s", ...latencies, "max us", "cpu us/key", "failed"], rows);
} finally {
  for (const contestant of contestants) await contestant[Symbol.asyncDispose]();
}
if (options.json !== "") Deno.writeTextFileSync(options.json, JSON.stringify(report, null, 2));
if (options.html !== "") Deno.writeTextFileSync(options.html, reportPage(report));
