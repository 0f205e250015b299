import { open, rename, unlink } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { formatPolicies, parsePolicies, PolicyError, type QuotaPolicies } from "./policy_yaml.ts";

/**
 * Reads a quota file; one that is missing has no tenants if that is `allowed`. Throws
 * {@linkcode PolicyError}.
 */
export function readPolicies(path: string, allowed: { missing: boolean }): Map<string, bigint> {
  try {
    return parsePolicies(readFileSync(path, "utf8"));
  } catch (error) {
    if (error instanceof PolicyError || !(error instanceof Error)) throw error;
    const missing = "code" in error && error.code === "ENOENT";
    if (missing && allowed.missing) return new Map();
    throw new PolicyError(missing ? "there is no such file" : error.message);
  }
}

/** Where the quotas of tenants outlive the process. */
export interface PolicyKeeper {
  /** Does `work` when no other change is under way. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** The quota of a tenant as it is kept, `null` = it is not registered. */
  get(name: string): bigint | null;
  /** Keeps a tenant's quota, or (`null`) that it has none. */
  set(name: string, bytes: bigint | null): Promise<void>;
}

/** Quotas of a cluster are kept by the core, as facts: beside that there is nothing to do. */
export const sharedPolicies: PolicyKeeper = {
  inTurn: (work) => work(),
  get: () => null,
  set: () => Promise.resolve(),
};

/** A quota file and what is in it. Changes are made one after the other. */
export class PolicyFile implements PolicyKeeper {
  readonly #path: string;
  #policies: QuotaPolicies;
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string, policies: QuotaPolicies) {
    this.#path = path;
    this.#policies = policies;
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

  /**
   * Writes the file anew with a tenant's quota changed, or (`null`) without the tenant. It is on the
   * disk, whole, when this resolves; when it rejects, the file is what it was.
   */
  async set(name: string, bytes: bigint | null): Promise<void> {
    const policies = new Map(this.#policies);
    if (bytes === null) policies.delete(name);
    else policies.set(name, bytes);
    await replacePolicies(this.#path, policies);
    this.#policies = policies;
  }
}

/** Writes a quota file anew. It is on the disk, whole, when this resolves. */
export function replacePolicies(path: string, policies: QuotaPolicies): Promise<void> {
  return replaceFile(path, formatPolicies(policies));
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
