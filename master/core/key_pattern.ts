import { Buffer } from "node:buffer";

const MAX_PATTERN_BYTES = 4096;

/** Character classes by name, which the reference's expressions know and those of the language not. */
const namedClasses = new Map([
  ["alnum", "0-9A-Za-z"],
  ["alpha", "A-Za-z"],
  ["blank", " \\t"],
  ["cntrl", "\\x00-\\x1f\\x7f"],
  ["d", "\\d"],
  ["digit", "0-9"],
  ["graph", "\\x21-\\x7e"],
  ["lower", "a-z"],
  ["print", "\\x20-\\x7e"],
  ["punct", "!-\\/:-@\\[-`{-~"],
  ["s", "\\s"],
  ["space", "\\s"],
  ["upper", "A-Z"],
  ["w", "\\w"],
  ["xdigit", "0-9A-Fa-f"],
]);

/** Bytes as text with one character per byte, so that a pattern sees what the key is made of. */
export function byteText(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}

/**
 * A regular expression (ECMAScript syntax) that is searched in {@linkcode byteText} of keys: `.` is
 * one byte, and a character outside of ASCII the bytes of its encoding. `null` when the pattern is
 * malformed or over 4 KiB long.
 */
export function compilePattern(pattern: Uint8Array): RegExp | null {
  if (pattern.length > MAX_PATTERN_BYTES) return null;
  let known = true;
  const text = byteText(pattern).replace(/\[:([a-z]+):\]/g, (_, name: string) => {
    const members = namedClasses.get(name);
    known &&= members !== undefined;
    return members ?? "";
  });
  try {
    return known ? new RegExp(text) : null;
  } catch {
    return null;
  }
}
