/** Lets writes into a tenant's quota. */
import { ErrorCode } from "../../proto/error_code.ts";
import { makeQuotaRoom } from "./eviction.ts";
import type { CoreState } from "./state.ts";
import { quotaOf } from "./tenant_quota.ts";

/**
 * Lets `state.request` in: OK when the tenant's quota has room for it, if need be after evicting other
 * objects of the tenant. `besides` are bytes of the tenant that cannot go, so that nothing is evicted
 * for a write that would never fit. TENANT_QUOTA_EXCEEDED.
 */
export function admit(state: CoreState, besides: number, nowMs: number): ErrorCode {
  if (!state.config.enableMultiTenants) return ErrorCode.OK;
  const { quotas, request: { tenant, size, wanted } } = state;
  const limit = quotaOf(state, tenant);
  const bytes = size * wanted;
  if (quotas.charged(tenant) + bytes <= limit) return ErrorCode.OK;
  if (bytes + besides <= limit && makeQuotaRoom(state, tenant, limit, nowMs)) return ErrorCode.OK;
  quotas.countRejected(tenant, 1);
  return ErrorCode.TENANT_QUOTA_EXCEEDED;
}
