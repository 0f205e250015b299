/** One change as a line of text or of JSON. */
import { escapeBytes } from "../core/escape.ts";
import { type DescribedFact, type FieldValue, Moment } from "../core/fact_text.ts";

/** Where a change stands. */
export interface FactPosition {
  /** Group; for a checkpoint the last one that it holds. */
  readonly group: number;
  readonly isCheckpoint: boolean;
  /** Within the group or the checkpoint, from 1 on. */
  readonly number: number;
}

const encoder = new TextEncoder();

/** `12.1 OBJECT_ADDED tenant=default key=a%20b ...` */
export function factText(
  { group, isCheckpoint, number }: FactPosition,
  { kind, fields }: DescribedFact,
): string {
  const parts = Object.entries(fields).map(([name, value]) => `${name}=${valueText(value)}`);
  return `${isCheckpoint ? "cp" : ""}${group}.${number} ${[kind, ...parts].join(" ")}`;
}

/** The same as one JSON object; times are ISO 8601, `null` = none. */
export function factJson(
  { group, isCheckpoint, number }: FactPosition,
  { kind, fields }: DescribedFact,
): string {
  const position = { group, number, ...(isCheckpoint && { checkpoint: true }) };
  return JSON.stringify({ ...position, kind, ...jsonOf(fields) as Record<string, unknown> });
}

function valueText(value: FieldValue): string {
  if (value === null) return "-";
  if (value instanceof Moment) return timeOf(value) ?? "-";
  if (value instanceof Uint8Array) return escapeBytes(value);
  if (typeof value === "string") return escapeBytes(encoder.encode(value));
  if (Array.isArray(value)) return `[${value.map(valueText).join(",")}]`;
  if (typeof value !== "object") return typeof value === "bigint" ? hex(value) : String(value);
  const entries = Object.entries(value).map(([name, field]) => `${name}=${valueText(field)}`);
  return `{${entries.join(",")}}`;
}

function jsonOf(value: FieldValue): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "bigint") return hex(value);
  if (typeof value === "number") return value;
  if (value instanceof Moment) return timeOf(value);
  if (value instanceof Uint8Array) return escapeBytes(value);
  if (Array.isArray(value)) return value.map(jsonOf);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, jsonOf(field)]));
}

function timeOf({ ms }: Moment): string | null {
  if (ms === 0) return null;
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
