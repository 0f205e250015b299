/** What the HTTP side asks about tenants, answered in the thread that owns the core. */
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { MasterCore } from "../core/core.ts";
import type { TenantUse } from "../core/tenant_api.ts";
import { UNKNOWN_MODEL } from "../core/model_lists.ts";
import { NO_RULES, type TenantRules } from "../core/tenant_rules.ts";
import type { TenantQuota, TenantRuled } from "../http/backend.ts";
import type { TenantsUsage } from "../metrics/registry.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class TenantCalls {
  readonly #core: MasterCore;
  readonly #settle: () => boolean | Promise<boolean>;

  /** `settle` keeps the changes made so far; `false` = they could not be kept. */
  constructor(core: MasterCore, settle: () => boolean | Promise<boolean>) {
    this.#core = core;
    this.#settle = settle;
  }

  /** All tenants. UNAVAILABLE_IN_CURRENT_MODE without multi-tenancy. */
  quotas(): TenantQuota[] {
    return this.#enabled().list().map((use) => this.#quotaOf(use));
  }

  /** One tenant, `null` = there is none. UNAVAILABLE_IN_CURRENT_MODE. */
  quota(name: string): TenantQuota | null {
    const use = this.#enabled().use(encoder.encode(name));
    return use === null ? null : this.#quotaOf(use);
  }

  /** See `TenantApi.setQuota`. */
  setQuota(name: string, bytes: bigint): TenantQuota | Promise<TenantQuota> {
    this.#check(this.#enabled().setQuota(encoder.encode(name), bytes));
    return this.#kept(() => this.quota(name)!);
  }

  /** See `TenantApi.removeQuota`. */
  removeQuota(name: string): void | Promise<void> {
    this.#check(this.#enabled().removeQuota(encoder.encode(name)));
    return this.#kept(() => {});
  }

  /** What registered tenants are held to. UNAVAILABLE_IN_CURRENT_MODE without multi-tenancy. */
  rules(): TenantRuled[] {
    return this.#enabled().list().filter(({ requested }) => requested !== null).map(ruledOf);
  }

  /**
   * Changes what a tenant is held to; what `changes` does not name stays. See `TenantApi.setRules`;
   * INVALID_PARAMS for a list of models while keys do not tell theirs.
   */
  setRules(name: string, changes: Partial<TenantRules>): TenantRuled | Promise<TenantRuled> {
    const tenants = this.#enabled();
    const id = encoder.encode(name);
    if (changes.models?.includes(UNKNOWN_MODEL) === false && !tenants.modelsAreTold) {
      throw new StoreError(
        ErrorCode.INVALID_PARAMS,
        `models: --key_format tells no model; allowed: a list with "${UNKNOWN_MODEL}"`,
      );
    }
    this.#check(tenants.setRules(id, { ...tenants.use(id)?.rules ?? NO_RULES, ...changes }));
    return this.#kept(() => ruledOf(tenants.use(id)!));
  }

  /** Numbers for metrics, absent without multi-tenancy. */
  usage(): { tenants?: TenantsUsage } {
    const { tenants } = this.#core;
    if (!tenants.isEnabled) return {};
    const each = tenants.list().map((use) => ({
      ...this.#quotaOf(use),
      ...{ rejected: use.rejected, evictedBytes: use.evictedBytes, limited: use.limited },
    }));
    return { tenants: { capacityBytes: tenants.capacity, each } };
  }

  /**
   * Tenants whose objects a question may be about: the one that is named, or all of them. Without
   * multi-tenancy there is one, whatever is named.
   */
  indexes(name: string | null): number[] {
    const { tenants } = this.#core;
    if (!tenants.isEnabled) return [0];
    if (name !== null) return [tenants.find(encoder.encode(name))];
    return tenants.list().map(({ index }) => index);
  }

  /** Answers once the changes made so far are kept. PERSISTENT_FAIL. */
  #kept<T>(answer: () => T): T | Promise<T> {
    const answerIf = (kept: boolean) => {
      if (!kept) this.#check(ErrorCode.PERSISTENT_FAIL);
      return answer();
    };
    const settled = this.#settle();
    return settled instanceof Promise ? settled.then(answerIf) : answerIf(settled);
  }

  #enabled() {
    const { tenants } = this.#core;
    if (!tenants.isEnabled) this.#check(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE);
    return tenants;
  }

  #check(code: ErrorCode): void {
    if (code !== ErrorCode.OK) throw new StoreError(code, errorName(code));
  }

  #quotaOf({ name, requested, effective, charged }: TenantUse): TenantQuota {
    return {
      tenant: decoder.decode(name),
      requestedBytes: requested ?? 0n,
      effectiveBytes: effective,
      chargedBytes: charged,
      admissionClosed: requested === null || this.#core.readOnly,
      overQuota: charged > effective,
      isRegistered: requested !== null,
    };
  }
}

function ruledOf({ name, rules, limited }: TenantUse): TenantRuled {
  return { tenant: decoder.decode(name), ...rules, limited };
}
