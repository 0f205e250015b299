/** What the handlers of the admin server take and give. */
import type { Context } from "hono";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { errorDocument } from "./admin_json.ts";
import { type Json, jsonText } from "./json_text.ts";
import type { Peer } from "./request_guard.ts";
import type { RouteId } from "./routes.ts";

export type AppContext = Context<{ Bindings: Peer }>;
export type Handler = (c: AppContext) => Promise<Response> | Response;
/** Gives a route of the table its handler. */
export type Register = (id: RouteId, handler: Handler) => void;

const JSON_TYPE = "application/json; charset=utf-8";

const STATUS_OF = new Map<number, number>([
  [ErrorCode.INVALID_PARAMS, 400],
  [ErrorCode.UNAUTHENTICATED, 401],
  [ErrorCode.PERMISSION_DENIED, 403],
  [ErrorCode.SEGMENT_NOT_FOUND, 404],
  [ErrorCode.OBJECT_NOT_FOUND, 404],
  [ErrorCode.JOB_NOT_FOUND, 404],
  [ErrorCode.TENANT_NOT_REGISTERED, 404],
  [ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, 409],
  [ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, 409],
  [ErrorCode.TENANT_NOT_EMPTY, 409],
  [ErrorCode.NOT_SUPPORTED, 501],
  [ErrorCode.TASK_PENDING_LIMIT_EXCEEDED, 503],
  [ErrorCode.RPC_TIMEOUT, 503],
]);

/** A refusal with a code of the store, with the status that belongs to it. */
export function refusal(
  code: number,
  message = errorName(code),
  status = STATUS_OF.get(code) ?? 500,
): Response {
  return json(errorDocument(code, message), status);
}

/** The answer of a standby to what only a leader does. */
export function standbyAnswer(message: string): Response {
  return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, message, 503);
}

export function json(document: Json, status = 200): Response {
  return new Response(jsonText(document), { status, headers: { "content-type": JSON_TYPE } });
}

export function text(body: BodyInit, type: string, status = 200): Response {
  return new Response(body, { status, headers: { "content-type": type } });
}
