/**
 * The manifest of a snapshot: a JSON document of what the snapshot holds, written last. A snapshot
 * without one is not there.
 *
 * ```
 * { "format": "snowskin snapshot", "version": 1, "id", "clusterId", "createdAt", "master", "group",
 *   "keys", "segments", "files": [{ "name", "bytes", "crc32c" }], "crc32c" }
 * ```
 *
 * The last `crc32c` is that of the document without it, written without blanks.
 */
import { Buffer } from "node:buffer";
import { crc32c } from "../../proto/crc32c.ts";

const FORMAT = "snowskin snapshot";
const VERSION = 1;
const ID = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-(\d{3})$/;
const FILE_NAME = /^[a-z][a-z0-9._-]{0,63}$/;

export const MANIFEST_NAME = "manifest.json";
/** The index, in the format of a checkpoint of the journal. */
export const INDEX_NAME = "index.snap";
/** The documents of the HTTP metadata server. */
export const DOCUMENTS_NAME = "documents.json";
export const MANIFEST_LIMIT = 1 << 20;

/** One file of a snapshot. */
export interface SnapshotFile {
  readonly name: string;
  readonly bytes: number;
  readonly crc32c: number;
}

/** What a snapshot is. */
export interface Manifest {
  /** UTC time of its making, sorting in its order. */
  readonly id: string;
  readonly clusterId: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** Version of the master that made it. */
  readonly master: string;
  /** Number of the last group of changes that it holds. */
  readonly group: number;
  readonly keys: number;
  readonly segments: number;
  readonly files: readonly SnapshotFile[];
}

/** The id of a snapshot that is made at `timeMs` (Unix time). */
export function snapshotId(timeMs: number): string {
  const [date, time] = new Date(timeMs).toISOString().split("T");
  const [clock, fraction] = time.replace("Z", "").split(".");
  return `${date.replaceAll("-", "")}-${clock.replaceAll(":", "")}-${fraction}`;
}

/** When a snapshot was made (Unix time), `null` when the text is no id. */
export function snapshotTime(id: string): number | null {
  const match = ID.exec(id);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second, fraction] = match;
  const timeMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction}Z`);
  return Number.isNaN(timeMs) ? null : timeMs;
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const { files, ...rest } = manifest;
  const document = {
    ...{ format: FORMAT, version: VERSION },
    ...rest,
    files: files.map((file) => ({ ...file, crc32c: hex(file.crc32c) })),
  };
  const sum = textSum(JSON.stringify(document));
  return Buffer.from(`${JSON.stringify({ ...document, crc32c: hex(sum) }, null, 2)}\n`);
}

/** The manifest of the snapshot `id`; a text says what is wrong with it. */
export function decodeManifest(bytes: Uint8Array, id: string): Manifest | string {
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return "the manifest is damaged";
  }
  if (typeof parsed !== "object" || parsed === null) return "the manifest is damaged";
  const { crc32c: sum, ...document } = parsed;
  if (sum !== hex(textSum(JSON.stringify(document)))) return "the manifest is damaged";
  if (document.format !== FORMAT) return "it is no snapshot of a Snowskin master";
  if (document.version !== VERSION) {
    return `it was written in format ${document.version}; this version reads ${VERSION}`;
  }
  if (document.id !== id) return `the manifest is that of ${document.id}`;
  const { clusterId, createdAt, master, group, keys, segments } = document as unknown as Manifest;
  const files = (document.files as { name: string; bytes: number; crc32c: string }[]).map(
    (file) => ({ ...file, crc32c: Number.parseInt(file.crc32c, 16) }),
  );
  if (!files.every(({ name }) => FILE_NAME.test(name))) return "the manifest names a strange file";
  if (!files.some(({ name }) => name === INDEX_NAME)) return `it has no ${INDEX_NAME}`;
  return { id, clusterId, createdAt, master, group, keys, segments, files };
}

/** CRC-32C of a file. */
export async function fileSum(path: string): Promise<{ bytes: number; crc32c: number }> {
  using file = await Deno.open(path, { read: true });
  const chunk = new Uint8Array(4 << 20);
  let bytes = 0;
  let sum = 0;
  for (;;) {
    const count = await file.read(chunk);
    if (count === null) return { bytes, crc32c: sum };
    sum = crc32c(chunk, 0, count, sum);
    bytes += count;
  }
}

function textSum(text: string): number {
  const bytes = Buffer.from(text);
  return crc32c(bytes, 0, bytes.length);
}

function hex(sum: number): string {
  return sum.toString(16).padStart(8, "0");
}
