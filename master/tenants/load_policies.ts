import { errorName } from "../../proto/error_code.ts";
import type { MasterCore } from "../core/core.ts";
import { NO_RULES, type TenantRules } from "../core/tenant_rules.ts";
import { readPolicies } from "./policy_file.ts";
import { PolicyError, type RulesByName } from "./policy_yaml.ts";

const FILE_IN_DATA_DIRECTORY = "tenants.yaml";

/** What tenants may use and are held to, by their names. */
export interface Policies {
  readonly quotas: ReadonlyMap<string, bigint>;
  readonly rules: RulesByName;
}

/** A quota file and what is in it. */
export interface LoadedPolicies extends Policies {
  readonly path: string;
}

/**
 * Reads the quota file. `null` = multi-tenancy is off. Throws {@linkcode PolicyError} with a line that
 * names the flag and the file.
 */
export function loadPolicies(
  tenants: { policyPath: string } | null,
  dataPath: string | null,
): LoadedPolicies | null {
  if (tenants === null) return null;
  const path = tenants.policyPath || `${dataPath}/${FILE_IN_DATA_DIRECTORY}`;
  return naming(
    path,
    tenants.policyPath,
    () => {
      const rules = new Map<string, TenantRules>();
      const quotas = readPolicies(path, { missing: tenants.policyPath === "" }, rules);
      return { path, quotas, rules };
    },
  );
}

/** Gives a core that decides its tenants. Throws {@linkcode PolicyError}. */
export function applyPolicies(core: MasterCore, { path, quotas, rules }: LoadedPolicies): void {
  naming(path, path, () => {
    for (const [name, bytes] of quotas) {
      const id = new TextEncoder().encode(name);
      const code = core.tenants.setQuota(id, bytes);
      if (code !== 0) throw new PolicyError(`tenant "${name}": ${errorName(code)}`);
      core.tenants.setRules(id, rules.get(name) ?? NO_RULES);
    }
  });
}

/** Says so when tenants with lists of models may write nothing. */
export function warnOfModels(core: MasterCore, warn: (line: string) => void): void {
  if (!core.tenants.lacksModels) return;
  warn("tenants with lists of models can write nothing: --key_format tells no model");
}

function naming<T>(path: string, value: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const flag = `--tenant_quota_connector_uri=${value}`;
    throw new PolicyError(`${flag}: the quota file ${path}: ${error.message}`);
  }
}
