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
 * A quota is a whole number of bytes, or of `KB`, `MB`, `GB` or `TB`, which are powers of 1024.
 */
import { isMap, isScalar, isSeq, parseDocument } from "yaml";
import { MAX_QUOTA_BYTES } from "../core/quotas.ts";
import { isTenantName } from "../core/tenants.ts";

/** Quotas in bytes by the name of the tenant. */
export type QuotaPolicies = ReadonlyMap<string, bigint>;

/** The file is not a quota file; `message` is a line without its name. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
}

const UNITS = new Map<string, bigint>([
  ...[["", 1n], ["B", 1n], ["KB", 1n << 10n], ["MB", 1n << 20n]] as const,
  ...[["GB", 1n << 30n], ["TB", 1n << 40n]] as const,
]);

/** Reads a quota file. Throws {@linkcode PolicyError}. */
export function parsePolicies(text: string): Map<string, bigint> {
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
  }
  return policies;
}

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

/** Writes a quota file, tenants in the order of their names, quotas in bytes. */
export function formatPolicies(policies: QuotaPolicies): string {
  if (policies.size === 0) return "version: 1\n\ntenants: []\n";
  const lines = Array.from(policies)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, bytes]) => `  - name: ${JSON.stringify(name)}\n    quota: ${bytes}\n`);
  return `version: 1\n\ntenants:\n${lines.join("")}`;
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
