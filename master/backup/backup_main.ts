/** `snowskin backup`: copies the index of a running master to a directory or a bucket. */
import { copyFileSync } from "node:fs";
import { checkpointPath } from "../journal/files.ts";
import type { SnapshotDraft } from "./catalog.ts";
import { type CommandFlag, commandHelp, readFlags, readPlace, UsageError } from "./command_line.ts";
import { receiveIndex } from "./index_stream.ts";
import { INDEX_NAME, type Manifest } from "./manifest.ts";
import { keyHeaders } from "../cli/admin_key.ts";
import { ObjectStoreError } from "./object_store.ts";
import { openPlace, type SnapshotPlace } from "./places.ts";
import { checkIndex } from "./restore.ts";

const FLAGS: readonly CommandFlag[] = [
  { name: "to", placeholder: "PLACE", help: "a directory, or s3://bucket/prefix" },
  {
    name: "master_admin",
    placeholder: "HOST:PORT",
    help: "the admin port of the master (default 127.0.0.1:9003); its key: SNOWSKIN_ADMIN_KEY",
  },
  {
    name: "keep",
    placeholder: "N",
    help: "leave only the newest N snapshots in that place (default: all)",
  },
];

const INTRO = `Usage: snowskin backup --to=PLACE [FLAGS]

Copies the index of a running master: which object is where, not the bytes of objects. The copy is
read back and compared before it counts.`;

/** Exit codes: 0 done, 1 failed, 2 bad flags. */
export async function main(args: string[]): Promise<number> {
  try {
    const values = readFlags(args, FLAGS);
    if (values === null) {
      console.log(commandHelp(INTRO, FLAGS));
      return 0;
    }
    const place = readPlace("to", values.to);
    await backUp(place, readAddress(values.master_admin), readKeep(values.keep));
    return 0;
  } catch (error) {
    if (error instanceof UsageError) return fail(error, 2);
    if (error instanceof ObjectStoreError || error instanceof BackupError) return fail(error, 1);
    throw error;
  }
}

/** The backup cannot be made; `message` is one line. */
class BackupError extends Error {
  override readonly name = "BackupError";
}

async function backUp(place: SnapshotPlace, admin: string, keep: number): Promise<void> {
  const startedMs = performance.now();
  using catalog = await openPlace(place);
  const directory = await Deno.makeTempDir({ prefix: "snowskin-backup-" });
  try {
    const draft = await receive(admin, directory);
    check(draft, directory);
    const manifest = await catalog.publish(draft, Date.now(), progress(catalog.location));
    if (keep < Infinity) await catalog.prune(keep, Date.now());
    const seconds = (performance.now() - startedMs) / 1000;
    console.log(`${describe(manifest)} are in ${catalog.location}, in ${seconds.toFixed(1)} s`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function receive(admin: string, directory: string): Promise<SnapshotDraft> {
  try {
    const response = await fetch(`http://${admin}/api/v1/backup`, {
      method: "POST",
      headers: keyHeaders(),
    });
    if (!response.ok) throw new Error(reasonOf(response.status, await response.text()));
    return await receiveIndex(response, directory);
  } catch (error) {
    const cause = error instanceof TypeError && error.cause instanceof Error ? error.cause : error;
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new BackupError(`--master_admin=${admin}: ${reason}`, { cause: error });
  }
}

function reasonOf(status: number, body: string): string {
  try {
    const { error_message: message } = JSON.parse(body);
    if (typeof message === "string") return message;
  } catch {
    // not a document of ours
  }
  return status === 404 ? "it is no admin port of a Snowskin master" : `it answered ${status}`;
}

/** Throws a {@linkcode BackupError} unless the index can be read back. */
function check(draft: SnapshotDraft, directory: string): void {
  const path = `${directory}/check`;
  Deno.mkdirSync(path);
  const index = checkpointPath(path, draft.group);
  try {
    Deno.linkSync(draft.files[INDEX_NAME], index);
  } catch {
    copyFileSync(draft.files[INDEX_NAME], index); // a file system without links
  }
  const trouble = checkIndex(path, draft);
  if (trouble !== null) throw new BackupError(`what the master sent is damaged: ${trouble}`);
}

function describe({ id, group, keys, segments, files }: Manifest): string {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return `snapshot ${id}: ${keys} keys and ${segments} segments up to group ${group}, ` +
    `${bytes} bytes,`;
}

/** Prints a line whenever five more seconds have passed. */
function progress(location: string): (bytes: number, total: number) => void {
  let toldMs = performance.now();
  return (bytes, total) => {
    if (performance.now() - toldMs < 5000) return;
    toldMs = performance.now();
    console.log(`${bytes} of ${total} bytes are in ${location}`);
  };
}

function readAddress(text = "127.0.0.1:9003"): string {
  const address = text.replace(/^http:\/\//, "").replace(/\/$/, "");
  if (/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}$/.test(address)) return address;
  throw new UsageError(`--master_admin=${text}: not an address; allowed: host:port`);
}

function readKeep(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new UsageError(`--keep=${text}: not a count; allowed: 1 to 999999`);
}

function fail({ message }: Error, code: number): number {
  console.error(`snowskin backup: ${message}`);
  return code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
