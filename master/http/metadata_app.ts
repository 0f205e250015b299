/**
 * The HTTP metadata server of transfer engines: `/metadata?key=` and `/health`.
 *
 * Bodies and codes are the reference's. Keys are percent-decoded, so that an escaped and a plain
 * slash name the same document; methods it does not know are answered 405. Ours: `?prefix=` without a
 * key lists the keys that begin with it, as a JSON array.
 */
import { Hono } from "hono";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { Document } from "./document_table.ts";
import type { MetadataStore, PutOutcome } from "./metadata_store.ts";
import { percentDecode, rawParameter } from "./query.ts";
import { type BodyRefusal, readBody } from "./request_guard.ts";

export interface MetadataAppOptions {
  store: MetadataStore;
  /** Why changes are not taken here at present, `null` = they are. Default: they are. */
  changeRefusal?: () => Promise<string | null>;
  /** Time for reading one body; default 10 s. */
  bodyTimeoutMs?: number;
  /** Bodies that may be read at the same time; default 64. */
  maxBodies?: number;
}

/** Builds the app; `fetch(request)` serves one request. */
export function metadataApp(options: MetadataAppOptions): Hono {
  const { store, bodyTimeoutMs = 10_000, maxBodies = 64 } = options;
  const { changeRefusal = () => Promise.resolve(null) } = options;
  const { maxValueBytes } = store.limits;
  let bodies = 0;
  const app = new Hono();

  app.get("/health", () => new Response("OK"));
  app.get("/metadata", (c) => {
    const key = keyOf(c.req.url);
    const prefix = rawParameter(c.req.url, "prefix");
    if (key === null && prefix !== null) return c.json(store.keys(percentDecode(prefix)));
    if (key === null) return missingKey();
    const value = store.get(key);
    if (value === null) return new Response("metadata not found", { status: 404 });
    return new Response(value, { headers: { "content-type": "application/json" } });
  });
  app.put("/metadata", async (c) => {
    const key = keyOf(c.req.url);
    if (key === null) return missingKey();
    const refusal = await changeRefusal();
    if (refusal !== null) return new Response(refusal, { status: 503 });
    if (bodies >= maxBodies) return new Response("too many uploads at once", { status: 503 });
    bodies++;
    let body: Document | BodyRefusal;
    try {
      body = await readBody(c.req.raw, { maxBytes: maxValueBytes, timeoutMs: bodyTimeoutMs });
    } finally {
      bodies--;
    }
    if (typeof body === "string") return bodyRefused(body, maxValueBytes);
    try {
      return putAnswer(await store.put(key, body), store);
    } catch (error) {
      return notTaken(error);
    }
  });
  app.delete("/metadata", async (c) => {
    const key = keyOf(c.req.url);
    if (key === null) return missingKey();
    const refusal = await changeRefusal();
    if (refusal !== null) return new Response(refusal, { status: 503 });
    try {
      if (await store.delete(key)) return new Response("metadata deleted");
    } catch (error) {
      return notTaken(error);
    }
    return new Response("metadata not found", { status: 404 });
  });
  app.all("/metadata", () => notAllowed("GET, HEAD, PUT, DELETE"));
  app.all("/health", () => notAllowed("GET, HEAD"));
  app.notFound(() => new Response("404 Not Found", { status: 404 }));
  return app;
}

function keyOf(url: string): Uint8Array | null {
  const raw = rawParameter(url, "key") ?? "";
  return raw === "" ? null : percentDecode(raw);
}

function missingKey(): Response {
  return new Response("Missing key parameter", { status: 400 });
}

function notAllowed(allow: string): Response {
  return new Response("Method Not Allowed", { status: 405, headers: { allow } });
}

function notKept(): Response {
  return new Response("the change could not be kept", { status: 507 });
}

/** A cluster has not taken a change, or a lone master could not write it. */
function notTaken(error: unknown): Response {
  const refused = error instanceof StoreError && error.code !== ErrorCode.PERSISTENT_FAIL;
  return refused ? new Response(error.message, { status: 503 }) : notKept();
}

function bodyRefused(reason: BodyRefusal, maxBytes: number): Response {
  switch (reason) {
    case "too large":
      return new Response(`value too large; allowed: ${maxBytes} bytes`, { status: 413 });
    case "too slow":
      return new Response("the body did not arrive in time", { status: 408 });
    case "broken":
      return new Response("the body is incomplete", { status: 400 });
  }
}

function putAnswer(outcome: PutOutcome, { limits }: MetadataStore): Response {
  switch (outcome) {
    case "updated":
      return new Response("metadata updated");
    case "unchanged":
      return new Response("metadata unchanged");
    case "name in use":
      return new Response("Duplicate rpc_meta key not allowed", { status: 400 });
    case "key too long":
      return new Response(`key too long; allowed: ${limits.maxKeyBytes} bytes`, { status: 414 });
    case "value too large":
      return bodyRefused("too large", limits.maxValueBytes);
    case "too many keys":
      return new Response(`no room; allowed: ${limits.maxKeys} keys`, { status: 507 });
    case "not kept":
      return notKept();
    case "full":
      return new Response(`no room; allowed: ${limits.maxTotalBytes} bytes`, { status: 507 });
  }
}
