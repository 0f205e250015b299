/**
 * What belongs to a name: its files, cut into pieces, and the checksum of each piece. Kept as JSON in
 * the metadata service, in a form of our own.
 */
import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { ProtocolError } from "../../proto/error.ts";
import { parseJsonExact, stringifyJsonExact } from "../../proto/json_exact.ts";
import {
  asArray,
  asObject,
  integerField,
  nameField,
  textField,
} from "../../proto/metadata/fields.ts";

/**
 * `sha256` also tells bytes that somebody made to look right; `crc32c` takes less time where there is
 * the shim.
 */
export type Checksum = "sha256" | "crc32c";

/** Bytes of a checksum. */
const SUM_BYTES: Readonly<Record<Checksum, number>> = { sha256: 32, crc32c: 4 };
const VERSION = 1;
const MAX_FILES = 4096;
/** A manifest has to fit into one value of etcd and of HTTP servers, 1 MiB. */
export const MAX_PIECES = 16_384;
/** Pieces that are aimed at. */
const WANTED_PIECES = 4096;
/** Of a piece, bytes. */
export const MIN_PIECE = 64 << 10;
/** Of a piece, bytes. */
export const MAX_PIECE = 1 << 30;
const DEFAULT_MIN_PIECE = 256 << 10;
const MAX_BYTES = 2 << 20;

/** A file of shared content, or an array. */
export interface SharedFile {
  /** Without a folder. */
  readonly name: string;
  /** Bytes. */
  readonly length: number;
}

/** What belongs to a name. */
export interface Manifest {
  readonly files: readonly SharedFile[];
  /** Bytes of every piece but the last one of a file. */
  readonly pieceLength: number;
  readonly checksum: Checksum;
  /** Checksums of all pieces in turn. */
  readonly sums: Uint8Array;
}

/** Part of a file. */
export interface Piece {
  readonly index: number;
  /** Of its file. */
  readonly file: number;
  /** In the file. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** Whether a file may be called so here: one that a getter can write into a folder of its choice. */
export function isFileName(name: string): boolean {
  // deno-lint-ignore no-control-regex -- these are what is refused
  return name !== "." && name !== ".." && /^[^/\\\x00-\x1f\x7f]{1,255}$/.test(name) &&
    name.isWellFormed();
}

/** Bytes of a piece where nobody chose: a power of two, so that there are not too many pieces. */
export function pieceLengthFor(files: readonly SharedFile[]): number {
  let length = DEFAULT_MIN_PIECE;
  while (length < MAX_PIECE && countPieces(files, length) > WANTED_PIECES) length *= 2;
  return length;
}

/** How many pieces files are cut into. */
export function countPieces(files: readonly SharedFile[], pieceLength: number): number {
  return files.reduce((sum, { length }) => sum + Math.ceil(length / pieceLength), 0);
}

/** The pieces of files, in their order; none reaches over the end of a file. */
export function piecesOf(files: readonly SharedFile[], pieceLength: number): Piece[] {
  const pieces: Piece[] = [];
  files.forEach((file, at) => {
    for (let offset = 0; offset < file.length; offset += pieceLength) {
      const length = Math.min(pieceLength, file.length - offset);
      pieces.push({ index: pieces.length, file: at, offset, length });
    }
  });
  return pieces;
}

/** What computes CRC-32C. */
export interface Crc32cSource {
  crc32c(bytes: Uint8Array): number;
}

/** The checksum of a piece's bytes. */
export async function sumOf(
  checksum: Checksum,
  bytes: Uint8Array<ArrayBuffer>,
  source: Crc32cSource,
): Promise<Uint8Array> {
  if (checksum === "sha256") return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const sum = new Uint8Array(SUM_BYTES.crc32c);
  new DataView(sum.buffer).setUint32(0, source.crc32c(bytes));
  return sum;
}

/** Where the checksum of a piece lies in `sums`. */
export function sumAt({ checksum, sums }: Manifest, index: number): Uint8Array {
  const length = SUM_BYTES[checksum];
  return sums.subarray(index * length, (index + 1) * length);
}

/** Whether bytes are those of a piece. */
export async function isRight(
  manifest: Manifest,
  index: number,
  bytes: Uint8Array<ArrayBuffer>,
  source: Crc32cSource,
): Promise<boolean> {
  const sum = await sumOf(manifest.checksum, bytes, source);
  return Buffer.compare(sum, sumAt(manifest, index)) === 0;
}

/** The manifest as text; the same content has the same text. */
export function formatManifest({ files, pieceLength, checksum, sums }: Manifest): string {
  return stringifyJsonExact({
    ...{ version: VERSION, piece_length: pieceLength, checksum },
    files: files.map(({ name, length }) => ({ name, length })),
    sums: Buffer.from(sums).toString("base64"),
  });
}

/** Names the content: SHA-256 of the manifest's text, as hexadecimal digits. */
export function digestOf(manifest: Manifest): string {
  return createHash("sha256").update(formatManifest(manifest)).digest("hex");
}

/** Bytes of all files. */
export function totalLength({ files }: Pick<Manifest, "files">): number {
  return files.reduce((sum, { length }) => sum + length, 0);
}

/** Reads a manifest. `ProtocolError` for a text that is none. */
export function parseManifest(text: string): Manifest {
  const what = "a manifest";
  const json = asObject(parseJsonExact(text, { maxBytes: MAX_BYTES }), what);
  integerField(json, "version", what, { low: VERSION, high: VERSION });
  const pieceLength = integerField(json, "piece_length", what, { low: MIN_PIECE, high: MAX_PIECE });
  const checksum = textField(json, "checksum", what);
  if (checksum !== "sha256" && checksum !== "crc32c") {
    throw new ProtocolError(`checksum of ${what} is ${checksum}; known: sha256, crc32c`);
  }
  const files = asArray(json.files, `files of ${what}`).map((item, i): SharedFile => {
    const where = `file ${i} of ${what}`;
    const file = asObject(item, where);
    const range = { low: 0, high: Number.MAX_SAFE_INTEGER };
    return {
      name: nameField(file, "name", where),
      length: integerField(file, "length", where, range),
    };
  });
  checkFiles(files);
  const count = countPieces(files, pieceLength);
  const sums = new Uint8Array(Buffer.from(textField(json, "sums", what), "base64"));
  if (count > MAX_PIECES || sums.length !== count * SUM_BYTES[checksum]) {
    throw new ProtocolError(`${what} has ${sums.length} bytes of checksums for ${count} pieces`);
  }
  return { files, pieceLength, checksum, sums };
}

function checkFiles(files: readonly SharedFile[]): void {
  const names = new Set(files.map(({ name }) => name));
  const bad = files.find(({ name }) => !isFileName(name));
  if (bad !== undefined) {
    throw new ProtocolError(`a manifest names the file ${JSON.stringify(bad.name)}`);
  }
  if (names.size !== files.length || files.length === 0 || files.length > MAX_FILES) {
    throw new ProtocolError(`a manifest has ${files.length} files of ${names.size} names`);
  }
}
