import { errorName } from "../../proto/error_code.ts";
import type { MasterCore } from "../core/core.ts";
import { readPolicies } from "./policy_file.ts";
import { PolicyError } from "./policy_yaml.ts";

const FILE_IN_DATA_DIRECTORY = "tenants.yaml";

/** A quota file and what is in it. */
export interface LoadedPolicies {
  readonly path: string;
  readonly quotas: ReadonlyMap<string, bigint>;
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
    () => ({ path, quotas: readPolicies(path, { missing: tenants.policyPath === "" }) }),
  );
}

/** Gives a core that decides its quotas. Throws {@linkcode PolicyError}. */
export function applyPolicies(core: MasterCore, { path, quotas }: LoadedPolicies): void {
  naming(path, path, () => {
    for (const [name, bytes] of quotas) {
      const code = core.tenants.setQuota(new TextEncoder().encode(name), bytes);
      if (code !== 0) throw new PolicyError(`tenant "${name}": ${errorName(code)}`);
    }
  });
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
