/** The admin app over a core, asked without sockets. */
import assert from "node:assert/strict";
import { adminApp, type AdminAppOptions } from "../../master/http/admin_app.ts";
import { backendOf, MemoryAdminCore } from "./memory_admin_core.ts";

export interface AdminAnswer {
  status: number;
  text: string;
  // deno-lint-ignore no-explicit-any -- tests read whatever comes
  json: any;
}

export interface AdminCall {
  peer?: string;
  headers?: Record<string, string>;
  body?: unknown;
}

/** Asks an app over `core`; a body is sent as JSON unless it is text or bytes already. */
export function adminCaller(core: MemoryAdminCore, changes: Partial<AdminAppOptions> = {}) {
  const app = adminApp({
    ...{ backend: backendOf(core), insecure: false, version: "1.2.3" },
    settings: null,
    onLogLevel() {},
    processInfo: () => ({ version: "1.2.3", clusterId: "c", rssBytes: 1, uptimeSeconds: 1 }),
    summary: () => "",
    onFault: (error) => assert.fail(error),
    ...changes,
  });
  return async (method: string, path: string, call: AdminCall = {}): Promise<AdminAnswer> => {
    const { peer = "127.0.0.1", headers = {}, body } = call;
    const raw = typeof body === "string" || body instanceof Uint8Array;
    const request = new Request(`http://master:9003${path}`, {
      ...{ method, headers },
      ...(body !== undefined && { body: raw ? body as BodyInit : JSON.stringify(body) }),
    });
    const response = await app.fetch(request, { host: peer });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    return { status: response.status, text, json: isJson ? JSON.parse(text) : null };
  };
}
