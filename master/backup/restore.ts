/** Bringing a snapshot back into a data directory that holds nothing. */
import { defaultCoreConfig } from "../core/config.ts";
import { MasterCore } from "../core/core.ts";
import { SeededRng } from "../core/rng.ts";
import type { DataDirectory } from "../journal/data_directory.ts";
import { checkpointPath, listFiles, syncDirectory } from "../journal/files.ts";
import { FileKind } from "../journal/group_format.ts";
import { GroupReader } from "../journal/group_reader.ts";
import { JournalError } from "../journal/journal.ts";
import { recover } from "../journal/recovery.ts";
import type { SnapshotCatalog } from "./catalog.ts";
import { restoreDocuments } from "./documents_file.ts";
import { DOCUMENTS_NAME, INDEX_NAME, type Manifest } from "./manifest.ts";
import { ObjectStoreError } from "./object_store.ts";
import { openPlace, type SnapshotPlace } from "./places.ts";

/** Nothing was restored, although it should have been; `message` is one line. */
export class RestoreError extends Error {
  override readonly name = "RestoreError";
}

export interface RestoreOptions {
  /** Looked through together; of one snapshot that is in two, the first place's comes first. */
  places: readonly SnapshotPlace[];
  /** Locked by this process, and empty: see {@linkcode holdsIndex}. */
  directory: DataDirectory;
  /** The only snapshot to take; default: the newest whole one. */
  id?: string;
  /** Read the index as a master will, and compare what it holds with the manifest. */
  verify?: boolean;
  /** Told about snapshots that were passed over, and why. */
  warn: (line: string) => void;
}

/** What has been restored, and from where. */
export interface Restored {
  readonly manifest: Manifest;
  readonly location: string;
}

interface Candidate {
  readonly id: string;
  readonly catalog: SnapshotCatalog;
  readonly manifest: Manifest | null;
  readonly trouble: string;
}

/** Whether a journal's directory holds any change, so that a snapshot would go back behind it. */
export function holdsIndex(journalPath: string): boolean {
  const { tails, checkpoints } = listFiles(journalPath);
  if (checkpoints.length > 0) return true;
  return tails.some(({ path }) => {
    try {
      using reader = new GroupReader(path, FileKind.TAIL);
      return reader.next() !== null || reader.trouble !== null;
    } catch (error) {
      if (error instanceof JournalError) return true;
      throw error;
    }
  });
}

/**
 * Restores the newest snapshot that is whole, passing over those that are not; `null` when there is
 * none at all. Throws a {@linkcode RestoreError} when no place can be read, and when there are
 * snapshots but none of them is whole.
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<Restored | null> {
  const catalogs = await Promise.all(options.places.map(openPlace));
  try {
    const candidates = await findCandidates(catalogs, options);
    for (const candidate of candidates) {
      const { id, catalog, manifest } = candidate;
      const trouble = manifest === null
        ? candidate.trouble
        : await take(catalog, manifest, options);
      if (trouble === null) return { manifest: manifest!, location: catalog.location };
      options.warn(`snapshot ${id} in ${catalog.location} is passed over: ${trouble}`);
    }
    if (candidates.length === 0) return null;
    const where = catalogs.map(({ location }) => location).join(" and ");
    throw new RestoreError(`no snapshot in ${where} is whole`);
  } finally {
    for (const catalog of catalogs) catalog[Symbol.dispose]();
  }
}

/**
 * What a master does before it reads its journal: with an empty directory it takes the newest
 * snapshot, if there is one. It never goes back behind what the directory holds. Throws a
 * {@linkcode RestoreError} that says how to start without.
 */
export async function restoreAtStart(
  { places }: { places: readonly SnapshotPlace[] },
  directory: DataDirectory,
  { info, warn }: { info: (line: string) => void; warn: (line: string) => void },
): Promise<void> {
  const { path, journalPath } = directory;
  if (holdsIndex(journalPath)) {
    return info(
      `nothing is restored: ${path} holds an index, and a snapshot would only go back behind it; ` +
        "to do that, start with another --data_dir",
    );
  }
  try {
    const restored = await restoreSnapshot({ places, directory, warn });
    if (restored === null) return info("nothing is restored: there is no snapshot yet");
    const { manifest, location } = restored;
    info(`restored snapshot ${manifest.id} with ${manifest.keys} keys from ${location}`);
    warn(
      `the index is that of ${manifest.createdAt}: objects that were removed or evicted since then ` +
        "are back, and read wrong bytes where their memory was given to others",
    );
  } catch (error) {
    if (!(error instanceof RestoreError)) throw error;
    throw new RestoreError(
      `--enable_snapshot_restore=true: ${error.message}; ` +
        "to begin with nothing, start with --enable_snapshot_restore=false",
    );
  }
}

async function findCandidates(
  catalogs: readonly SnapshotCatalog[],
  { id, warn }: RestoreOptions,
): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  const failures: string[] = [];
  for (const catalog of catalogs) {
    try {
      for (const listed of await catalog.list()) {
        candidates.push({ catalog, manifest: null, trouble: "", ...listed });
      }
    } catch (error) {
      if (!(error instanceof ObjectStoreError)) throw error;
      failures.push(error.message);
    }
  }
  if (failures.length === catalogs.length) throw new RestoreError(failures.join("; "));
  for (const failure of failures) warn(failure);
  if (id !== undefined) {
    const wanted = candidates.filter((candidate) => candidate.id === id);
    if (wanted.length > 0) return wanted;
    const ids = candidates.map((candidate) => candidate.id).join(", ") || "none";
    throw new RestoreError(`there is no snapshot ${id}; there are: ${ids}`);
  }
  return candidates.sort((a, b) => a.id === b.id ? 0 : a.id < b.id ? 1 : -1);
}

/** Puts a snapshot into the directory; what is wrong with it, or `null`. */
async function take(
  catalog: SnapshotCatalog,
  manifest: Manifest,
  { directory, verify, warn }: RestoreOptions,
): Promise<string | null> {
  const { journalPath, tablesPath } = directory;
  const index = `${journalPath}/restored.partial`;
  const documents = `${journalPath}/documents.partial`;
  const hasDocuments = manifest.files.some(({ name }) => name === DOCUMENTS_NAME);
  try {
    for (const path of [index, documents]) await Deno.remove(path).catch(ifMissing);
    await catalog.fetch(manifest, INDEX_NAME, index);
    if (hasDocuments) await catalog.fetch(manifest, DOCUMENTS_NAME, documents);
    checkHeader(index);
    const path = checkpointPath(journalPath, manifest.group);
    syncFile(index);
    await Deno.rename(index, path);
    const trouble = verify ? checkIndex(journalPath, manifest) : null;
    if (trouble !== null) {
      await Deno.remove(path);
      return trouble;
    }
    syncDirectory(journalPath);
    if (hasDocuments && await restoreDocuments(documents, tablesPath) === null) {
      warn("metadata documents are not restored: start with --unstable-kv");
    }
    return null;
  } catch (error) {
    if (error instanceof ObjectStoreError || error instanceof JournalError) return error.message;
    throw error;
  } finally {
    for (const path of [index, documents]) await Deno.remove(path).catch(ifMissing);
  }
}

/** Throws a `JournalError` unless a file begins as a checkpoint that this version reads. */
function checkHeader(path: string): void {
  using reader = new GroupReader(path, FileKind.CHECKPOINT);
  if (reader.trouble !== null) throw new JournalError(reader.trouble);
}

/** Reads the only checkpoint of a directory as a master would; what is wrong with it, or `null`. */
export function checkIndex(
  journalPath: string,
  { keys, segments }: Pick<Manifest, "keys" | "segments">,
): string | null {
  const core = new MasterCore(defaultCoreConfig(), new SeededRng(1));
  const { losses } = recover(journalPath, core);
  if (losses.length > 0) return losses[0];
  const found = [core.keyCount, core.segments.count];
  return found[0] === keys && found[1] === segments
    ? null
    : `it holds ${found[0]} keys and ${found[1]} segments instead of ${keys} and ${segments}`;
}

function syncFile(path: string): void {
  using file = Deno.openSync(path, { read: true, write: true });
  file.syncSync();
}

function ifMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
