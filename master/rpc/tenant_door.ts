/** Whom a call about objects speaks for. */
import { ErrorCode } from "../../proto/error_code.ts";
import { keyStart } from "../auth/api_key.ts";
import type { MasterCore } from "../core/core.ts";
import { NO_TENANT } from "../core/tenants.ts";

/** What a call is about to do in the name space of a tenant. */
export const TenantAccess = {
  /** Look objects up. */
  READ: 0,
  /** Change or remove what is there. */
  CHANGE: 1,
  /** Bring something new. */
  CREATE: 2,
} as const;
export type TenantAccess = (typeof TenantAccess)[keyof typeof TenantAccess];

/** Lets calls in. */
export interface TenantDoor {
  /**
   * The index of the tenant that a call names in `bytes[start, end)`, or a negative code that answers
   * the call for each of its keys.
   */
  enter(bytes: Uint8Array, start: number, end: number, access: TenantAccess): number;
  /**
   * The same for a call that clients make because the master has told them to. `isOrdered` says
   * whether it has, for callers that show nothing else.
   */
  enterOrdered(bytes: Uint8Array, isOrdered: (tenant: number) => boolean): number;
  /** The same for the name space of clients that name no tenant. */
  enterUnnamed(access: TenantAccess): number;
  /** The same for a call about the objects of all tenants; 0 = it may. */
  enterAll(access: TenantAccess): number;
}

/**
 * Takes clients at their word; a key behind the name is not looked at. With multi-tenancy only
 * registered tenants may create anything: TENANT_NOT_REGISTERED. INVALID_PARAMS for what is no name.
 */
export class NamedDoor implements TenantDoor {
  readonly #core: MasterCore;

  constructor(core: MasterCore) {
    this.#core = core;
  }

  enter(bytes: Uint8Array, start: number, end: number, access: TenantAccess): number {
    let tenant = this.#core.internTenant(bytes, start, end);
    if (tenant === NO_TENANT) {
      const at = keyStart(bytes, start, end);
      if (at > start) tenant = this.#core.internTenant(bytes, start, at - 1);
    }
    if (access === TenantAccess.CREATE && !this.#core.tenants.mayCreate(tenant)) {
      return ErrorCode.TENANT_NOT_REGISTERED;
    }
    return tenant;
  }

  enterOrdered(bytes: Uint8Array): number {
    return this.enter(bytes, 0, bytes.length, TenantAccess.CHANGE);
  }

  enterUnnamed(): number {
    return 0;
  }

  enterAll(): number {
    return ErrorCode.OK;
  }
}
