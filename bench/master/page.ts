/** The page of a master benchmark: tables and bars, without anything to load. */
import { PERCENTILES } from "./load_worker.ts";
import type { Measurement } from "./contestant.ts";
import type { MasterBenchOptions } from "./options.ts";

export interface MasterBenchReport {
  machine: string;
  startedAt: string;
  options: MasterBenchOptions;
  masters: { name: string; residentBytes: number; measurements: Measurement[] }[];
}

const WIDTH = 640;
const BAR = 18;
const COLOURS = ["#8a94a6", "#2f6fde"];

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
}

function number(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}

interface Bar {
  label: string;
  value: number;
  colour: string;
}

/** Horizontal bars with their values, the longest as wide as the chart. */
function bars(title: string, unit: string, list: Bar[]): string {
  const most = Math.max(...list.map(({ value }) => value), 1e-9);
  const rows = list.map(({ label, value, colour }, i) => {
    const y = i * (BAR + 6);
    const width = Math.max(1, value / most * (WIDTH - 330));
    return `<text x="0" y="${y + 13}">${escape(label)}</text>` +
      `<rect x="220" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${colour}"/>` +
      `<text x="${(226 + width).toFixed(1)}" y="${y + 13}">${number(value)}</text>`;
  });
  const height = list.length * (BAR + 6);
  return `<h2>${escape(title)} <small>${escape(unit)}</small></h2>` +
    `<svg width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">` +
    `${rows.join("")}</svg>`;
}

/** The report as one HTML document. */
export function reportPage(report: MasterBenchReport): string {
  const { masters, options, machine, startedAt } = report;
  const each = (of: (measured: Measurement) => number | null): Bar[] =>
    options.operations.flatMap((operation) =>
      masters.flatMap(({ name, measurements }, i) => {
        const found = measurements.find((one) => one.operation === operation);
        const value = found === undefined ? null : of(found);
        return value === null
          ? []
          : [{ label: `${operation}, ${name}`, value, colour: COLOURS[i + 2 - masters.length] }];
      })
    );
  const charts = [
    bars("Throughput", "keys a second", each((one) => one.keysPerSecond)),
    ...PERCENTILES.map((at, i) =>
      bars(`Latency, ${at} %`, "microseconds a call", each((one) => one.percentiles[i]))
    ),
  ];
  const cpu = each((one) => one.cpuPerKeyUs);
  if (cpu.length > 0) charts.push(bars("Processor time", "microseconds of the master a key", cpu));
  const mode = options.rate > 0
    ? `open loop, ${options.rate} calls a second`
    : "closed loop, as fast as answered";
  return `<!doctype html><meta charset="utf-8"><title>Master benchmark</title>
<style>body{font:14px system-ui;margin:2rem;max-width:${WIDTH + 40}px}svg text{font:12px system-ui}
h2{font-size:15px;margin:1.6rem 0 .5rem}small{color:#667;font-weight:normal}</style>
<h1>Master benchmark</h1>
<p>${escape(startedAt)}, ${escape(machine)}. ${options.threads} threads with ${options.clients}
clients each, batches of ${options.batch}, ${number(options.keys)} objects of
${number(options.valueBytes)} bytes, ${options.duration} s each, ${mode}.</p>
${charts.join("\n")}
`;
}
