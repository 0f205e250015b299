/** Snapshots in the Prometheus text exposition format 0.0.4. */
import { FAMILIES } from "./families.ts";
import type { Emit, ProcessInfo } from "./family.ts";
import { type MetricsSnapshot, VALUE_SIZE_BOUNDS } from "./registry.ts";

/** Media type of {@linkcode prometheusText}, as the reference sends it. */
export const PROMETHEUS_TEXT_TYPE = "text/plain; version=0.0.4";

/** Writes every family. */
export function prometheusText(snapshot: MetricsSnapshot, info: ProcessInfo): string {
  const lines: string[] = [];
  for (const { name, type, help, collect, isShown } of FAMILIES) {
    if (isShown?.(snapshot) === false) continue;
    lines.push(`# HELP ${name} ${help.replace(/[\\\n]/g, escaped)}`, `# TYPE ${name} ${type}`);
    if (type === "histogram") {
      writeValueSizes(name, snapshot, lines);
      continue;
    }
    const emit: Emit = (value, ...labels) => {
      let text = "";
      for (let i = 0; i < labels.length; i += 2) {
        text += `${i ? "," : ""}${labels[i]}="${labels[i + 1].replace(/[\\\n"]/g, escaped)}"`;
      }
      lines.push(text === "" ? `${name} ${value}` : `${name}{${text}} ${value}`);
    };
    collect(snapshot, emit, info);
  }
  return lines.join("\n") + "\n";
}

/** Bounds carry six decimals, as the reference writes them. */
function writeValueSizes(name: string, snapshot: MetricsSnapshot, lines: string[]): void {
  let total = 0;
  VALUE_SIZE_BOUNDS.forEach((bound, bucket) => {
    total += snapshot.valueSizeCounts[bucket];
    lines.push(`${name}_bucket{le="${bound.toFixed(6)}"} ${total}`);
  });
  total += snapshot.valueSizeCounts[VALUE_SIZE_BOUNDS.length];
  lines.push(`${name}_bucket{le="+Inf"} ${total}`);
  lines.push(`${name}_sum ${snapshot.valueSizeSum}`, `${name}_count ${total}`);
}

function escaped(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}
