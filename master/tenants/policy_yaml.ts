/**
 * The reference's quota file, version 1 of its schema:
 *
 * ```yaml
 * version: 1
 *
 * tenants:
 *   - name: "team-a"
 *     quota: 64GB
 * ```
 *
 * A quota is a whole number of bytes, or of `KB`, `MB`, `GB` or `TB`, which are powers of 1024. Members
 * of a tenant that are ours: `models`, a list of texts, `ops_per_second`, a number, and
 * `bytes_per_second`, as a quota.
 */
import { isMap, isScalar, isSeq, parseDocument, type YAMLMap } from "yaml";
import { MAX_QUOTA_BYTES } from "../core/quotas.ts";
import { MAX_RATE } from "../core/tenant_limits.ts";
import {
  isModelList,
  isRate,
  isRuled,
  MODEL_LISTS,
  NO_RULES,
  RATES,
  type TenantRules,
} from "../core/tenant_rules.ts";
import { isTenantName } from "../core/tenants.ts";

/** Quotas in bytes by the name of the tenant. */
export type QuotaPolicies = ReadonlyMap<string, bigint>;

/** What tenants are held to besides, by name; those that are held to nothing are not in it. */
export type RulesByName = ReadonlyMap<string, TenantRules>;

/** The file is not a quota file; `message` is a line without its name. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
}

const UNITS = new Map<string, bigint>([
  ...[["", 1n], ["B", 1n], ["KB", 1n << 10n], ["MB", 1n << 20n]] as const,
  ...[["GB", 1n << 30n], ["TB", 1n << 40n]] as const,
]);

/**
 * Reads a quota file; what it says besides of tenants is entered in `rules`. Throws
 * {@linkcode PolicyError}.
 */
export function parsePolicies(
  text: string,
  rules = new Map<string, TenantRules>(),
): Map<string, bigint> {
  const document = parseDocument(text);
  if (document.errors.length > 0) throw new PolicyError(firstLine(document.errors[0].message));
  const root = document.contents;
  if (!isMap(root)) throw new PolicyError("it is not a map with `version` and `tenants`");
  const version = scalarText(root.get("version", true));
  if (version !== "1") throw new PolicyError(`version ${version ?? "is missing"}; allowed: 1`);
  const tenants = root.get("tenants", true);
  if (!isSeq(tenants)) throw new PolicyError("`tenants` is not a list");
  const policies = new Map<string, bigint>();
  for (const entry of tenants.items) {
    const name = isMap(entry) ? scalarText(entry.get("name", true)) : null;
    const quota = isMap(entry) ? scalarText(entry.get("quota", true)) : null;
    if (name === null) throw new PolicyError("an entry of `tenants` has no name");
    if (quota === null) throw new PolicyError(`tenant "${name}" has no quota`);
    if (!isTenantText(name)) {
      throw new PolicyError(`tenant "${name}": not a name; allowed: ${TENANT_NAMES}`);
    }
    if (policies.has(name)) throw new PolicyError(`tenant "${name}" is there twice`);
    const bytes = quotaBytes(quota);
    if (bytes === null) {
      throw new PolicyError(`tenant "${name}": quota ${quota}; allowed: ${QUOTAS}`);
    }
    policies.set(name, bytes);
    const ruled = rulesOf(name, entry as YAMLMap);
    if (isRuled(ruled)) rules.set(name, ruled);
  }
  return policies;
}

function rulesOf(name: string, entry: YAMLMap): TenantRules {
  const read = <T>(member: string, allowed: string, of: (node: unknown) => T | null): T | null => {
    const node = entry.get(member, true);
    if (node === undefined || isScalar(node) && node.value === null) return null;
    const value = of(node);
    if (value !== null) return value;
    throw new PolicyError(`tenant "${name}": ${member} ${node}; allowed: ${allowed}`);
  };
  return {
    models: read("models", MODEL_LISTS, (node) => {
      const names = isSeq(node) ? node.items.map(scalarText) : null;
      return isModelList(names) ? names : null;
    }),
    opsPerSecond: read("ops_per_second", RATES, (node) => {
      const rate = Number(scalarText(node) ?? "?");
      return isRate(rate) ? rate : null;
    }),
    bytesPerSecond: read(
      "bytes_per_second",
      BYTE_RATES,
      (node) => byteRate(scalarText(node) ?? ""),
    ),
  };
}

/** The bytes per second that a text stands for, or `null`. */
export function byteRate(text: string): number | null {
  const bytes = quotaBytes(text);
  return bytes === null || bytes > MAX_RATE ? null : Number(bytes);
}

/** What {@linkcode byteRate} takes, for messages. */
export const BYTE_RATES = `${RATES}, alone or with B, KB, MB, GB or TB`;

/** What can name a tenant, for messages. */
export const TENANT_NAMES = "1 to 1024 bytes without control characters, and no _ in front";

const QUOTAS = "1 to 2^63-1 bytes, as a whole number alone or with B, KB, MB, GB or TB";

/** Whether a text can name a tenant. */
export function isTenantText(name: string): boolean {
  const bytes = new TextEncoder().encode(name);
  return name.isWellFormed() && isTenantName(bytes, 0, bytes.length);
}

/** The bytes that a quota stands for, or `null`. */
export function quotaBytes(text: string): bigint | null {
  const match = /^(\d{1,19})([A-Z]*)$/.exec(text);
  const unit = UNITS.get(match?.[2] ?? "?");
  if (match === null || unit === undefined) return null;
  const bytes = BigInt(match[1]) * unit;
  return bytes >= 1n && bytes <= MAX_QUOTA_BYTES ? bytes : null;
}

/** Writes a quota file, tenants in the order of their names, quotas and rates in bytes. */
export function formatPolicies(policies: QuotaPolicies, rules: RulesByName = new Map()): string {
  if (policies.size === 0) return "version: 1\n\ntenants: []\n";
  const lines = Array.from(policies)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, bytes]) =>
      `  - name: ${JSON.stringify(name)}\n    quota: ${bytes}\n${formatRules(rules.get(name))}`
    );
  return `version: 1\n\ntenants:\n${lines.join("")}`;
}

function formatRules(rules: TenantRules = NO_RULES): string {
  const { models, opsPerSecond, bytesPerSecond } = rules;
  const line = (member: string, value: string | number | null) =>
    value === null ? "" : `    ${member}: ${value}\n`;
  return line("models", models && `[${models.map((name) => JSON.stringify(name)).join(", ")}]`) +
    line("ops_per_second", opsPerSecond) + line("bytes_per_second", bytesPerSecond);
}

/** A scalar as it is written, so that large numbers and `007` are what they look like. */
function scalarText(node: unknown): string | null {
  if (!isScalar(node)) return null;
  if (typeof node.value === "string") return node.value;
  return node.value === null ? null : node.source ?? String(node.value);
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0].replace(/:$/, "");
}
