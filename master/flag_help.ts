/** The help text of the master, and the flag a mistyped name most likely means. */
import { type Flag, FlagGroup } from "./flag_types.ts";
import { allowedText } from "./flag_value.ts";
import { FLAGS } from "./flags.ts";

const WIDTH = 100;
const INDENT = " ".repeat(6);

/** The help text, `FlagGroup` by `FlagGroup`. */
export function helpText(): string {
  const lines = [
    "Usage: snowskin master [flags]",
    "",
    "Runs the master of a Snowskin cluster: it owns the metadata of the pool and speaks the",
    "protocol of mooncake_master. Without flags it serves RPC on port 50051 and the admin server on",
    "port 9003.",
    "",
    "Example:",
    "  snowskin master --rpc_port=50051 --enable_http_metadata_server=true --client_ttl=10",
    "",
    "Flags are written --name=value, --name value or, for booleans, --name and --noname. The same",
    "names may stand in a --flagfile, in the environment as FLAGS_name and in a --config_path file;",
    "of several values the command line wins, then flag file, environment, config file, default.",
    "Flags marked * are not known to mooncake_master.",
  ];
  for (const group of Object.values(FlagGroup)) {
    if (group === FlagGroup.ABSENT) continue;
    lines.push("", `${group}:`);
    for (const flag of FLAGS) {
      if (flag.group === group) lines.push(...describe(flag));
    }
  }
  lines.push("", `${FlagGroup.ABSENT}, as this version lacks their feature:`);
  const absent = FLAGS.filter((flag) => flag.group === FlagGroup.ABSENT);
  lines.push(...wrap(absent.map((flag) => `--${flag.name}`).join(", "), "  "));
  lines.push("", "--help prints this text, --version the version.");
  return lines.join("\n") + "\n";
}

function describe(flag: Flag): string[] {
  const unit = flag.type === "duration" ? "ms" : "";
  const head = `  --${flag.name}=${flag.default}${unit}`;
  const bounds = flag.type === "bool" || (flag.type === "string" && !flag.pattern)
    ? ""
    : ` (${allowedText(flag)})`;
  return [head, ...wrap(flag.help + bounds, INDENT)];
}

function wrap(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = indent.slice(1);
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent.slice(1);
    }
    line += ` ${word}`;
  }
  lines.push(line);
  return lines;
}

/** The known flag closest to `name`, or `null` when none is near. */
export function nearestFlag(name: string): string | null {
  const wanted = name.toLowerCase().replaceAll("-", "_");
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(wanted.length / 4)) + 1;
  for (const flag of FLAGS) {
    const distance = editDistance(wanted, flag.name, bestDistance);
    if (distance < bestDistance) {
      best = flag.name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions and replacements from `a` to `b`; stops counting at `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(previous[j] + 1, row[j - 1] + 1, replaced));
    }
    previous = row;
  }
  return previous[b.length];
}
