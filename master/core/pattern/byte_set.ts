/** Sets of bytes, as members of 0 and 1, and the names that patterns have for some of them. */

/** `set[byte]` is 1 for a member, else 0. */
export type ByteSet = Uint8Array;

/** Bytes that are in some `[from, to]`, given as pairs. */
export function byteRanges(...bounds: number[]): ByteSet {
  const set = new Uint8Array(256);
  for (let i = 0; i < bounds.length; i += 2) set.fill(1, bounds[i], bounds[i + 1] + 1);
  return set;
}

/** The bytes that are not in a set. */
export function otherBytes(set: ByteSet): ByteSet {
  return set.map((member) => 1 - member);
}

/** Puts the members of `added` into `set`. */
export function addBytes(set: ByteSet, added: ByteSet): void {
  for (let byte = 0; byte < 256; byte++) set[byte] |= added[byte];
}

const DIGIT = byteRanges(0x30, 0x39);
const SPACE = byteRanges(0x09, 0x0d, 0x20, 0x20);
/** What `\w` and `\b` take for a part of a word. */
export const WORD: ByteSet = byteRanges(0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a);
/** What `.` stands for: everything that ends no line. */
export const ANY: ByteSet = otherBytes(byteRanges(0x0a, 0x0a, 0x0d, 0x0d));

/** `\d` and its like, by letter. */
export const letterClasses: ReadonlyMap<string, ByteSet> = new Map([
  ["d", DIGIT],
  ["D", otherBytes(DIGIT)],
  ["s", SPACE],
  ["S", otherBytes(SPACE)],
  ["w", WORD],
  ["W", otherBytes(WORD)],
]);

/** `[:alpha:]` and its like, by name; letters and marks beyond ASCII are in none. */
export const namedClasses: ReadonlyMap<string, ByteSet> = new Map([
  ["alnum", byteRanges(0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a)],
  ["alpha", byteRanges(0x41, 0x5a, 0x61, 0x7a)],
  ["blank", byteRanges(0x09, 0x09, 0x20, 0x20)],
  ["cntrl", byteRanges(0x00, 0x1f, 0x7f, 0x7f)],
  ["d", DIGIT],
  ["digit", DIGIT],
  ["graph", byteRanges(0x21, 0x7e)],
  ["lower", byteRanges(0x61, 0x7a)],
  ["print", byteRanges(0x20, 0x7e)],
  ["punct", byteRanges(0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e)],
  ["s", SPACE],
  ["space", SPACE],
  ["upper", byteRanges(0x41, 0x5a)],
  ["w", WORD],
  ["xdigit", byteRanges(0x30, 0x39, 0x41, 0x46, 0x61, 0x66)],
]);
