/** The directory that holds what outlives a master. One process uses it at a time. */

/** The directory cannot be used; `message` is one line that names the flag. */
export class DataDirectoryError extends Error {
  override readonly name = "DataDirectoryError";
}

/** Who holds a directory. */
interface Holder {
  pid: number;
  host: string;
  /** ISO 8601. */
  since: string;
}

/** Where a master keeps its data when nothing else is said; `null` when no home is known. */
export function defaultDataDirectory(env: Record<string, string | undefined>): string | null {
  if (env.XDG_STATE_HOME) return `${env.XDG_STATE_HOME}/snowskin/master`;
  return env.HOME ? `${env.HOME}/.local/state/snowskin/master` : null;
}

/** A directory that this process has to itself until it is disposed of, or ends in any way. */
export class DataDirectory implements Disposable {
  readonly #lock: Deno.FsFile;

  private constructor(readonly path: string, lock: Deno.FsFile) {
    this.#lock = lock;
  }

  /** Where the journal's files are. */
  get journalPath(): string {
    return `${this.path}/journal`;
  }

  /** The Deno KV database of the small tables. */
  get tablesPath(): string {
    return `${this.path}/tables.kv`;
  }

  /**
   * Creates the directory if need be and locks it with the operating system's lock, which goes with
   * the process. Throws a {@linkcode DataDirectoryError} that says who holds it.
   */
  static open(path: string, holder: Holder): DataDirectory {
    let lock: Deno.FsFile;
    try {
      Deno.mkdirSync(`${path}/journal`, { recursive: true, mode: 0o700 });
      lock = Deno.openSync(`${path}/LOCK`, { read: true, write: true, create: true });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new DataDirectoryError(`--data_dir=${path}: cannot be used: ${reason}`);
    }
    if (!lock.tryLockSync(true)) {
      const present = readHolder(lock);
      lock.close();
      throw new DataDirectoryError(`--data_dir=${path}: in use by ${present}; choose another`);
    }
    lock.truncateSync(0);
    lock.seekSync(0, Deno.SeekMode.Start);
    lock.writeSync(new TextEncoder().encode(`${JSON.stringify(holder)}\n`));
    return new DataDirectory(path, lock);
  }

  /**
   * Who uses a directory, `null` = nobody. Looks only: the lock is had, shared, for the moment that it
   * takes to find out.
   */
  static holderOf(path: string): string | null {
    let lock: Deno.FsFile;
    try {
      lock = Deno.openSync(`${path}/LOCK`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
    try {
      return lock.tryLockSync(false) ? null : readHolder(lock);
    } finally {
      lock.close();
    }
  }

  [Symbol.dispose](): void {
    this.#lock.close();
  }
}

function readHolder(lock: Deno.FsFile): string {
  const bytes = new Uint8Array(4096);
  const text = new TextDecoder().decode(bytes.subarray(0, lock.readSync(bytes) ?? 0));
  try {
    const { pid, host, since } = JSON.parse(text) as Holder;
    return `process ${pid} on ${host} since ${since}`;
  } catch {
    return "another process";
  }
}
