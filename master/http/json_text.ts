/**
 * JSON text as the reference's admin server writes it, where `JSON.stringify` differs: whole 64-bit
 * numbers, everything outside printable ASCII as `\uXXXX` in upper case, fractions as `1.5E0`.
 */

/** Text that is already JSON. */
export class RawJson {
  constructor(readonly text: string) {}
}

export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | RawJson
  | readonly Json[]
  | ReadonlyMap<string, Json>
  | { readonly [name: string]: Json };

/**
 * Serialises `value`. Members keep their order; where names may be numbers, which objects put
 * first, a `Map` keeps it as well.
 */
export function jsonText(value: Json): string {
  if (value instanceof RawJson) return value.text;
  if (value === null || typeof value !== "object") {
    return typeof value === "string" ? quoted(value) : String(value);
  }
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  const members = entries.map(([name, member]) => `${quoted(name)}:${jsonText(member)}`);
  return `{${members.join(",")}}`;
}

/** A fraction in the reference's form: shortest digits and an exponent, `0E0` for 0. */
export function fraction(value: number): RawJson {
  return new RawJson(value.toExponential().replace(/e\+?/, "E"));
}

/** Six significant digits with ties to the even digit, as C++ streams print a fraction. */
export function sixDigits(value: number): string {
  const [digits, exponent] = value.toExponential(60).replace(".", "").split("e");
  const tie = /^50*$/.test(digits.slice(6)) && Number(digits[5]) % 2 === 0;
  return String(
    tie ? Number(`${digits[0]}.${digits.slice(1, 6)}e${exponent}`) : Number(value.toPrecision(6)),
  );
}

function quoted(text: string): string {
  // deno-lint-ignore no-control-regex
  return `"${text.replace(/["\\\x00-\x1f]|[^\x00-\x7f]/g, escaped)}"`;
}

const SHORT = new Map(
  Array.from('"\\\b\f\n\r\t', (character) => [character, JSON.stringify(character).slice(1, -1)]),
);

function escaped(unit: string): string {
  const digits = unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return SHORT.get(unit) ?? `\\u${digits}`;
}
