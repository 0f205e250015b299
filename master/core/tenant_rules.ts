import { MAX_MODEL_BYTES } from "./key_format.ts";
import { MAX_LISTED_MODELS } from "./model_lists.ts";
import { MAX_RATE, type Rates } from "./tenant_limits.ts";

/** What a tenant is held to besides its quota. */
export interface TenantRules extends Rates {
  /** The models whose keys it may write, `null` = all. */
  readonly models: readonly string[] | null;
}

/** Those of a tenant that nothing was said about. */
export const NO_RULES: TenantRules = { models: null, opsPerSecond: null, bytesPerSecond: null };

/** Whether there is anything to hold a tenant to. */
export function isRuled({ models, opsPerSecond, bytesPerSecond }: TenantRules): boolean {
  return models !== null || opsPerSecond !== null || bytesPerSecond !== null;
}

/** Whether two tenants are held to the same, in the same words. */
export function isSameRules(a: TenantRules = NO_RULES, b: TenantRules = NO_RULES): boolean {
  return rulesText(a) === rulesText(b);
}

/** Rules as the value of an entry of the small tables. */
export function rulesValue(rules: TenantRules): Uint8Array {
  return new TextEncoder().encode(rulesText(rules));
}

function rulesText({ models, opsPerSecond, bytesPerSecond }: TenantRules): string {
  return JSON.stringify({ models, opsPerSecond, bytesPerSecond });
}

/** The rules in the value of an entry, `null` = it holds none. */
export function readRules(value: Uint8Array): TenantRules | null {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(value));
  } catch {
    return null;
  }
  const { models, opsPerSecond, bytesPerSecond } = Object(document) as Record<string, unknown>;
  if (models !== null && !isModelList(models)) return null;
  if (opsPerSecond !== null && !isRate(opsPerSecond)) return null;
  if (bytesPerSecond !== null && !isRate(bytesPerSecond)) return null;
  return { models, opsPerSecond, bytesPerSecond };
}

/** Whether something is a rate. */
export function isRate(value: unknown): value is number {
  return Number.isSafeInteger(value) && value as number >= 1 && value as number <= MAX_RATE;
}

/** Whether something is a list of models. */
export function isModelList(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MAX_LISTED_MODELS && value.every(isModelName);
}

function isModelName(value: unknown): boolean {
  if (typeof value !== "string" || !value.isWellFormed()) return false;
  const { length } = new TextEncoder().encode(value);
  return length >= 1 && length <= MAX_MODEL_BYTES;
}

/** What is allowed, for messages. */
export const RATES = "a whole number from 1 to 2^50";
export const MODEL_LISTS = `a list of at most ${MAX_LISTED_MODELS} texts of 1 to ` +
  `${MAX_MODEL_BYTES} bytes`;
