/**
 * The admin server: the reference's paths with its bodies and status codes, and ours beside them.
 *
 * Without `auth` reads are open, and calls that change something are taken from this machine only,
 * unless `insecure`. With it every call but those about health needs a key.
 */
import { Hono } from "hono";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { ProcessInfo } from "../metrics/family.ts";
import { PROMETHEUS_TEXT_TYPE, prometheusText } from "../metrics/prometheus_text.ts";
import type { MetricsSnapshot } from "../metrics/registry.ts";
import type { MasterStatus } from "../metrics/summary_line.ts";
import type { PolicyKeeper } from "../tenants/policy_file.ts";
import {
  healthDocument,
  keyDocument,
  keysDocument,
  leaderDocument,
  segmentsDocument,
  segmentStatusDocument,
} from "./admin_json.ts";
import type { AdminAuth } from "./admin_auth.ts";
import { addConfigRoutes, type ConfigRoutesOptions } from "./config_handlers.ts";
import { addAnswerRoutes } from "./answer_handlers.ts";
import { RawJson } from "./json_text.ts";
import type { AdminBackend, KeyResult } from "./backend.ts";
import { addHaRoutes } from "./ha_routes.ts";
import { addJobRoutes } from "./job_routes.ts";
import { addSnapshotRoutes, type SnapshotRoutesOptions } from "./snapshot_routes.ts";
import { keyLines } from "./key_lines.ts";
import { openApiDocument } from "./openapi.ts";
import { compareBytes, percentDecode, rawParameter, splitAtCommas } from "./query.ts";
import { isCrossSite, isLoopback, type Peer } from "./request_guard.ts";
import {
  type AppContext,
  type Handler,
  json,
  refusal,
  type Register,
  standbyAnswer,
  text,
} from "./route_answers.ts";
import type { Route } from "./route_types.ts";
import { type RouteId, ROUTES } from "./routes.ts";
import { standbyRefusal } from "./standby.ts";
import { addTenantRoutes, tenantParameter } from "./tenant_routes.ts";
import { addTenantRuleRoutes } from "./tenant_rule_routes.ts";

export interface AdminAppOptions extends ConfigRoutesOptions {
  /** Take changes from other machines, too. */
  insecure: boolean;
  /** Asks for keys, `null` = changes are taken from this machine only. */
  auth?: AdminAuth | null;
  /** Data directory of a master of a cluster; absent or `null` = it is alone. */
  haPath?: string | null;
  /** Without it there are no routes for snapshots. */
  snapshots?: SnapshotRoutesOptions;
  /** Where quotas of tenants are kept, `null` = multi-tenancy is off. */
  policies?: PolicyKeeper | null;
  processInfo: () => ProcessInfo;
  /** The summary of `/metrics/summary`. */
  summary: (current: MetricsSnapshot, status: MasterStatus) => string;
  /** Told about a request that failed for no reason of its own. */
  onFault: (error: Error) => void;
}

type App = Hono<{ Bindings: Peer }>;

const TEXT_TYPE = "text/plain; charset=utf-8";
const MAX_KEYS_PER_QUERY = 10_000;
const KEYS_PER_LOOK = 256;
const KEY_ROUTES = [
  ...["apiKeys", "createApiKey", "rotateApiKey", "deleteApiKey"] as const,
  ...["apiUsers", "changeApiUser"] as const,
];

/** Builds the app; `fetch(request, peer)` serves one request. */
export function adminApp(options: AdminAppOptions): App {
  const app: App = new Hono();
  const { auth = null } = options;
  if (auth !== null) app.use("*", auth.guard());
  const refusalOf = async (id: RouteId) => {
    // Settings that are not to be kept are those of one master.
    const refused = id === "changeConfig" ? null : await standbyRefusal(options.backend);
    return refused === null ? null : standbyAnswer(refused);
  };
  const on: Register = (id, handler) => {
    const { method, path, access }: Route = ROUTES[id];
    app.on(method.toUpperCase(), path, async (c) => {
      if (access !== "change") return await handler(c);
      return changeRefusal(c, options) ?? await refusalOf(id) ?? await handler(c);
    });
  };
  addStatusRoutes(on, options);
  addMetricsRoutes(on, options);
  addKeyRoutes(on, options);
  addSegmentRoutes(on, options);
  addChangeRoutes(on, options);
  addAnswerRoutes(on, options);
  addConfigRoutes(on, options);
  addHaRoutes(app, options);
  if (auth !== null) {
    auth.addRoutes(on);
    auth.addUserRoutes(on);
  } else for (const id of KEY_ROUTES) on(id, () => refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE));
  const { snapshots } = options;
  if (snapshots !== undefined) {
    addSnapshotRoutes(app, options.backend, snapshots, guard(options));
  }
  const served = new Set(app.routes.map(({ method, path }) => `${method} ${path}`));
  for (const { method, path, tag } of Object.values<Route>(ROUTES)) {
    const expected = tag !== "snapshots" || snapshots !== undefined;
    if (expected && !served.has(`${method.toUpperCase()} ${path}`)) {
      throw new Error(`No handler for ${method} ${path}`);
    }
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

function addStatusRoutes(on: Register, { backend, version }: AdminAppOptions): void {
  let started = false;
  on("health", async () => json(healthDocument(await backend.status())));
  on("role", async () => text((await backend.status()).role, TEXT_TYPE));
  on("haStatus", async () => text((await backend.status()).state, TEXT_TYPE));
  on("leader", async () => json(leaderDocument(await backend.status())));
  on("live", async () => {
    await backend.status();
    return json({ status: "ok" });
  });
  on("ready", async () => {
    const { serviceReady } = await backend.status();
    started ||= serviceReady;
    return readiness(serviceReady);
  });
  on("startup", async () => {
    started ||= (await backend.status()).serviceReady;
    return readiness(started);
  });
  const openApi = new RawJson(JSON.stringify(openApiDocument(ROUTES, version)));
  on("openApi", () => json(openApi));
  on("kvEvents", () =>
    json({
      ...{ enabled: false, published_batches: 0, published_events: 0 },
      ...{ dropped_events: 0, skipped_unparsed_keys: 0 },
    }));
}

function addMetricsRoutes(on: Register, { backend, processInfo, summary }: AdminAppOptions): void {
  on("metrics", async () => {
    const snapshot = await backend.metricsSnapshot();
    return text(prometheusText(snapshot, processInfo()), PROMETHEUS_TEXT_TYPE);
  });
  on("metricsSummary", async () => {
    const [snapshot, status] = await Promise.all([backend.metricsSnapshot(), backend.status()]);
    return text(summary(snapshot, status), PROMETHEUS_TEXT_TYPE);
  });
}

function addKeyRoutes(on: Register, { backend }: AdminAppOptions): void {
  on("queryKey", async (c) => {
    const key = percentDecode(rawParameter(c.req.url, "key") ?? "");
    if (key.length === 0) return refusal(ErrorCode.OBJECT_NOT_FOUND);
    return json(keyDocument(await backend.queryKey(key, tenantParameter(c.req.url))));
  });
  on("batchQueryKeys", async (c) => {
    const raw = rawParameter(c.req.url, "keys") ?? "";
    if (raw === "") {
      return json({ success: false, error: "No keys provided. Use ?keys=key1,key2,..." }, 400);
    }
    const keys = unique(splitAtCommas(percentDecode(raw, true)));
    if (keys.length > MAX_KEYS_PER_QUERY) {
      const error = `${keys.length} keys in one query; allowed: ${MAX_KEYS_PER_QUERY}`;
      return json({ success: false, error }, 413);
    }
    return json(keysDocument(keys, await peekKeys(backend, keys, tenantParameter(c.req.url))));
  });
  on("getAllKeys", async (c) => {
    return text(await keyLines(backend, tenantParameter(c.req.url)), PROMETHEUS_TEXT_TYPE);
  });
}

function addSegmentRoutes(on: Register, { backend }: AdminAppOptions): void {
  const segmentOf = (c: AppContext) =>
    new TextDecoder().decode(percentDecode(rawParameter(c.req.url, "segment") ?? ""));

  on("getAllSegments", async () => {
    const names = await backend.listSegments();
    return text(names.map((name) => `${name}\n`).join(""), PROMETHEUS_TEXT_TYPE);
  });
  on("segmentsDetail", async () => {
    return json(segmentsDocument(await backend.segmentDetails()));
  });
  on("querySegment", async (c) => {
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
  on("segmentStatus", async (c) => {
    const name = segmentOf(c);
    if (name === "") {
      return refusal(ErrorCode.INVALID_PARAMS, "Missing segment query parameter");
    }
    return json(segmentStatusDocument(name, await backend.segmentStatus(name)));
  });
}

function addChangeRoutes(on: Register, options: AdminAppOptions): void {
  const { backend } = options;
  const policies = options.policies ?? null;
  on("removeAll", async (c) => {
    const force = rawParameter(c.req.url, "force") ?? "false";
    if (!["true", "false", "1", "0"].includes(force)) {
      const message = `force=${force} is not a boolean; allowed: true, false`;
      return refusal(ErrorCode.INVALID_PARAMS, message);
    }
    const tenant = tenantParameter(c.req.url) || null;
    if (policies === null && tenant !== null && tenant !== "default") {
      return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE);
    }
    const forced = force === "true" || force === "1";
    const removed = await removeAll(backend, forced, tenant, c.req.raw.signal);
    return json({ success: true, removed_count: removed });
  });
  addJobRoutes(on, backend);
  addTenantRoutes(on, { backend, policies });
  addTenantRuleRoutes(on, { backend, policies });
}

/** Removes every object of a tenant (`null` = of all) in steps, until the peer hangs up; how many. */
async function removeAll(
  backend: AdminBackend,
  force: boolean,
  tenant: string | null,
  hungUp: AbortSignal,
): Promise<number> {
  const removal = await backend.beginRemoval(force, tenant);
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
async function peekKeys(
  backend: AdminBackend,
  keys: Uint8Array[],
  tenant: string | null,
): Promise<KeyResult[]> {
  const results: KeyResult[] = [];
  for (let at = 0; at < keys.length; at += KEYS_PER_LOOK) {
    results.push(...await backend.peekKeys(keys.slice(at, at + KEYS_PER_LOOK), tenant));
  }
  return results;
}

/** Lets those through to a handler who may change something. */
function guard(options: AdminAppOptions) {
  return (handler: Handler) => (c: AppContext) => changeRefusal(c, options) ?? handler(c);
}

/** Why a request may not change anything, or `null`. */
function changeRefusal(
  c: AppContext,
  { insecure, auth = null }: AdminAppOptions,
): Response | null {
  if (isCrossSite(c.req.raw)) {
    return refusal(ErrorCode.PERMISSION_DENIED, "changes from pages of other sites are refused");
  }
  if (auth !== null || insecure || isLoopback(c.env.host)) return null;
  const message = "changes are taken from this machine only; --insecure takes them from anywhere";
  return refusal(ErrorCode.UNAUTHENTICATED, message);
}

function readiness(ready: boolean): Response {
  return json({ status: ready ? "ok" : "unavailable" }, ready ? 200 : 503);
}

function unique(keys: Uint8Array[]): Uint8Array[] {
  return keys.sort(compareBytes).filter((key, i) =>
    i === 0 || compareBytes(key, keys[i - 1]) !== 0
  );
}
