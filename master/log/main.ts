/** `snowskin log`: looks at what masters keep, and audits it. Reads only. */
import { EngineError } from "../ha/fact_log.ts";
import { type AuditedState, type AuditReport, Replayed } from "./audit.ts";
import { compareCopies, compareWithLog } from "./compare.ts";
import { LOG_HELP, type LogOptions, LogUsageError, parseLogFlags } from "./flags.ts";
import { inspect, type LogOutput } from "./inspect.ts";
import { findDirectory, LogReadError, type NamedDirectory, SharedLogReader } from "./sources.ts";

/** Bytes of lines that are written at a time. */
const BLOCK_BYTES = 64 << 10;

/** Exit codes: 0 shown, or sound; 1 damaged, unsound, or not readable; 2 bad usage. */
export async function main(args: string[]): Promise<number> {
  const output = new StdOutput();
  try {
    const options = await parseLogFlags(args, Deno.env.toObject());
    if (options === null) {
      console.log(LOG_HELP);
      return 0;
    }
    return await (options.verb === "inspect" ? inspect : audit)(options, output);
  } catch (error) {
    if (error instanceof LogUsageError) return fail(`${error.message}. See snowskin log --help`, 2);
    if (error instanceof LogReadError || error instanceof EngineError) {
      return fail(error.message, 1);
    }
    throw error;
  } finally {
    output.flush();
  }
}

/** Audits every source that is named. The exit code: 0 sound, 1 not. */
export async function audit(
  { directories, shared, json }: LogOptions,
  output: LogOutput,
): Promise<number> {
  const named = directories.map(findDirectory);
  const copies = named.map((directory) => Replayed.ofDirectory(directory));
  for (let i = 1; i < copies.length; i++) {
    compareCopies(copies[0], copies[i], [named[0], named[i]] as [NamedDirectory, NamedDirectory]);
  }
  const all = [...copies];
  if (shared !== null) {
    await using log = await SharedLogReader.open(shared);
    all.push(await compareWithLog(log, copies));
  }
  const reports = all.map((each) => each.report());
  const sound = reports.every(({ faults }) => faults.length === 0);
  if (json) output.line(JSON.stringify({ sound, logs: reports.map(jsonReport) }));
  else for (const report of reports) for (const line of textReport(report)) output.line(line);
  return sound ? 0 : 1;
}

function jsonReport({ state, ...report }: AuditReport): Record<string, unknown> {
  const sound = report.faults.length === 0;
  if (state === null) return { ...report, sound, state };
  const { bytesLent: bytes_lent, bytesInUse: bytes_in_use, bytesHeld: bytes_held, ...rest } = state;
  return { ...report, sound, state: { ...rest, bytes_lent, bytes_in_use, bytes_held } };
}

function textReport(report: AuditReport): string[] {
  const { name, position, checkpoint, changes, state, faults, notes } = report;
  const from = checkpoint === 0 ? "" : `, checkpoint of group ${checkpoint}`;
  return [
    `${name}: ${faults.length === 0 ? "sound" : "UNSOUND"}`,
    `  last group  ${position}${from}, ${changes} changes read`,
    ...(state === null ? [] : stateText(state)),
    ...faults.map((fault) => `  fault: ${fault}`),
    ...notes.map((note) => `  note: ${note}`),
  ];
}

function stateText(state: AuditedState): string[] {
  const { objects, writes, segments, digest, bytesLent, bytesInUse, bytesHeld } = state;
  return [
    `  objects     ${objects}, ${writes} unfinished writes`,
    `  segments    ${segments}, ${bytesLent} bytes lent, ${bytesInUse} in use, ${bytesHeld} held`,
    `  digest      ${digest}`,
  ];
}

/** Lines to standard output, in blocks, until its reader ends; notes to standard error. */
class StdOutput implements LogOutput {
  #block = "";
  #closed = false;

  readonly line = (text: string): boolean => {
    this.#block += `${text}\n`;
    if (this.#block.length >= BLOCK_BYTES) this.flush();
    return !this.#closed;
  };

  readonly note = (text: string): void => {
    this.flush();
    console.error(`snowskin log: ${text}`);
  };

  flush(): void {
    const bytes = new TextEncoder().encode(this.#block);
    this.#block = "";
    try {
      for (let at = 0; at < bytes.length && !this.#closed;) {
        at += Deno.stdout.writeSync(bytes.subarray(at));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      this.#closed = true;
    }
  }
}

function fail(message: string, code: number): number {
  console.error(`snowskin log: ${message}`);
  return code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
