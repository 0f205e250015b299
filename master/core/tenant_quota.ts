/** What a tenant's quota has room for. */
import { Counter } from "./counters.ts";
import type { CoreState } from "./state.ts";

/** Whether the tenant's quota has room for so many bytes more, without evicting anything. */
export function hasQuotaFor(state: CoreState, tenant: number, bytes: number): boolean {
  if (!state.config.enableMultiTenants) return true;
  return state.quotas.charged(tenant) + bytes <= quotaOf(state, tenant);
}

/** What a tenant may use of the pool as it is now. */
export function quotaOf(state: CoreState, tenant: number): number {
  const capacity = state.counters.get(Counter.CAPACITY_BYTES);
  return state.quotas.effective(tenant, capacity, (index) => state.tenants.name(index));
}
