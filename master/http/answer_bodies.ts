/** Bodies of requests, and refusals that say what is allowed. */
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { readBody } from "./request_guard.ts";
import { type AppContext, refusal } from "./route_answers.ts";

const BODY_TIMEOUT_MS = 10_000;

/** Answers a refusal of the store with its sentence, which says what is allowed. */
export async function explained(answer: () => Promise<Response> | Response): Promise<Response> {
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
export async function readBodyOf(
  c: AppContext,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | Response> {
  const body = await readBody(c.req.raw, { maxBytes, timeoutMs: BODY_TIMEOUT_MS });
  if (body === "too large") return tooLarge(`a body of more than ${maxBytes} bytes`);
  if (typeof body === "string") return refusal(ErrorCode.INVALID_PARAMS, `the body is ${body}`);
  return body;
}

export function tooLarge(message: string): Response {
  return refusal(ErrorCode.INVALID_PARAMS, message, 413);
}
