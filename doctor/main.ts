/** `snowskin doctor`: looks at this machine for a master, a store node or a client. */
import { readFileSync } from "node:fs";
import { errorText } from "../client/transfer/error_text.ts";
import { deviceChecks } from "./device_checks.ts";
import { diskChecks } from "./disk_checks.ts";
import { type Check, type Finding, note } from "./finding.ts";
import { DOCTOR_HELP, type DoctorOptions, parseDoctorFlags } from "./flags.ts";
import { type Machine, thisMachine } from "./machine.ts";
import { masterChecks } from "./master_checks.ts";
import { memoryChecks } from "./memory_checks.ts";
import { systemChecks } from "./system_checks.ts";

/** All that is looked at, in the order in which it is shown. */
export const checks: readonly Check[] = [
  ...systemChecks,
  ...memoryChecks,
  ...deviceChecks,
  ...diskChecks,
  ...masterChecks,
];

/** A finding and the check that made it. */
export interface NamedFinding extends Finding {
  readonly check: string;
}

/** Runs the checks for the roles that are asked for; one that fails is a note. */
export async function examine(machine: Machine, options: DoctorOptions): Promise<NamedFinding[]> {
  const found: NamedFinding[] = [];
  for (const check of checks) {
    if (!check.roles.some((role) => options.roles.includes(role))) continue;
    let findings: Finding[];
    try {
      findings = await check.run(machine, options);
    } catch (error) {
      findings = note(`could not be looked at: ${errorText(error)}`);
    }
    found.push(...findings.map((finding) => ({ check: check.name, ...finding })));
  }
  return found;
}

/** Exit codes: 0 no problem, 1 a problem, 2 bad usage. */
export async function main(
  args: string[],
  machine: Machine = thisMachine(),
  print: (text: string) => void = console.log,
): Promise<number> {
  let options: DoctorOptions | null;
  try {
    options = parseDoctorFlags(args, machine.env, (path) => readFileSync(path, "utf8"));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(`snowskin doctor: ${error.message}`);
    return 2;
  }
  if (options === null) {
    print(DOCTOR_HELP);
    return 0;
  }
  const findings = await examine(machine, options);
  const problems = findings.filter(({ status }) => status === "problem").length;
  const notes = findings.filter(({ status }) => status === "note").length;
  print(
    options.json
      ? JSON.stringify({ ok: problems === 0, problems, notes, findings })
      : [...findings.map(lineOf), summary(problems, notes)].join("\n"),
  );
  return problems > 0 ? 1 : 0;
}

function lineOf({ status, check, text, fix }: NamedFinding): string {
  const head = `${status.padEnd(8)} ${check.padEnd(17)} `;
  return head + text + (fix === undefined ? "" : `\n${" ".repeat(head.length)}fix: ${fix}`);
}

function summary(problems: number, notes: number): string {
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  return `${count(problems, "problem")}, ${count(notes, "note")}`;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
