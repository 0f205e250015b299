/** What of a master outlives the process: the files of a lone one, the seat of one of a cluster. */
import { hostname } from "node:os";
import type { Library } from "../ffi/library.ts";
import { restoreAtStart, RestoreError } from "./backup/restore.ts";
import { Snapshotter } from "./backup/snapshotter.ts";
import type { MasterConfig } from "./config.ts";
import type { CoreConfig } from "./core/api.ts";
import type { MasterCore } from "./core/core.ts";
import { diskSync } from "./disk.ts";
import { forgetLogId } from "./ha/identity.ts";
import { HaSeat } from "./ha/seat.ts";
import { DataDirectory, DataDirectoryError } from "./journal/data_directory.ts";
import { type Durability, JournalError } from "./journal/journal.ts";
import { MasterJournal } from "./journal/master_journal.ts";
import type { Logger } from "./logger.ts";
import { bringHome, hasTakenIn, type OwnTables } from "./tables/handover.ts";
import { readLocalTables } from "./tables/local_tables.ts";
import type { LoadedPolicies, Policies } from "./tenants/load_policies.ts";
import { PolicyError } from "./tenants/policy_yaml.ts";
import { VERSION } from "./version.ts";

/** A server could not listen; `message` is one line that names the flag. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** Takes this master's seat in its cluster. Throws {@linkcode StartError}. */
export function openSeat(
  dataPath: string,
  core: MasterCore,
  coreConfig: CoreConfig,
  config: MasterConfig,
  logger: Logger,
): HaSeat {
  const directory = openDirectory(dataPath);
  const { format, minLevel, prefix } = config.log;
  try {
    return new HaSeat({
      ...{ directory, core, config: coreConfig, ha: config.ha!, clusterId: config.clusterId },
      ...{ clock: () => performance.now(), log: { json: format === "json", minLevel, prefix } },
      info: (line) => logger.info(line),
      warn: (line) => logger.warning(line),
    });
  } catch (error) {
    directory[Symbol.dispose]();
    throw journalFailure(dataPath, error);
  }
}

/** What outlives the process. */
export interface Kept {
  readonly journal: MasterJournal;
  readonly snapshotter: Snapshotter | null;
  readonly tablesPath: string;
  /** The quota file and what is in it, `null` = multi-tenancy is off. */
  readonly policies: LoadedPolicies | null;
  close(): void;
}

/**
 * Recovers what a lone master has kept, and what it has brought along from a cluster. Throws
 * {@linkcode StartError}.
 */
export async function openKept(
  path: string,
  { snapshots, clusterId }: MasterConfig,
  parts: {
    core: MasterCore;
    config: CoreConfig;
    durability: Exclude<Durability, "none">;
    policies: LoadedPolicies | null;
    clock: () => number;
    library: Library | null;
  },
  logger: Logger,
): Promise<Kept> {
  const directory = openDirectory(path);
  const sync = diskSync(parts.library);
  const { tablesPath, journalPath } = directory;
  const lines = {
    info: (line: string) => logger.info(line),
    warn: (line: string) => logger.warning(line),
  };
  try {
    forgetLogId(directory.path);
    if (snapshots?.restore) await restoreAtStart(snapshots, directory, lines);
    const journal = new MasterJournal({ ...parts, sync, directory: journalPath, ...lines });
    const { policies } = parts;
    const home = await moveHome(parts.core, tablesPath, policies, journal, lines.info);
    const snapshotter = snapshots === null ? null : new Snapshotter({
      ...{ journal, policy: snapshots, clusterId, master: VERSION, tablesPath },
      ...{ clock: parts.clock, ...lines },
    });
    return {
      ...{ journal, snapshotter, tablesPath },
      policies: policies === null || home === null ? policies : { ...policies, ...home },
      close() {
        snapshotter?.stop();
        journal.close();
        sync[Symbol.dispose]();
        directory[Symbol.dispose]();
      },
    };
  } catch (error) {
    sync[Symbol.dispose]();
    directory[Symbol.dispose]();
    if (error instanceof RestoreError) throw new StartError(error.message);
    if (error instanceof StartError) throw error;
    throw journalFailure(path, error);
  }
}

async function moveHome(
  core: MasterCore,
  tablesPath: string,
  policies: LoadedPolicies | null,
  journal: MasterJournal,
  info: (line: string) => void,
): Promise<Policies | null> {
  const policyPath = policies?.path ?? null;
  try {
    return await bringHome(core, { tablesPath, policyPath, commit: () => journal.commit(), info });
  } catch (error) {
    journal.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(
      `keys, documents and quotas of the cluster cannot be taken over: ${reason}`,
    );
  }
}

/** Reads what a master has for a cluster that it comes to lead. Throws {@linkcode StartError}. */
export async function readOwnTables(
  core: MasterCore,
  { directory }: HaSeat,
  policies: LoadedPolicies | null,
  requireAuth: boolean,
  logger: Logger,
): Promise<OwnTables> {
  try {
    return {
      local: await readLocalTables(directory.tablesPath, !hasTakenIn(core)),
      ...{ policies, requireAuth },
      info: (line) => logger.info(line),
      warn: (line) => logger.warning(line),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`--data_dir=${directory.path}: ${reason}`);
  }
}

/** Why the journal of a directory cannot be used, if that is what `error` says. */
function journalFailure(path: string, error: unknown): unknown {
  const flag = `--data_dir=${path}: the journal`;
  if (error instanceof JournalError) return new StartError(`${flag} ${error.message}`);
  if (!(error instanceof Error && "code" in error)) return error;
  return new StartError(`${flag} cannot be read: ${error.message}`);
}

/** Does what reads or applies the quota file; a fault there is one of the start. */
export function withPolicies<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof PolicyError) throw new StartError(error.message);
    throw error;
  }
}

function openDirectory(path: string): DataDirectory {
  try {
    const since = new Date().toISOString();
    return DataDirectory.open(path, { pid: Deno.pid, host: hostname(), since });
  } catch (error) {
    if (error instanceof DataDirectoryError) throw new StartError(error.message);
    throw error;
  }
}
