/** Where `snowskin log` reads: files of a master, or the log that masters share. */
import { openLog } from "../ha/engines.ts";
import { EngineError, type FactLog, type LogHead } from "../ha/fact_log.ts";
import { DataDirectory } from "../journal/data_directory.ts";
import { listFiles } from "../journal/files.ts";
import { GROUP_HEADER_BYTES, isGroup } from "../journal/group_format.ts";
import type { SharedLog } from "./flags.ts";
import { LogUsageError } from "./flags.ts";

/** A log cannot be read, or no further; `message` is one line. */
export class LogReadError extends Error {
  override readonly name = "LogReadError";
}

/** A group of changes; they are `bytes[start, end)`, each with its length in front. */
export interface ReadGroup {
  readonly sequence: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** A data directory that was named. */
export interface NamedDirectory {
  /** As it was given. */
  readonly name: string;
  /** Where `ha.json` is. */
  readonly dataPath: string;
  readonly journalPath: string;
  /** Who uses it, `null` = nobody does. */
  readonly holder: string | null;
}

/** Finds the journal of a data directory, or of its journal folder. Throws a `LogUsageError`. */
export function findDirectory(name: string): NamedDirectory {
  for (const [journalPath, dataPath] of [[`${name}/journal`, name], [name, `${name}/..`]]) {
    try {
      const { tails, checkpoints } = listFiles(journalPath);
      if (tails.length + checkpoints.length === 0) continue;
      return { name, dataPath, journalPath, holder: DataDirectory.holderOf(dataPath) };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) continue;
      if (error instanceof Deno.errors.NotADirectory) continue;
      const reason = error instanceof Error ? error.message : String(error);
      throw new LogUsageError(`--data_dir=${name}: cannot be read: ${reason}`);
    }
  }
  throw new LogUsageError(
    `--data_dir=${name}: there is no journal; allowed: the data directory of a master`,
  );
}

/** The shared log, open for reading. */
export class SharedLogReader implements AsyncDisposable {
  readonly #log: FactLog;

  private constructor(
    readonly name: string,
    readonly head: LogHead,
    log: FactLog,
  ) {
    this.#log = log;
  }

  /** Throws a {@linkcode LogReadError} when it cannot be reached or there is none. */
  static async open({ ha, clusterId }: SharedLog): Promise<SharedLogReader> {
    const name = `the log of cluster ${clusterId} in ${ha.log.kind}`;
    const log = await readable(() => openLog(ha, clusterId), name);
    try {
      const head = await readable(() => log.head(), name);
      if (head === null) throw new LogReadError(`${name}: there is none`);
      return new SharedLogReader(name, head, log);
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  /**
   * The groups behind `after`, without a gap. Throws a {@linkcode LogReadError} when they cannot be
   * read, are gone, or are not what a master has sealed.
   */
  async *groups(after: number): AsyncGenerator<ReadGroup> {
    for (let last = after;;) {
      const groups = await readable(() => this.#log.read(last), this.name);
      if (groups === null) {
        throw new LogReadError(`${this.name}: the groups behind group ${last} are gone`);
      }
      if (groups.length === 0) return;
      for (const { sequence, bytes } of groups) {
        if (sequence !== last + 1) {
          throw new LogReadError(`${this.name}: group ${last + 1} is missing`);
        }
        if (!isGroup(bytes, sequence)) {
          throw new LogReadError(`${this.name}: group ${sequence} is damaged`);
        }
        yield { sequence, bytes, start: GROUP_HEADER_BYTES, end: bytes.length };
        last = sequence;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#log.close();
  }
}

async function readable<T>(read: () => Promise<T>, name: string): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof LogReadError) throw error;
    if (!(error instanceof Error)) throw error;
    const reason = error.message.split("\n")[0];
    throw new LogReadError(`${name} cannot be read: ${reason}`, { cause: error as EngineError });
  }
}
