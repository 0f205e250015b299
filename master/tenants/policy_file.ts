import { open, rename, unlink } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { isRuled, NO_RULES, type TenantRules } from "../core/tenant_rules.ts";
import {
  formatPolicies,
  parsePolicies,
  PolicyError,
  type QuotaPolicies,
  type RulesByName,
} from "./policy_yaml.ts";

/**
 * Reads a quota file; one that is missing has no tenants if that is `allowed`. What it says besides of
 * tenants is entered in `rules`. Throws {@linkcode PolicyError}.
 */
export function readPolicies(
  path: string,
  allowed: { missing: boolean },
  rules = new Map<string, TenantRules>(),
): Map<string, bigint> {
  try {
    return parsePolicies(readFileSync(path, "utf8"), rules);
  } catch (error) {
    if (error instanceof PolicyError || !(error instanceof Error)) throw error;
    const missing = "code" in error && error.code === "ENOENT";
    if (missing && allowed.missing) return new Map();
    throw new PolicyError(missing ? "there is no such file" : error.message);
  }
}

/** Where the quotas and rules of tenants outlive the process. */
export interface PolicyKeeper {
  /** Does `work` when no other change is under way. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** The quota of a tenant as it is kept, `null` = it is not registered. */
  get(name: string): bigint | null;
  /** Keeps a tenant's quota, or (`null`) that it has none. */
  set(name: string, bytes: bigint | null): Promise<void>;
  /** What a tenant is held to besides, as it is kept. */
  rules(name: string): TenantRules;
  /** Keeps what a registered tenant is held to. */
  setRules(name: string, rules: TenantRules): Promise<void>;
}

/** Those of a cluster are kept by the core, as facts: beside that there is nothing to do. */
export const sharedPolicies: PolicyKeeper = {
  inTurn: (work) => work(),
  get: () => null,
  set: () => Promise.resolve(),
  rules: () => NO_RULES,
  setRules: () => Promise.resolve(),
};

/** A quota file and what is in it. Changes are made one after the other. */
export class PolicyFile implements PolicyKeeper {
  readonly #path: string;
  #policies: QuotaPolicies;
  #rules: RulesByName;
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string, policies: QuotaPolicies, rules: RulesByName = new Map()) {
    this.#path = path;
    this.#policies = policies;
    this.#rules = rules;
  }

  /** Does `work` when no other change is under way. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** The quota of a tenant, `null` = it is not registered. */
  get(name: string): bigint | null {
    return this.#policies.get(name) ?? null;
  }

  /** What a tenant is held to besides. */
  rules(name: string): TenantRules {
    return this.#rules.get(name) ?? NO_RULES;
  }

  /**
   * Writes the file anew with a tenant's quota changed, or (`null`) without the tenant. It is on the
   * disk, whole, when this resolves; when it rejects, the file is what it was.
   */
  async set(name: string, bytes: bigint | null): Promise<void> {
    const policies = new Map(this.#policies);
    if (bytes !== null) return await this.#write(policies.set(name, bytes), this.#rules);
    policies.delete(name);
    await this.#write(policies, without(this.#rules, name));
  }

  /** The same with what a registered tenant is held to. */
  async setRules(
    name: string,
    { models, opsPerSecond, bytesPerSecond }: TenantRules,
  ): Promise<void> {
    const rules = { models, opsPerSecond, bytesPerSecond };
    const others = without(this.#rules, name);
    await this.#write(this.#policies, isRuled(rules) ? others.set(name, rules) : others);
  }

  async #write(policies: QuotaPolicies, rules: RulesByName): Promise<void> {
    await replacePolicies(this.#path, policies, rules);
    this.#policies = policies;
    this.#rules = rules;
  }
}

function without(rules: RulesByName, name: string): Map<string, TenantRules> {
  const others = new Map(rules);
  others.delete(name);
  return others;
}

/** Writes a quota file anew. It is on the disk, whole, when this resolves. */
export function replacePolicies(
  path: string,
  policies: QuotaPolicies,
  rules: RulesByName,
): Promise<void> {
  return replaceFile(path, formatPolicies(policies, rules));
}

async function replaceFile(path: string, text: string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    const file = await open(partial, "w", 0o644);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await unlink(partial).catch(() => {});
    throw error;
  }
  const directory = await open(dirname(path));
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
