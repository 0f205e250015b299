/**
 * The admin server: the reference's paths with its bodies and status codes, and ours beside them.
 *
 * Reads are open. Calls that change something are taken from this machine only, unless `insecure`.
 */
import { type Context, Hono } from "hono";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { ProcessInfo } from "../metrics/families.ts";
import { PROMETHEUS_TEXT_TYPE, prometheusText } from "../metrics/prometheus_text.ts";
import type { MetricsSnapshot } from "../metrics/registry.ts";
import type { MasterStatus } from "../metrics/summary_line.ts";
import {
  errorDocument,
  healthDocument,
  keyDocument,
  keysDocument,
  leaderDocument,
  segmentsDocument,
  segmentStatusDocument,
} from "./admin_json.ts";
import type { AdminBackend, KeyResult } from "./backend.ts";
import { addHaRoutes } from "./ha_routes.ts";
import { addJobRoutes } from "./job_routes.ts";
import { type Json, jsonText } from "./json_text.ts";
import { keyLines } from "./key_lines.ts";
import { compareBytes, percentDecode, rawParameter, splitAtCommas } from "./query.ts";
import { addSnapshotRoutes, type SnapshotRoutesOptions } from "./snapshot_routes.ts";
import { isCrossSite, isLoopback, type Peer } from "./request_guard.ts";

export interface AdminAppOptions {
  backend: AdminBackend;
  /** Take changes from other machines, too. */
  insecure: boolean;
  /** Data directory of a master of a cluster; absent or `null` = it is alone. */
  haPath?: string | null;
  /** What `/v1/config` shows. */
  config: Json;
  processInfo: () => ProcessInfo;
  /** The summary of `/metrics/summary`. */
  summary: (current: MetricsSnapshot, status: MasterStatus) => string;
  /** Without it there are no routes for snapshots. */
  snapshots?: SnapshotRoutesOptions;
  /** Told about a request that failed for no reason of its own. */
  onFault: (error: Error) => void;
}

type App = Hono<{ Bindings: Peer }>;
type AppContext = Context<{ Bindings: Peer }>;

const JSON_TYPE = "application/json; charset=utf-8";
const TEXT_TYPE = "text/plain; charset=utf-8";
const MAX_KEYS_PER_QUERY = 10_000;
const KEYS_PER_LOOK = 256;

/** Builds the app; `fetch(request, peer)` serves one request. */
export function adminApp(options: AdminAppOptions): App {
  const app: App = new Hono();
  addStatusRoutes(app, options);
  addMetricsRoutes(app, options);
  addKeyRoutes(app, options);
  addSegmentRoutes(app, options);
  addChangeRoutes(app, options);
  addHaRoutes(app, options);
  const { snapshots } = options;
  if (snapshots !== undefined) {
    addSnapshotRoutes(app, options.backend, snapshots, guard(options));
  }
  app.notFound(() => new Response("404 Not Found", { status: 404 }));
  app.onError((error) => {
    if (!(error instanceof StoreError)) {
      options.onFault(error);
      return refusal(ErrorCode.INTERNAL_ERROR);
    }
    const unanswered = error.code === ErrorCode.RPC_TIMEOUT;
    return refusal(error.code, unanswered ? "the master is not answering" : undefined);
  });
  return app;
}

function addStatusRoutes(app: App, { backend, config }: AdminAppOptions): void {
  let started = false;
  app.get("/health", async () => json(healthDocument(await backend.status())));
  app.get("/role", async () => text((await backend.status()).role, TEXT_TYPE));
  app.get("/ha_status", async () => text((await backend.status()).state, TEXT_TYPE));
  app.get("/leader", async () => json(leaderDocument(await backend.status())));
  app.get("/health/live", async () => {
    await backend.status();
    return json({ status: "ok" });
  });
  app.get("/health/ready", async () => {
    const { serviceReady } = await backend.status();
    started ||= serviceReady;
    return readiness(serviceReady);
  });
  app.get("/health/startup", async () => {
    started ||= (await backend.status()).serviceReady;
    return readiness(started);
  });
  app.get("/v1/config", () => json(config));
  app.get("/kv_events/status", () =>
    json({
      ...{ enabled: false, published_batches: 0, published_events: 0 },
      ...{ dropped_events: 0, skipped_unparsed_keys: 0 },
    }));
}

function addMetricsRoutes(app: App, { backend, processInfo, summary }: AdminAppOptions): void {
  app.get("/metrics", async () => {
    const snapshot = await backend.metricsSnapshot();
    return text(prometheusText(snapshot, processInfo()), PROMETHEUS_TEXT_TYPE);
  });
  app.get("/metrics/summary", async () => {
    const [snapshot, status] = await Promise.all([backend.metricsSnapshot(), backend.status()]);
    return text(summary(snapshot, status), PROMETHEUS_TEXT_TYPE);
  });
}

function addKeyRoutes(app: App, { backend }: AdminAppOptions): void {
  app.get("/query_key", async (c) => {
    const key = percentDecode(rawParameter(c.req.url, "key") ?? "");
    if (key.length === 0) return refusal(ErrorCode.OBJECT_NOT_FOUND);
    return json(keyDocument(await backend.queryKey(key)));
  });
  app.get("/batch_query_keys", async (c) => {
    const raw = rawParameter(c.req.url, "keys") ?? "";
    if (raw === "") {
      return json({ success: false, error: "No keys provided. Use ?keys=key1,key2,..." }, 400);
    }
    const keys = unique(splitAtCommas(percentDecode(raw, true)));
    if (keys.length > MAX_KEYS_PER_QUERY) {
      const error = `${keys.length} keys in one query; allowed: ${MAX_KEYS_PER_QUERY}`;
      return json({ success: false, error }, 413);
    }
    return json(keysDocument(keys, await peekKeys(backend, keys)));
  });
  app.get("/get_all_keys", async () => {
    return text(await keyLines(backend), PROMETHEUS_TEXT_TYPE);
  });
}

function addSegmentRoutes(app: App, { backend }: AdminAppOptions): void {
  const segmentOf = (c: AppContext) =>
    new TextDecoder().decode(percentDecode(rawParameter(c.req.url, "segment") ?? ""));

  app.get("/get_all_segments", async () => {
    const names = await backend.listSegments();
    return text(names.map((name) => `${name}\n`).join(""), PROMETHEUS_TEXT_TYPE);
  });
  app.get("/get_segments_detail", async () => {
    return json(segmentsDocument(await backend.segmentDetails()));
  });
  app.get("/query_segment", async (c) => {
    const name = segmentOf(c);
    try {
      const { allocatedBytes, capacityBytes } = await backend.segmentUse(name);
      const lines = `${name}\nUsed(bytes): ${allocatedBytes}\nCapacity(bytes) : ${capacityBytes}\n`;
      return text(lines, PROMETHEUS_TEXT_TYPE);
    } catch (error) {
      const unknown = error instanceof StoreError && error.code === ErrorCode.SEGMENT_NOT_FOUND;
      if (!unknown) throw error;
      return text("Failed to query segment", PROMETHEUS_TEXT_TYPE, 500);
    }
  });
  app.get("/api/v1/segments/status", async (c) => {
    const name = segmentOf(c);
    if (name === "") {
      return refusal(ErrorCode.INVALID_PARAMS, "Missing segment query parameter");
    }
    return json(segmentStatusDocument(name, await backend.segmentStatus(name)));
  });
}

function addChangeRoutes(app: App, options: AdminAppOptions): void {
  const { backend } = options;
  const change = guard(options);

  app.post(
    "/api/v1/remove_all",
    change(async (c) => {
      const force = rawParameter(c.req.url, "force") ?? "false";
      if (!["true", "false", "1", "0"].includes(force)) {
        const message = `force=${force} is not a boolean; allowed: true, false`;
        return refusal(ErrorCode.INVALID_PARAMS, message);
      }
      const tenant = rawParameter(c.req.url, "tenant_id") ?? "";
      if (tenant !== "" && tenant !== "default") {
        return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE);
      }
      const removed = await removeAll(backend, force === "true" || force === "1", c.req.raw.signal);
      return json({ success: true, removed_count: removed });
    }),
  );
  addJobRoutes(app, { backend, change, json, refusal });

  const tenantsOff = () => refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE);
  const tenantQuota = change((c) =>
    (rawParameter(c.req.url, "tenant_id") ?? "") === ""
      ? refusal(ErrorCode.INVALID_PARAMS, "Missing or invalid tenant_id")
      : tenantsOff()
  );
  app.get("/api/v1/tenant_quotas", tenantsOff);
  app.put("/api/v1/tenant_quotas", tenantQuota);
  app.delete("/api/v1/tenant_quotas", tenantQuota);
}

/** Removes every object in steps, until the peer hangs up; the number of objects removed. */
async function removeAll(
  backend: AdminBackend,
  force: boolean,
  hungUp: AbortSignal,
): Promise<number> {
  const removal = await backend.beginRemoval(force);
  try {
    for (;;) {
      const { removed, isOver } = await backend.stepRemoval(removal);
      if (isOver || hungUp.aborted) return removed;
    }
  } finally {
    await backend.endRemoval(removal);
  }
}

/** Looks keys up, not all in one go. */
async function peekKeys(backend: AdminBackend, keys: Uint8Array[]): Promise<KeyResult[]> {
  const results: KeyResult[] = [];
  for (let at = 0; at < keys.length; at += KEYS_PER_LOOK) {
    results.push(...await backend.peekKeys(keys.slice(at, at + KEYS_PER_LOOK)));
  }
  return results;
}

/** Lets those through to a handler who may change something. */
function guard({ insecure }: AdminAppOptions) {
  return (handler: (c: AppContext) => Promise<Response> | Response) => (c: AppContext) =>
    changeRefusal(c, insecure) ?? handler(c);
}

/** Why a request may not change anything, or `null`. */
function changeRefusal(c: AppContext, insecure: boolean): Response | null {
  if (isCrossSite(c.req.raw)) {
    return refusal(ErrorCode.PERMISSION_DENIED, "changes from pages of other sites are refused");
  }
  if (insecure || isLoopback(c.env.host)) return null;
  const message = "changes are taken from this machine only; --insecure takes them from anywhere";
  return refusal(ErrorCode.UNAUTHENTICATED, message);
}

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

function refusal(code: number, message = errorName(code)): Response {
  return json(errorDocument(code, message), STATUS_OF.get(code) ?? 500);
}

function readiness(ready: boolean): Response {
  return json({ status: ready ? "ok" : "unavailable" }, ready ? 200 : 503);
}

function json(document: Json, status = 200): Response {
  return new Response(jsonText(document), { status, headers: { "content-type": JSON_TYPE } });
}

function text(body: BodyInit, type: string, status = 200): Response {
  return new Response(body, { status, headers: { "content-type": type } });
}

function unique(keys: Uint8Array[]): Uint8Array[] {
  return keys.sort(compareBytes).filter((key, i) =>
    i === 0 || compareBytes(key, keys[i - 1]) !== 0
  );
}
