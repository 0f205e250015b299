import { ErrorCode } from "../../proto/error_code.ts";
import { Counter } from "./counters.ts";
import { addTenant } from "./mount_mutations.ts";
import { MAX_QUOTA_BYTES } from "./quotas.ts";
import { SmallTable } from "./small_tables.ts";
import type { CoreState } from "./state.ts";
import { applyRules, quotaValue, setEntry } from "./table_mutations.ts";
import { quotaOf } from "./tenant_quota.ts";
import type { LimitedCalls } from "./tenant_limits.ts";
import { isRuled, NO_RULES, rulesValue, type TenantRules } from "./tenant_rules.ts";
import { isTenantName, NO_TENANT } from "./tenants.ts";

/** What is known of a tenant; sizes in bytes. */
export interface TenantUse {
  readonly index: number;
  readonly name: Uint8Array;
  /** The quota as it was asked for, `null` = the tenant is not registered. */
  readonly requested: bigint | null;
  /** What of that the pool's size allows. */
  readonly effective: number;
  /** In use in memory, by replicas that are being written too. */
  readonly charged: number;
  readonly objects: number;
  /** Writes that the quota did not allow. */
  readonly rejected: number;
  /** Evicted for the tenant's own writes. */
  readonly evictedBytes: number;
  /** What it is held to besides. */
  readonly rules: TenantRules;
  /** Calls that its rates did not allow. */
  readonly limited: LimitedCalls;
}

/**
 * Tenants with their quotas and rules. Those of a cluster are among its small tables; those of a lone
 * master are settings, which have to be given again after a start.
 */
export class TenantApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** Whether tenants have name spaces and quotas of their own. */
  get isEnabled(): boolean {
    return this.#state.config.enableMultiTenants;
  }

  /** Bytes of the pool that quotas share out. */
  get capacity(): number {
    return this.#state.counters.get(Counter.CAPACITY_BYTES);
  }

  /** The index of a name, or that of no tenant. */
  find(name: Uint8Array): number {
    if (name.length === 0) return NO_TENANT;
    const tenant = this.#state.tenants.find(name, 0, name.length);
    return tenant < 0 ? NO_TENANT : tenant;
  }

  /**
   * Registers a tenant or changes its quota; nothing is evicted before its next write.
   * INVALID_PARAMS, PERSISTENT_FAIL; UNAVAILABLE_IN_CURRENT_STATUS when there are too many tenants.
   */
  setQuota(name: Uint8Array, bytes: bigint): ErrorCode {
    const state = this.#state;
    if (!isTenantName(name, 0, name.length)) return ErrorCode.INVALID_PARAMS;
    if (bytes < 1n || bytes > MAX_QUOTA_BYTES) return ErrorCode.INVALID_PARAMS;
    let tenant = this.find(name);
    if (tenant === NO_TENANT) {
      if (state.readOnly) return ErrorCode.PERSISTENT_FAIL;
      tenant = addTenant(state, name, 0, name.length);
      if (tenant < 0) return ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
    }
    return this.#keep(tenant, bytes);
  }

  /** Ends a tenant's registration. OBJECT_NOT_FOUND, TENANT_NOT_EMPTY, PERSISTENT_FAIL. */
  removeQuota(name: Uint8Array): ErrorCode {
    const { quotas, objects } = this.#state;
    const tenant = this.find(name);
    if (!quotas.isRegistered(tenant)) return ErrorCode.OBJECT_NOT_FOUND;
    if (objects.countOf(tenant) > 0) return ErrorCode.TENANT_NOT_EMPTY;
    this.#keepRules(tenant, NO_RULES);
    return this.#keep(tenant, null);
  }

  /** Says what a tenant is held to. OBJECT_NOT_FOUND when it is not registered, PERSISTENT_FAIL. */
  setRules(name: Uint8Array, rules: TenantRules): ErrorCode {
    const tenant = this.find(name);
    if (!this.#state.quotas.isRegistered(tenant)) return ErrorCode.OBJECT_NOT_FOUND;
    return this.#keepRules(tenant, rules);
  }

  /** Whether keys tell their model. */
  get modelsAreTold(): boolean {
    return this.#state.labels.namesModel;
  }

  /** Whether some tenant may write nothing because keys do not tell their model. */
  get lacksModels(): boolean {
    return this.#state.models.needFormat && !this.modelsAreTold;
  }

  /**
   * Lets a client's call about `keys` keys in: the tenant, or RATE_LIMITED. `movesBytes` says whether it
   * is about the bytes of objects.
   */
  admit(tenant: number, keys: number, movesBytes: boolean, nowMs: number): number {
    const { limits } = this.#state;
    if (!limits.isOn) return tenant;
    const code = limits.admit(tenant, keys, movesBytes, nowMs);
    return code === ErrorCode.OK ? tenant : code;
  }

  /** Takes the bytes of an object that a tenant writes from those of this second. */
  spend(tenant: number, bytes: number): void {
    const { limits } = this.#state;
    if (limits.isOn) limits.spend(tenant, bytes);
  }

  /** What is known of a tenant that is registered or has objects, else `null`. */
  use(name: Uint8Array): TenantUse | null {
    const tenant = this.find(name);
    return tenant === NO_TENANT || !this.#isThere(tenant) ? null : this.#useOf(tenant);
  }

  /** All tenants that are registered or have objects. */
  list(): TenantUse[] {
    const listed: TenantUse[] = [];
    for (let tenant = 0; tenant < this.#state.tenants.count; tenant++) {
      if (this.#isThere(tenant)) listed.push(this.#useOf(tenant));
    }
    return listed;
  }

  /** Whether something new may come into the name space of a tenant. */
  mayCreate(tenant: number): boolean {
    return !this.isEnabled || this.#state.quotas.isRegistered(tenant);
  }

  /**
   * Whether the write that its quota has just refused may fit later, when leases have run out. If so,
   * it does not count as refused.
   */
  takesBackRefusal(): boolean {
    const { quotas, request: { tenant, size, wanted } } = this.#state;
    if (size * wanted > quotaOf(this.#state, tenant)) return false;
    quotas.countRejected(tenant, -1);
    return true;
  }

  #keep(tenant: number, bytes: bigint | null): ErrorCode {
    const state = this.#state;
    if (!state.tables.shared) {
      state.quotas.set(tenant, bytes);
      return ErrorCode.OK;
    }
    if (state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const value = bytes === null ? null : quotaValue(bytes);
    setEntry(state, SmallTable.QUOTA, state.tenants.name(tenant), value);
    return ErrorCode.OK;
  }

  #keepRules(tenant: number, rules: TenantRules): ErrorCode {
    const state = this.#state;
    if (!state.tables.shared) {
      applyRules(state, tenant, rules);
      return ErrorCode.OK;
    }
    if (state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const value = isRuled(rules) ? rulesValue(rules) : null;
    setEntry(state, SmallTable.RULES, state.tenants.name(tenant), value);
    return ErrorCode.OK;
  }

  #isThere(tenant: number): boolean {
    const { quotas, objects } = this.#state;
    return quotas.isRegistered(tenant) || objects.countOf(tenant) > 0;
  }

  #useOf(tenant: number): TenantUse {
    const { quotas, objects, tenants, models, limits } = this.#state;
    return {
      index: tenant,
      name: tenants.name(tenant),
      requested: quotas.requested(tenant),
      effective: quotaOf(this.#state, tenant),
      charged: quotas.charged(tenant),
      objects: objects.countOf(tenant),
      rejected: quotas.rejected(tenant),
      evictedBytes: quotas.evictedBytes(tenant),
      rules: { models: models.names(tenant), ...limits.rates(tenant) },
      limited: limits.limited(tenant),
    };
  }
}
