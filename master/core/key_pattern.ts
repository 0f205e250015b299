import { Buffer } from "node:buffer";
import { KeyMatcher } from "./pattern/matcher.ts";
import { compileProgram } from "./pattern/program.ts";
import { parsePattern, PatternError } from "./pattern/syntax.ts";

/** A longer pattern is refused. */
export const MAX_PATTERN_BYTES = 4096;

/** Bytes as text with one character per byte. */
export function byteText(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}

/**
 * Makes the matcher of a regular expression (ECMAScript syntax) that is searched in keys as bytes:
 * `.` is one byte, and a character outside of ASCII the bytes of its encoding. A text is the reason
 * why the pattern is refused; it reads on from "the pattern".
 */
export function compilePattern(pattern: Uint8Array): KeyMatcher | string {
  if (pattern.length > MAX_PATTERN_BYTES) return `is longer than ${MAX_PATTERN_BYTES} bytes`;
  try {
    return new KeyMatcher(compileProgram(parsePattern(byteText(pattern))));
  } catch (error) {
    if (error instanceof PatternError) return error.message;
    throw error;
  }
}
