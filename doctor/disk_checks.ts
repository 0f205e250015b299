/** Where a master keeps its index. */
import { dirname, resolve } from "node:path";
import { errorText } from "../client/transfer/error_text.ts";
import { formatSize } from "../client/size.ts";
import { type Check, type Finding, note, ok, problem } from "./finding.ts";
import type { Machine } from "./machine.ts";

/** A tail and two checkpoints of some millions of keys. */
const LITTLE_BYTES = 5 * 1024 ** 3;
const TOO_LITTLE_BYTES = 512 * 1024 ** 2;
const SLOW_SYNC_MS = 100;
/** File systems whose files go with the machine, or with the container. */
const VOLATILE = ["tmpfs", "ramfs", "overlay"];

const disk: Check = {
  name: "data directory",
  roles: ["master"],
  run(machine, { dataDirectory }) {
    if (dataDirectory === null) {
      return problem("there is no home directory to keep the index in", "--data_dir=DIR");
    }
    const path = resolve(dataDirectory);
    let folder = path;
    while (!machine.exists(folder) && folder !== "/") folder = dirname(folder);
    const findings: Finding[] = [];
    try {
      const ms = machine.trySync(folder);
      if (ms > SLOW_SYNC_MS) {
        findings.push(...note(
          `a sync of 4 KiB in ${folder} took ${ms.toFixed(0)} ms: with --durability=fsync every ` +
            "reply waits that long",
          "a disk of its own for --data_dir",
        ));
      }
    } catch (error) {
      return problem(
        `${folder} cannot be written and synced: ${errorText(error)}`,
        `as root: install -d -o ${machine.env.USER ?? "USER"} ${path}, or another --data_dir`,
      );
    }
    findings.push(...spaceFindings(machine, folder), ...kindFindings(machine, folder));
    const where = folder === path ? path : `${path} (to be made in ${folder})`;
    return findings.length > 0 ? findings : ok(`${where} can be written and synced`);
  },
};

function spaceFindings(machine: Machine, folder: string): Finding[] {
  const free = machine.freeDisk(folder);
  if (free >= LITTLE_BYTES) return [];
  const text = `${formatSize(free)} are free in ${folder}`;
  const fix = "make room, or another --data_dir";
  return free < TOO_LITTLE_BYTES
    ? problem(`${text}: changes are refused when the disk is full`, fix)
    : note(`${text}; the journal may grow by 4 GiB until a checkpoint can be made`, fix);
}

function kindFindings(machine: Machine, folder: string): Finding[] {
  const kind = fileSystemOf(machine, folder);
  if (!VOLATILE.includes(kind)) return [];
  const goes = kind === "overlay" ? "with the container" : "at a restart of the machine";
  return note(
    `${folder} is on ${kind}: the index is gone ${goes}`,
    "--data_dir on a disk, or a volume",
  );
}

/** The type of the file system at a path; empty when it cannot be told. */
function fileSystemOf(machine: Machine, path: string): string {
  let mounts: string;
  try {
    mounts = machine.readFile("/proc/self/mounts");
  } catch {
    return "";
  }
  let best = "", kind = "";
  for (const line of mounts.split("\n")) {
    const [, at = "", type = ""] = line.split(" ");
    const isIn = at === "/" || path === at || path.startsWith(`${at}/`);
    if (at !== "" && isIn && at.length >= best.length) [best, kind] = [at, type];
  }
  return kind;
}

export const diskChecks: readonly Check[] = [disk];
