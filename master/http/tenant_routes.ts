/** `/api/v1/tenant_quotas`: the quotas of tenants, as the reference shows and changes them. */
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { MAX_QUOTA_BYTES } from "../core/quotas.ts";
import type { PolicyKeeper } from "../tenants/policy_file.ts";
import { isTenantText } from "../tenants/policy_yaml.ts";
import type { AdminBackend, TenantQuota } from "./backend.ts";
import type { Json } from "./json_text.ts";
import { percentDecode, rawParameter } from "./query.ts";
import { readBody } from "./request_guard.ts";
import { type AppContext, type Handler, json, refusal, type Register } from "./route_answers.ts";

export interface TenantRouteParts {
  backend: AdminBackend;
  /** Where quotas and rules are kept, `null` = multi-tenancy is off. */
  policies: PolicyKeeper | null;
}

/** Changes one tenant, while no other change of what `file` keeps is under way. */
export type TenantChange = (c: AppContext, name: string, file: PolicyKeeper) => Promise<Response>;

/** Serves a change of the tenant that a call names. */
export function changingTenant(policies: PolicyKeeper | null, serve: TenantChange): Handler {
  return async (c) => {
    const name = tenantParameter(c.req.url);
    if (name === null || !isTenantText(name)) {
      return refusal(ErrorCode.INVALID_PARAMS, "Missing or invalid tenant_id");
    }
    if (policies === null) return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE);
    return await policies.inTurn(() => serve(c, name, policies));
  };
}

const BODY_LIMITS = { maxBytes: 64 * 1024, timeoutMs: 10_000 };
const QUOTA_RANGE = "Tenant quota must be in [1, 2^63 - 1] bytes";

export function addTenantRoutes(on: Register, { backend, policies }: TenantRouteParts): void {
  on("tenantQuotas", async (c) => {
    const name = tenantParameter(c.req.url);
    if (name === null || name === "") {
      const quotas = await backend.tenantQuotas();
      quotas.sort((a, b) => a.tenant < b.tenant ? -1 : 1);
      return json({ success: true, data: quotas.map(quotaDocument) });
    }
    const quota = await backend.tenantQuota(name);
    if (quota === null) return refusal(ErrorCode.OBJECT_NOT_FOUND);
    return json({ success: true, data: quotaDocument(quota) });
  });

  const changing = (serve: TenantChange) => changingTenant(policies, serve);
  on(
    "setTenantQuota",
    changing(async (c, name, file) => {
      const body = await readBody(c.req.raw, BODY_LIMITS);
      if (typeof body === "string") {
        return refusal(ErrorCode.INVALID_PARAMS, `The body was not read: ${body}`);
      }
      const bytes = requestedBytes(new TextDecoder().decode(body));
      if (typeof bytes === "string") return refusal(ErrorCode.INVALID_PARAMS, bytes);
      const before = file.get(name);
      const quota = await backend.setTenantQuota(name, bytes);
      await keep(
        () => file.set(name, bytes),
        () => before === null ? backend.removeTenantQuota(name) : put(backend, name, before),
      );
      return json({ success: true, data: quotaDocument(quota) });
    }),
  );
  on(
    "deleteTenantQuota",
    changing(async (_c, name, file) => {
      const before = file.get(name);
      await backend.removeTenantQuota(name);
      const rules = file.rules(name);
      await keep(
        () => file.set(name, null),
        async () => {
          if (before === null) return;
          await put(backend, name, before);
          await backend.setTenantRules(name, rules);
        },
      );
      return json({ success: true, data: null });
    }),
  );
}

/** Takes a change back that could not be written down. */
export async function keep(
  write: () => Promise<void>,
  takeBack: () => Promise<void>,
): Promise<void> {
  try {
    await write();
  } catch (error) {
    await takeBack();
    throw new StoreError(ErrorCode.PERSISTENT_FAIL, `Cannot write the quota file: ${error}`);
  }
}

async function put(backend: AdminBackend, name: string, bytes: bigint): Promise<void> {
  await backend.setTenantQuota(name, bytes);
}

/** The parameter `tenant_id` as text, `null` when it is missing; "" when it is no text. */
export function tenantParameter(url: string): string | null {
  const raw = rawParameter(url, "tenant_id");
  if (raw === null) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(percentDecode(raw, true));
  } catch {
    return "";
  }
}

/** The quota in the body of a PUT, or what is wrong with it. Digits are taken as they are written. */
function requestedBytes(text: string): bigint | string {
  let exact: bigint | null = null;
  let body: unknown;
  try {
    body = JSON.parse(
      text,
      function (key, value, { source }: { source?: string } = {}) {
        if (key === "requested_quota_bytes" && typeof value === "number") {
          exact = /^\d{1,20}$/.test(source ?? "") ? BigInt(source!) : null;
        }
        return value;
      } as (this: unknown, key: string, value: unknown) => unknown,
    );
  } catch (error) {
    return `Invalid JSON body: ${error instanceof Error ? error.message : error}`;
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return "Invalid JSON body: it is not an object";
  }
  const bytes = exact as bigint | null;
  if ("requested_quota_bytes" in body && typeof body.requested_quota_bytes !== "number") {
    return "Invalid JSON body: requested_quota_bytes is not a number";
  }
  const own = "requested_quota_bytes" in body && body.requested_quota_bytes === Number(bytes);
  return own && bytes !== null && bytes >= 1n && bytes <= MAX_QUOTA_BYTES ? bytes : QUOTA_RANGE;
}

function quotaDocument(quota: TenantQuota): Json {
  return {
    tenant_id: quota.tenant,
    requested_quota_bytes: quota.requestedBytes,
    effective_quota_bytes: quota.effectiveBytes,
    charged_bytes: quota.chargedBytes,
    admission_closed: quota.admissionClosed,
    over_quota: quota.overQuota,
    has_explicit_policy: quota.isRegistered,
  };
}
