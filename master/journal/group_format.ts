/**
 * The files of the journal, tail segments and checkpoints alike: a header, then groups.
 *
 * ```
 * header  "snowjrnl" | version u32 | kind u32 | first sequence f64 | crc32c of these 24 bytes u32 | 0 u32
 * group   payload length u32 | crc32c of the payload u32 | sequence f64 | crc32c of these 16 bytes u32
 *         payload: facts, each with its length u32 in front
 * ```
 *
 * Everything is little endian. A group is written at once and holds the facts of one batch, so that
 * a file that ends anywhere is as good as one that ends with its last whole group; so is one that ends
 * in zeros, with which no group begins. A payload that is damaged does not hide the group after it.
 */
import { crc32c } from "../../proto/crc32c.ts";
import { JournalError } from "./journal.ts";

export const FILE_HEADER_BYTES = 32;
/** Room that a group needs in front of its facts. */
export const GROUP_HEADER_BYTES = 20;
/** Length of a fact, in front of it. */
export const FACT_HEADER_BYTES = 4;

const MAGIC = new TextEncoder().encode("snowjrnl");
const VERSION = 3;
/** Format 2 has no ends of writes with checksums in them. */
const OLDEST_VERSION = 2;

export const FileKind = { TAIL: 1, CHECKPOINT: 2 } as const;
export type FileKind = (typeof FileKind)[keyof typeof FileKind];

/** The header of a file whose groups are numbered from `firstSequence` on. */
export function fileHeader(kind: FileKind, firstSequence: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, kind, true);
  view.setFloat64(16, firstSequence, true);
  view.setUint32(24, crc32c(bytes, 0, 24), true);
  return bytes;
}

/**
 * The first sequence number of a file of the given kind; a text says why it is none. Throws a
 * {@linkcode JournalError} for a file of another version: it is whole, and not ours to judge.
 */
export function readFileHeader(bytes: Uint8Array, kind: FileKind): number | string {
  if (bytes.length < FILE_HEADER_BYTES) return "its header is cut off";
  const view = new DataView(bytes.buffer, bytes.byteOffset, FILE_HEADER_BYTES);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) return "it does not begin as a journal file";
  if (view.getUint32(24, true) !== crc32c(bytes, 0, 24)) return "its header is damaged";
  const version = view.getUint32(8, true);
  if (version < OLDEST_VERSION || version > VERSION) {
    throw new JournalError(
      `was written in format ${version}; this master reads ${OLDEST_VERSION} to ${VERSION}`,
    );
  }
  return view.getUint32(12, true) === kind ? view.getFloat64(16, true) : "it is of another kind";
}

/** Fills the first {@linkcode GROUP_HEADER_BYTES} of a group whose facts lie behind them. */
export function sealGroup(group: Uint8Array, sequence: number): void {
  const view = new DataView(group.buffer, group.byteOffset, group.length);
  view.setUint32(0, group.length - GROUP_HEADER_BYTES, true);
  view.setUint32(4, crc32c(group, GROUP_HEADER_BYTES, group.length), true);
  view.setFloat64(8, sequence, true);
  view.setUint32(16, crc32c(group, 0, 16), true);
}

/** Whether bytes are one group, sealed with this number and not damaged since. */
export function isGroup(bytes: Uint8Array, sequence: number): boolean {
  if (bytes.length < GROUP_HEADER_BYTES) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return view.getUint32(16, true) === crc32c(bytes, 0, 16) &&
    view.getUint32(0, true) === bytes.length - GROUP_HEADER_BYTES &&
    view.getFloat64(8, true) === sequence &&
    view.getUint32(4, true) === crc32c(bytes, GROUP_HEADER_BYTES, bytes.length);
}
