/** The changes of the small tables; see `mutations.ts` for the rules. */
import { SmallTable } from "./small_tables.ts";
import type { CoreState } from "./state.ts";
import { NO_RULES, readRules, type TenantRules } from "./tenant_rules.ts";

/** Sets or (`null`) drops an entry; `false` = it is a quota, or rules, of a tenant that cannot be. */
export function setEntry(
  state: CoreState,
  table: number,
  key: Uint8Array,
  value: Uint8Array | null,
): boolean {
  if (table === SmallTable.QUOTA && !setQuota(state, key, value)) return false;
  if (table === SmallTable.RULES && !setRules(state, key, value)) return false;
  if (state.tables.holds(table, key, value)) return true;
  state.facts?.tableEntry(table, key, value);
  state.tables.put(table, key, value);
  return true;
}

/** A quota as the value of an entry. */
export function quotaValue(bytes: bigint): Uint8Array {
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, bytes, true);
  return value;
}

/** Holds a tenant to rules. */
export function applyRules(state: CoreState, tenant: number, rules: TenantRules): void {
  state.models.set(tenant, rules.models);
  state.limits.set(tenant, rules);
}

function setRules(state: CoreState, name: Uint8Array, value: Uint8Array | null): boolean {
  const tenant = state.tenants.find(name, 0, name.length);
  const rules = value === null ? NO_RULES : readRules(value);
  if (tenant < 0 || rules === null) return false;
  applyRules(state, tenant, rules);
  return true;
}

function setQuota(state: CoreState, name: Uint8Array, value: Uint8Array | null): boolean {
  const tenant = state.tenants.find(name, 0, name.length);
  if (tenant < 0 || value !== null && value.length !== 8) return false;
  const view = value === null ? null : new DataView(value.buffer, value.byteOffset, 8);
  state.quotas.set(tenant, view?.getBigUint64(0, true) ?? null);
  return true;
}
