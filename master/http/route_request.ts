/** The body of `POST /v1/route`. */
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";

/** Keys of one request. */
export const MAX_ROUTED_KEYS = 10_000;
/** Length of the body of one request. */
export const MAX_ROUTE_BYTES = 16 * 2 ** 20;

/** A request that has been checked. */
export interface RouteRequest {
  /** Empty = the default one. */
  tenant: string;
  keys: Uint8Array[];
  /** Take leases and count the lookups, as a read would. */
  touch: boolean;
}

const MEMBERS = ["tenant", "keys", "encoding", "touch"];
const FOR_THE_CONDUCTOR = ["seq_hashes", "token_ids", "block_size", "model"];

/**
 * Reads a request. `StoreError`: INVALID_PARAMS names the member and what is allowed. More keys than
 * {@linkcode MAX_ROUTED_KEYS} answer "too many keys".
 */
export function readRouteRequest(body: Uint8Array): RouteRequest | "too many keys" {
  const document = parse(body);
  const belongsElsewhere = FOR_THE_CONDUCTOR.find((name) => Object.hasOwn(document, name));
  if (belongsElsewhere !== undefined) {
    throw refused(`${belongsElsewhere}: only a conductor can answer that; allowed here: keys`);
  }
  const unknown = Object.keys(document).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined) {
    throw refused(`unknown member ${JSON.stringify(unknown)}; allowed: ${MEMBERS.join(", ")}`);
  }
  const { tenant = "", keys, encoding = "text", touch = false } = document;
  if (typeof tenant !== "string") throw refused("tenant: not a string");
  if (typeof touch !== "boolean") throw refused("touch: not a boolean; allowed: true, false");
  if (encoding !== "text" && encoding !== "base64") {
    throw refused(`encoding=${JSON.stringify(encoding)}; allowed: "text", "base64"`);
  }
  if (!Array.isArray(keys)) throw refused("keys: not a list of strings");
  if (keys.length > MAX_ROUTED_KEYS) return "too many keys";
  const encoder = new TextEncoder();
  const bytes = keys.map((key: unknown, i) => {
    if (typeof key !== "string" || key === "") throw refused(`keys[${i}]: not a key`);
    return encoding === "text" ? encoder.encode(key) : fromBase64(key, i);
  });
  return { tenant, keys: bytes, touch };
}

function parse(body: Uint8Array): Record<string, unknown> {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw refused("the body is not JSON");
  }
  if (document === null || typeof document !== "object" || Array.isArray(document)) {
    throw refused("the body is not a JSON object");
  }
  return document as Record<string, unknown>;
}

function fromBase64(text: string, index: number): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw refused(`keys[${index}]: not base64`);
  }
}

function refused(message: string): StoreError {
  return new StoreError(ErrorCode.INVALID_PARAMS, message);
}
