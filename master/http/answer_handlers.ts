/** The handlers of `answer_routes.ts`. */
import { ErrorCode } from "../../proto/error_code.ts";
import { explained, readBodyOf, tooLarge } from "./answer_bodies.ts";
import { type AdminBackend, packKeys } from "./backend.ts";
import { hitsDocument, isLabelled, oneOf, readHitQuery, WINDOWS } from "./hit_stats.ts";
import type { AdminAuth } from "./admin_auth.ts";
import { percentDecode, rawParameter, textParameter } from "./query.ts";
import { json, refusal, type Register } from "./route_answers.ts";
import { routeDocument } from "./route_document.ts";
import { storesDocument } from "./store_document.ts";
import { whyDocument, whyMissDocument } from "./why_documents.ts";
import { MAX_ROUTE_BYTES, MAX_ROUTED_KEYS, readRouteRequest } from "./route_request.ts";

export function addAnswerRoutes(
  register: Register,
  { backend, auth = null }: { backend: AdminBackend; auth?: AdminAuth | null },
): void {
  const on: Register = (id, handler) => register(id, (c) => explained(() => handler(c)));
  on("route", async (c) => {
    const body = await readBodyOf(c, MAX_ROUTE_BYTES);
    if (body instanceof Response) return body;
    const request = readRouteRequest(body);
    if (request === "too many keys") {
      return tooLarge(`more than ${MAX_ROUTED_KEYS} keys in one request`);
    }
    const { tenant, keys, touch } = request;
    if (auth !== null && !auth.mayAskAbout(c, tenant || "default")) {
      return refusal(ErrorCode.PERMISSION_DENIED, "tenant: the key is for another one");
    }
    const places = await backend.keyPlaces(tenant, packKeys(keys, null), touch);
    return json(routeDocument(tenant || "default", places));
  });
  on("hitStats", async ({ req: { url } }) => {
    const given = (name: string) => textParameter(url, name);
    const query = readHitQuery(given("window"), given("by"), given("calls"));
    return json(
      hitsDocument(query, await backend.hitStats(WINDOWS[query.window], isLabelled(query))),
    );
  });
  on("storeHealth", async () => json(storesDocument(await backend.storeHealth())));
  addWhyRoutes(on, backend);
}

function addWhyRoutes(on: Register, backend: AdminBackend): void {
  on("why", async ({ req: { url } }) => {
    const key = percentDecode(rawParameter(url, "key") ?? "");
    if (key.length === 0) return refusal(ErrorCode.INVALID_PARAMS, "key: missing or empty");
    return json(whyDocument(key, await backend.why(textParameter(url, "tenant") ?? "", key)));
  });
  on("whyMiss", async ({ req: { url } }) => {
    const windows = Object.keys(WINDOWS) as (keyof typeof WINDOWS)[];
    const last = oneOf("last", textParameter(url, "last") ?? "5m", windows);
    const answer = await backend.whyMiss(textParameter(url, "tenant"), WINDOWS[last]);
    return json(whyMissDocument(last, answer));
  });
}
