/** Who may change things, and how much of a body is read. */

/** What the server knows of the other side of a connection. */
export interface Peer {
  /** Numeric address, or another transport's name. */
  host: string;
}

/** Whether an address is of this machine. */
export function isLoopback(host: string): boolean {
  const plain = host.replace(/^\[|\]$/g, "").toLowerCase().replace(/^::ffff:/, "");
  return plain === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}

/**
 * Whether a browser sends the request on behalf of a page from somewhere else. Only browsers send
 * `Origin`, so a request without it is not one.
 */
export function isCrossSite(request: Request): boolean {
  const origin = request.headers.get("origin");
  if (origin === null) return false;
  return !URL.canParse(origin) || new URL(origin).host !== request.headers.get("host");
}

/** Why a body was not read. */
export type BodyRefusal = "too large" | "too slow" | "broken";

/** Limits on reading one body. */
export interface BodyLimits {
  maxBytes: number;
  /** Time for the whole body. */
  timeoutMs: number;
}

/**
 * Reads a body of at most `maxBytes`. Memory grows with what has arrived, never with what the
 * client announces, and a client that stops sending is given up after `timeoutMs`.
 */
export async function readBody(
  request: Request,
  { maxBytes, timeoutMs }: BodyLimits,
): Promise<Uint8Array<ArrayBuffer> | BodyRefusal> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) {
    await request.body?.cancel().catch(() => {});
    return "too large";
  }
  if (request.body === null) return new Uint8Array(0);
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    reader.cancel().catch(() => {});
  }, timeoutMs);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (expired) return "too slow";
      if (done) break;
      length += value.length;
      if (length > maxBytes) {
        reader.cancel().catch(() => {});
        return "too large";
      }
      chunks.push(value);
    }
  } catch {
    return expired ? "too slow" : "broken";
  } finally {
    clearTimeout(timer);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}
