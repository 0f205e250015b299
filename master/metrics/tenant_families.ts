/** Metrics of tenants, the reference's and one of ours, which are shown only with multi-tenancy. */
import type { Family } from "./family.ts";
import type { TenantsUsage, TenantUsage } from "./registry.ts";

function perTenant(
  name: string,
  type: "counter" | "gauge",
  help: string,
  read: (tenant: TenantUsage) => number | bigint | boolean,
  ...labels: string[]
): Family {
  return {
    ...{ name, type, help, isShown: ({ tenants }) => tenants !== undefined },
    collect({ tenants }, emit) {
      for (const tenant of tenants?.each ?? []) {
        emit(Number(read(tenant)), "tenant_id", tenant.tenant, ...labels);
      }
    },
  };
}

function total(name: string, help: string, read: (tenants: TenantsUsage) => number): Family {
  return {
    ...{ name, type: "gauge", help, isShown: ({ tenants }) => tenants !== undefined },
    collect({ tenants }, emit) {
      if (tenants !== undefined) emit(read(tenants));
    },
  };
}

const sumOf = ({ each }: TenantsUsage, read: (tenant: TenantUsage) => number) =>
  each.reduce((sum, tenant) => sum + read(tenant), 0);

const limited: Family = {
  name: "snowskin_tenant_limited_total",
  type: "counter",
  help: "Calls that a limit of a tenant did not allow.",
  isShown: ({ tenants }) => tenants !== undefined,
  collect({ tenants }, emit) {
    for (const { tenant, limited: { ops, bytes } } of tenants?.each ?? []) {
      emit(ops, "tenant", tenant, "limit", "ops_per_second");
      emit(bytes, "tenant", tenant, "limit", "bytes_per_second");
    }
  },
};

export const tenantFamilies: readonly Family[] = [
  limited,
  perTenant(
    "mooncake_tenant_quota_reject_total",
    "counter",
    "Writes that a tenant's quota did not allow.",
    ({ rejected }) => rejected,
    "reason",
    "quota_exceeded",
  ),
  perTenant(
    "mooncake_tenant_evict_bytes_total",
    "counter",
    "Bytes evicted for a tenant's own writes.",
    ({ evictedBytes }) => evictedBytes,
  ),
  perTenant(
    "mooncake_tenant_quota_requested_bytes",
    "gauge",
    "Quota of a tenant as it was asked for.",
    ({ requestedBytes }) => requestedBytes,
  ),
  perTenant(
    "mooncake_tenant_quota_effective_bytes",
    "gauge",
    "What the size of the pool allows of a tenant's quota.",
    ({ effectiveBytes }) => effectiveBytes,
  ),
  perTenant(
    "mooncake_tenant_quota_charged_bytes",
    "gauge",
    "Memory in use by a tenant.",
    ({ chargedBytes }) => chargedBytes,
  ),
  perTenant(
    "mooncake_tenant_quota_admission_closed",
    "gauge",
    "1 while a tenant cannot put anything.",
    ({ admissionClosed }) => admissionClosed,
  ),
  perTenant(
    "mooncake_tenant_quota_over_quota",
    "gauge",
    "1 while a tenant has more than its quota.",
    ({ overQuota }) => overQuota,
  ),
  perTenant(
    "mooncake_tenant_quota_explicit_policy",
    "gauge",
    "1 when a tenant is registered.",
    ({ isRegistered }) => isRegistered,
  ),
  total(
    "mooncake_tenant_quota_allocatable_capacity_bytes",
    "Size of the pool that quotas share.",
    ({ capacityBytes }) => capacityBytes,
  ),
  total(
    "mooncake_tenant_quota_requested_bytes_sum",
    "All quotas as they were asked for.",
    (tenants) => sumOf(tenants, ({ requestedBytes }) => Number(requestedBytes)),
  ),
  total(
    "mooncake_tenant_quota_effective_bytes_sum",
    "All quotas as the pool allows them.",
    (tenants) => sumOf(tenants, ({ effectiveBytes }) => effectiveBytes),
  ),
];
