/** The handlers of `answer_routes.ts`. */
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { type AdminBackend, packKeys } from "./backend.ts";
import { hitsDocument, oneOf, readHitQuery, WINDOWS } from "./hit_stats.ts";
import { percentDecode, rawParameter } from "./query.ts";
import { readBody } from "./request_guard.ts";
import { type AppContext, json, refusal, type Register } from "./route_answers.ts";
import { routeDocument } from "./route_document.ts";
import { whyDocument, whyMissDocument } from "./why_documents.ts";
import { MAX_ROUTE_BYTES, MAX_ROUTED_KEYS, readRouteRequest } from "./route_request.ts";

const BODY_TIMEOUT_MS = 10_000;

export function addAnswerRoutes(
  register: Register,
  { backend }: { backend: AdminBackend },
): void {
  const on: Register = (id, handler) => register(id, (c) => explained(() => handler(c)));
  on("route", async (c) => {
    const body = await bodyOf(c, MAX_ROUTE_BYTES);
    if (body instanceof Response) return body;
    const request = readRouteRequest(body);
    if (request === "too many keys") {
      return tooLarge(`more than ${MAX_ROUTED_KEYS} keys in one request`);
    }
    const { tenant, keys, touch } = request;
    const places = await backend.keyPlaces(tenant, packKeys(keys, null), touch);
    return json(routeDocument(tenant || "default", places));
  });
  on("hitStats", async ({ req: { url } }) => {
    const given = (name: string) => textParameter(url, name);
    const query = readHitQuery(given("window"), given("by"), given("calls"));
    return json(hitsDocument(query, await backend.hitStats(WINDOWS[query.window])));
  });
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

/** A parameter as text, `null` = not given. */
function textParameter(url: string, name: string): string | null {
  const raw = rawParameter(url, name);
  return raw === null ? null : new TextDecoder().decode(percentDecode(raw));
}

/** Answers a refusal of the store with its sentence, which says what is allowed. */
async function explained(answer: () => Promise<Response> | Response): Promise<Response> {
  try {
    return await answer();
  } catch (error) {
    const known = error instanceof StoreError && error.code !== ErrorCode.RPC_TIMEOUT;
    if (!known) throw error;
    const suffix = ` (${errorName(error.code)} ${error.code})`;
    return refusal(error.code, error.message.replaceAll(suffix, ""));
  }
}

/** The body of a request, or the answer that refuses it. */
async function bodyOf(
  c: AppContext,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | Response> {
  const body = await readBody(c.req.raw, { maxBytes, timeoutMs: BODY_TIMEOUT_MS });
  if (body === "too large") return tooLarge(`a body of more than ${maxBytes} bytes`);
  if (typeof body === "string") return refusal(ErrorCode.INVALID_PARAMS, `the body is ${body}`);
  return body;
}

function tooLarge(message: string): Response {
  return refusal(ErrorCode.INVALID_PARAMS, message, 413);
}
