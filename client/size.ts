/** Amounts of memory as people write them: `16gb`, `512 MiB`, `1.5g`. */

const units: Record<string, number> = { "": 1, b: 1 };
for (const [power, letter] of ["k", "m", "g", "t"].entries()) {
  for (const unit of [letter, `${letter}b`, `${letter}ib`]) units[unit] = 1024 ** (power + 1);
}

/**
 * Bytes of a size given as a number or as text: digits, an optional fraction, and an optional unit
 * (`b`, `k`, `kb`, `kib`, `m` ... `tib`, any case; every unit is a power of 1024, as in the
 * reference). A fraction of a byte is cut off. `RangeError` naming `name` for anything else.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseSize } from "./size.ts";
 *
 * assert.equal(parseSize("--segment_size", "1.5gb"), 1_610_612_736);
 * ```
 */
export function parseSize(name: string, value: unknown): number {
  const bytes = typeof value === "string" ? parseText(value) : value;
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new RangeError(
      `${name}=${JSON.stringify(value)} is not a size; allowed: a number of bytes, or a number ` +
        `with a unit from b, kb, mb, gb, tb (or kib ... tib), such as 16gb`,
    );
  }
  return bytes;
}

function parseText(text: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)$/.exec(text.trim().toLowerCase());
  if (match === null) return NaN;
  const unit = Object.hasOwn(units, match[2]) ? units[match[2]] : NaN;
  return Math.floor(Number(match[1]) * unit);
}

/** A size for people: `256.00 MiB`. */
export function formatSize(bytes: number): string {
  const names = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (power < names.length - 1 && bytes >= 1024 ** (power + 1)) power++;
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(2)} ${names[power]}`;
}
