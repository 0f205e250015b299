/** `snowskin restore`: puts a snapshot into the empty data directory of a master that is not running. */
import { hostname } from "node:os";
import { DataDirectory, DataDirectoryError } from "../journal/data_directory.ts";
import { type CommandFlag, commandHelp, readFlags, readPlace, UsageError } from "./command_line.ts";
import { snapshotTime } from "./manifest.ts";
import type { SnapshotPlace } from "./places.ts";
import { holdsIndex, RestoreError, restoreSnapshot } from "./restore.ts";

const FLAGS: readonly CommandFlag[] = [
  {
    name: "from",
    placeholder: "PLACE",
    help: "what --to of a backup was, or where a master puts its snapshots: a directory, or\n" +
      "      s3://bucket/prefix",
  },
  {
    name: "data_dir",
    placeholder: "DIR",
    help: "the directory to fill; it must hold no index, and no master may use it",
  },
  { name: "snapshot", placeholder: "ID", help: "which one (default: the newest that is whole)" },
];

const INTRO = `Usage: snowskin restore --from=PLACE --data_dir=DIR [FLAGS]

Puts a snapshot into a data directory. A master that is started on it waits for the owners of the
segments and then serves what the snapshot knew.`;

/** Exit codes: 0 done, 1 nothing restored, 2 bad flags, 3 the directory is in use or not empty. */
export async function main(args: string[]): Promise<number> {
  try {
    const values = readFlags(args, FLAGS);
    if (values === null) {
      console.log(commandHelp(INTRO, FLAGS));
      return 0;
    }
    const place = readPlace("from", values.from);
    const { data_dir: path = "", snapshot: id } = values;
    if (path === "") throw new UsageError("--data_dir=: no directory; allowed: an empty directory");
    if (id !== undefined && snapshotTime(id) === null) {
      throw new UsageError(`--snapshot=${id}: not an id; allowed: YYYYMMDD-HHMMSS-mmm`);
    }
    await restore(place, path, id);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) return fail(error, 2);
    if (error instanceof RestoreError) return fail(error, 1);
    if (error instanceof DataDirectoryError) return fail(error, 3);
    throw error;
  }
}

async function restore(place: SnapshotPlace, path: string, id?: string): Promise<void> {
  const since = new Date().toISOString();
  using directory = DataDirectory.open(path, { pid: Deno.pid, host: hostname(), since });
  if (holdsIndex(directory.journalPath)) {
    throw new DataDirectoryError(`--data_dir=${path}: holds an index; allowed: an empty directory`);
  }
  const restored = await restoreSnapshot({
    ...{ places: [place], directory, verify: true },
    ...(id !== undefined && { id }),
    warn: (line) => console.error(`snowskin restore: ${line}`),
  });
  if (restored === null) {
    const where = place.kind === "directory" ? place.path : `s3://${place.bucket}/${place.prefix}`;
    throw new RestoreError(`there is no snapshot in ${where}`);
  }
  const { manifest, location } = restored;
  console.log(
    `restored snapshot ${manifest.id} from ${location}: ${manifest.keys} keys and ` +
      `${manifest.segments} segments, as of ${manifest.createdAt}\n` +
      `start the master with --data_dir=${path}`,
  );
}

function fail({ message }: Error, code: number): number {
  console.error(`snowskin restore: ${message}`);
  return code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
