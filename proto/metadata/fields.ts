/** Checked access to the members of a document that a peer wrote. */
import { ProtocolError } from "../error.ts";
import type { JsonObject, JsonValue } from "../json_exact.ts";

const MAX_U64 = (1n << 64n) - 1n;

/** Narrows a value to an object; `what` names it in the error. */
export function asObject(value: JsonValue | undefined, what: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError(`${what} is not a JSON object`);
  }
  return value;
}

/** Narrows a value to an array; an absent one is empty, as it is for the reference. */
export function asArray(value: JsonValue | undefined, what: string): JsonValue[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new ProtocolError(`${what} is not a JSON array`);
  return value;
}

/** A text member; an absent one is empty. */
export function textField(object: JsonObject, name: string, what: string): string {
  const value = object[name] ?? "";
  if (typeof value !== "string") throw new ProtocolError(`${name} of ${what} is not text`);
  return value;
}

/** A text member that must say something. */
export function nameField(object: JsonObject, name: string, what: string): string {
  const value = textField(object, name, what);
  if (value === "") throw new ProtocolError(`${name} of ${what} is missing or empty`);
  return value;
}

/** An integer member from `low` to `high`; an absent one is `fallback`. */
export function integerField(
  object: JsonObject,
  name: string,
  what: string,
  range: { low: number; high: number; fallback?: number },
): number {
  const value = object[name] ?? range.fallback;
  const valid = typeof value === "number" && Number.isInteger(value) && value >= range.low &&
    value <= range.high;
  if (!valid) {
    throw new ProtocolError(
      `${name} of ${what} is ${shown(value)}, not an integer from ${range.low} to ${range.high}`,
    );
  }
  return value;
}

/** An unsigned 64-bit member other than 0. */
export function addressField(object: JsonObject, name: string, what: string): bigint {
  const value = object[name];
  const exact = typeof value === "bigint"
    ? value
    : Number.isSafeInteger(value)
    ? BigInt(value as number)
    : 0n;
  if (exact <= 0n || exact > MAX_U64) {
    throw new ProtocolError(`${name} of ${what} is ${shown(value)}, not a non-zero 64-bit number`);
  }
  return exact;
}

function shown(value: JsonValue | undefined): string {
  return typeof value === "object" ? "no number" : String(value);
}
