/** Text of a flag to its value, and the sentences about what a flag allows. */
import { type Flag, type FlagValue, HOUR_MS } from "./flag_types.ts";

/** A value, or why the text is not one: the part of an error line after `--name=text: `. */
export type FlagValueResult = { value: FlagValue } | { error: string };

const TRUE = new Set(["1", "t", "true", "y", "yes"]);
const FALSE = new Set(["0", "f", "false", "n", "no"]);
const UNIT_MS = new Map<string, number>([["", 1], ["ms", 1], ["s", 1000], ["m", 60_000], [
  "h",
  3_600_000,
]]);

/** Reads one value; a flag of an absent feature yields its default or an error. */
export function parseFlagValue(flag: Flag, text: string): FlagValueResult {
  const value = parseText(flag, text);
  if (flag.unavailable !== undefined) {
    if (value === flag.default) return { value };
    return { error: `${flag.unavailable} is not available in this version; ${allowedText(flag)}` };
  }
  if (value !== null) return { value };
  if (flag.type === "enum" && Object.hasOwn(flag.unavailableValues, text)) {
    const feature = flag.unavailableValues[text];
    return { error: `${feature} is not available in this version; ${allowedText(flag)}` };
  }
  return { error: `${complaint[flag.type]}; ${allowedText(flag)}` };
}

const complaint: Readonly<Record<Flag["type"], string>> = {
  bool: "not a boolean",
  int: "not a whole number in range",
  double: "not a number in range",
  duration: "not a duration in range",
  enum: "unknown value",
  string: "malformed",
};

/** What a flag allows, as `allowed: ...`. */
export function allowedText(flag: Flag): string {
  if (flag.unavailable !== undefined) {
    return `allowed: ${flag.type === "string" && flag.default === "" ? '""' : flag.default}`;
  }
  switch (flag.type) {
    case "bool":
      return "allowed: true, false";
    case "int":
    case "double":
      return `allowed: ${flag.min} to ${flag.max}`;
    case "duration":
      return `allowed: 0 to ${flag.max / HOUR_MS}h, as milliseconds or with ms, s, m or h`;
    case "enum":
      return `allowed: ${flag.allowed.map((value) => value === "" ? '""' : value).join(", ")}`;
    case "string":
      return `allowed: ${flag.pattern?.allowed ?? "any text"}`;
  }
}

function parseText(flag: Flag, text: string): FlagValue | null {
  switch (flag.type) {
    case "bool": {
      const word = text.toLowerCase();
      if (TRUE.has(word)) return true;
      return FALSE.has(word) ? false : null;
    }
    case "int": {
      if (!/^[+-]?(\d+|0[xX][0-9a-fA-F]+)$/.test(text)) return null;
      const magnitude = BigInt(text.replace(/^[+-]/, ""));
      const exact = text.startsWith("-") ? -magnitude : magnitude;
      if (exact < flag.min || exact > flag.max) return null;
      return typeof flag.default === "bigint" ? exact : Number(exact);
    }
    case "double": {
      if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) return null;
      const value = Number(text);
      return value >= flag.min && value <= flag.max ? value : null;
    }
    case "duration":
      return parseDuration(text, flag.max);
    case "enum":
      return flag.allowed.includes(text) ? text : null;
    case "string":
      return flag.pattern && !flag.pattern.test.test(text) ? null : text;
  }
}

/** The reference's form: whole number, blanks allowed around it, unit in either case. */
function parseDuration(text: string, maxMs: number): number | null {
  const match = /^\s*(\d{1,15})\s*([a-zA-Z]*)\s*$/.exec(text);
  if (!match) return null;
  const unitMs = UNIT_MS.get(match[2].toLowerCase());
  if (unitMs === undefined) return null;
  const ms = Number(match[1]) * unitMs;
  return ms <= maxMs ? ms : null;
}
