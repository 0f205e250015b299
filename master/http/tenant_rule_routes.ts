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
        const before = file.rules(name);
        const rules = readRules(new TextDecoder().decode(body), before);
        const ruled = await backend.setTenantRules(name, rules);
        await keep(
          () => file.setRules(name, rules),
          async () => void await backend.setTenantRules(name, before),
        );
        return json({ success: true, data: ruledDocument(ruled) });
      })),
  );
}

const MEMBERS = ["models", "ops_per_second", "bytes_per_second"];

/** The rules that a body asks for; what it does not name stays. `StoreError`: INVALID_PARAMS. */
function readRules(text: string, before: TenantRules): TenantRules {
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
  const {
    models = before.models,
    ops_per_second: ops = before.opsPerSecond,
    bytes_per_second: bytes = before.bytesPerSecond,
  } = body as Record<string, unknown>;
  if (models !== null && !isModelList(models)) throw notAllowed("models", models, MODEL_LISTS);
  if (ops !== null && !isRate(ops)) throw notAllowed("ops_per_second", ops, RATES);
  if (bytes !== null && !isRate(bytes)) throw notAllowed("bytes_per_second", bytes, RATES);
  return { models, opsPerSecond: ops, bytesPerSecond: bytes };
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
