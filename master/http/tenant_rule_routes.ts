/** `/api/v1/tenants`: what tenants are held to besides their quotas. */
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { isModelList, isRate, MODEL_LISTS, RATES, type TenantRules } from "../core/tenant_rules.ts";
import { explained, readBodyOf } from "./answer_bodies.ts";
import type { TenantRuled } from "./backend.ts";
import type { Json } from "./json_text.ts";
import { json, refusal, type Register } from "./route_answers.ts";
import { changingTenant, keep, tenantParameter, type TenantRouteParts } from "./tenant_routes.ts";

const MAX_BODY_BYTES = 512 * 1024;

export function addTenantRuleRoutes(on: Register, { backend, policies }: TenantRouteParts): void {
  on("tenants", async (c) => {
    const name = tenantParameter(c.req.url);
    const all = await backend.tenantRules();
    const shown = all.filter(({ tenant }) => name === null || tenant === name);
    if (name !== null && shown.length === 0) return refusal(ErrorCode.OBJECT_NOT_FOUND);
    shown.sort((a, b) => a.tenant < b.tenant ? -1 : 1);
    return json({ success: true, data: shown.map(ruledDocument) });
  });
  on(
    "setTenant",
    changingTenant(policies, (c, name, file) =>
      explained(async () => {
        const body = await readBodyOf(c, MAX_BODY_BYTES);
        if (body instanceof Response) return body;
        const changes = readChanges(new TextDecoder().decode(body));
        const before = file.rules(name);
        const ruled = await backend.setTenantRules(name, changes);
        await keep(
          () => file.setRules(name, ruled),
          async () => void await backend.setTenantRules(name, reverse(changes, before)),
        );
        return json({ success: true, data: ruledDocument(ruled) });
      })),
  );
}

const MEMBERS = ["models", "ops_per_second", "bytes_per_second"];

/** The rules that a body changes. `StoreError`: INVALID_PARAMS. */
function readChanges(text: string): Partial<TenantRules> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = null;
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalid("the body is not a JSON object");
  }
  const unknown = Object.keys(body).find((member) => !MEMBERS.includes(member));
  if (unknown !== undefined) throw invalid(`${unknown}: allowed: ${MEMBERS.join(", ")}`);
  const named = body as Record<string, unknown>;
  const read = <T>(
    member: string,
    isOne: (value: unknown) => value is T,
    allowed: string,
  ): T | null => {
    const value = named[member];
    if (value !== null && !isOne(value)) throw notAllowed(member, value, allowed);
    return value;
  };
  return {
    ...("models" in named && { models: read("models", isModelList, MODEL_LISTS) }),
    ...("ops_per_second" in named && { opsPerSecond: read("ops_per_second", isRate, RATES) }),
    ...("bytes_per_second" in named && { bytesPerSecond: read("bytes_per_second", isRate, RATES) }),
  };
}

/** What takes changes back. */
function reverse(changes: Partial<TenantRules>, before: TenantRules): Partial<TenantRules> {
  const members = Object.keys(changes) as (keyof TenantRules)[];
  return Object.fromEntries(members.map((member) => [member, before[member]]));
}

function notAllowed(member: string, value: unknown, allowed: string): StoreError {
  const shown = JSON.stringify(value).slice(0, 100);
  return invalid(`${member} ${shown}; allowed: ${allowed}, or null for no limit`);
}

function invalid(message: string): StoreError {
  return new StoreError(ErrorCode.INVALID_PARAMS, message);
}

function ruledDocument(ruled: TenantRuled): Json {
  const { tenant, models, opsPerSecond, bytesPerSecond, limited } = ruled;
  return {
    ...{ tenant_id: tenant, models: models && [...models] },
    ...{ ops_per_second: opsPerSecond, bytes_per_second: bytesPerSecond },
    limited_calls: { ops_per_second: limited.ops, bytes_per_second: limited.bytes },
  };
}
