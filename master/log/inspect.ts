/** `snowskin log inspect`: prints the changes of one log. */
import type { DescribedFact } from "../core/fact_text.ts";
import { FileKind } from "../journal/group_format.ts";
import { JournalError } from "../journal/journal.ts";
import { JournalWalk } from "../journal/walk.ts";
import { escapeBytes } from "../core/escape.ts";
import { factJson, type FactPosition, factText } from "./fact_line.ts";
import { FactStream } from "./fact_stream.ts";
import type { FactFilter, LogOptions, SharedLog } from "./flags.ts";
import { findDirectory, LogReadError, type ReadGroup, SharedLogReader } from "./sources.ts";

/** Where the lines go. */
export interface LogOutput {
  /** A line of what was asked for; `false` = nobody reads them any more. */
  line: (text: string) => boolean;
  /** A line about it. */
  note: (text: string) => void;
}

/** The exit code: 0 all was shown, 1 some of it cannot be read. */
export async function inspect(
  { directories, shared, filter, json }: LogOptions,
  output: LogOutput,
): Promise<number> {
  const printer = new Printer(filter, json, output);
  return shared === null
    ? inspectDirectory(directories[0], printer, output)
    : await inspectShared(shared, printer, filter, output);
}

function inspectDirectory(name: string, printer: Printer, { note }: LogOutput): number {
  const { journalPath, holder } = findDirectory(name);
  if (holder !== null) {
    note(
      `a master uses ${name} (${holder}): what it keeps from now on is not shown, nor are sessions ` +
        "and leases, which are in no file",
    );
  }
  using walk = new JournalWalk(journalPath);
  try {
    for (const group of walk.groups()) {
      if (!printer.print(group, group.kind === FileKind.CHECKPOINT)) return 0;
    }
  } catch (error) {
    if (!(error instanceof JournalError)) throw error;
    throw new LogReadError(`${journalPath}: a file ${error.message}`);
  }
  for (const loss of walk.losses) note(loss);
  const { end } = walk;
  if (end === null) return walk.losses.length + printer.malformed > 0 ? 1 : 0;
  if (holder !== null && goesOn(journalPath, walk.sequence)) return printer.malformed > 0 ? 1 : 0;
  const tail =
    `the journal ends after group ${walk.sequence}, at byte ${end.offset} of ${end.path}: ` +
    end.why;
  if (end.isCut) {
    const being = holder === null
      ? "as a kill leaves it, and was not acknowledged"
      : "or is being written";
    note(`${tail}; it is ${being}`);
    return walk.losses.length + printer.malformed > 0 ? 1 : 0;
  }
  const later = end.dropped.length === 0 ? "" : `; ${end.dropped.length} later files do not count`;
  note(tail + later);
  return 1;
}

/** Whether there are groups behind that one by now: it was being written when it was read. */
function goesOn(journalPath: string, sequence: number): boolean {
  using walk = new JournalWalk(journalPath);
  for (const _ of walk.groups());
  return walk.sequence > sequence;
}

async function inspectShared(
  shared: SharedLog,
  printer: Printer,
  { from }: FactFilter,
  { note }: LogOutput,
): Promise<number> {
  await using log = await SharedLogReader.open(shared);
  const { base } = log.head;
  if (base > 0) {
    note(
      `${log.name} begins after group ${base}: what was before is in the checkpoints of masters`,
    );
  }
  for await (const group of log.groups(Math.max(base, from - 1))) {
    if (!printer.print(group, false)) break;
  }
  return printer.malformed > 0 ? 1 : 0;
}

class Printer {
  readonly #filter: FactFilter;
  readonly #json: boolean;
  readonly #output: LogOutput;
  readonly #stream = new FactStream();
  /** Names of tenants by index, as far as they were told. */
  readonly #tenants = new Map([[0, "default"]]);
  malformed = 0;

  constructor(filter: FactFilter, json: boolean, output: LogOutput) {
    this.#filter = filter;
    this.#json = json;
    this.#output = output;
  }

  /** Prints what is wanted of a group; `false` = nothing more is. */
  print(group: ReadGroup, isCheckpoint: boolean): boolean {
    const { from, to } = this.#filter;
    if (group.sequence > to) return false;
    for (const read of this.#stream.of(group, isCheckpoint)) {
      if ("malformed" in read) {
        this.malformed++;
        const { group, number } = read.position;
        this.#output.note(`change ${number} of group ${group} is malformed: ${read.malformed}`);
        continue;
      }
      this.#learn(read.fact);
      if (group.sequence < from || !this.#isWanted(read.fact)) continue;
      if (!this.#output.line(this.#text(read.position, read.fact))) return false;
    }
    return true;
  }

  #learn({ kind, fields }: DescribedFact): void {
    if (kind !== "TENANT_ADDED") return;
    this.#tenants.set(fields.tenant as number, new TextDecoder().decode(fields.name as Uint8Array));
  }

  #isWanted({ kind, fields }: DescribedFact): boolean {
    const { kinds, key, tenant } = this.#filter;
    if (kinds !== null && !kinds.has(kind)) return false;
    if (key !== null && !isSame(fields.key, key)) return false;
    return tenant === null || this.#tenantOf(fields.tenant) === tenant;
  }

  #text(position: FactPosition, { kind, fields }: DescribedFact): string {
    const named = typeof fields.tenant === "number" && kind !== "TENANT_ADDED"
      ? { ...fields, tenant: this.#tenantOf(fields.tenant)! }
      : fields;
    return (this.#json ? factJson : factText)(position, { kind, fields: named });
  }

  /** The name of a tenant; one that was told before what is read here has its number. */
  #tenantOf(tenant: unknown): string | null {
    return typeof tenant === "number" ? this.#tenants.get(tenant) ?? `#${tenant}` : null;
  }
}

function isSame(field: unknown, key: Uint8Array): boolean {
  return field instanceof Uint8Array && field.length === key.length &&
    escapeBytes(field) === escapeBytes(key);
}
