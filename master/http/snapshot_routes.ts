/** Snapshots over HTTP: making one, listing them, and the index itself for a backup elsewhere. */
import type { Context, Hono } from "hono";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { Listed } from "../backup/catalog.ts";
import { indexResponse } from "../backup/index_stream.ts";
import { ObjectStoreError } from "../backup/object_store.ts";
import { openPlace, type SnapshotPlace } from "../backup/places.ts";
import { errorDocument } from "./admin_json.ts";
import type { AdminBackend } from "./backend.ts";
import { type Json, jsonText } from "./json_text.ts";
import type { Peer } from "./request_guard.ts";

/** How often an outcome is asked for. */
const POLL_MS = 50;
/** For a checkpoint of which nobody knows when it is over. */
const COPY_TIMEOUT_MS = 600_000;

export interface SnapshotRoutesOptions {
  /** `null` = there are none. */
  places: readonly SnapshotPlace[] | null;
  /** Time after which a snapshot is given up. */
  timeoutMs: number;
  clusterId: string;
  version: string;
  /** Database of the metadata documents, `null` = there is none. */
  tablesPath: string | null;
}

type AppContext = Context<{ Bindings: Peer }>;
type Handler = (c: AppContext) => Promise<Response> | Response;

/** Adds the routes; `change` lets only those through who may change something, or read every key. */
export function addSnapshotRoutes(
  app: Hono<{ Bindings: Peer }>,
  backend: AdminBackend,
  options: SnapshotRoutesOptions,
  change: (handler: Handler) => Handler,
): void {
  const { places, timeoutMs } = options;
  const list = shared(() => Promise.all((places ?? []).map(describePlace)));
  app.get("/api/v1/snapshots", async () => {
    if (places === null) return off();
    return json({ success: true, places: await list() });
  });
  app.post(
    "/api/v1/snapshots",
    change(async () => {
      const ticket = await begin(() => backend.beginSnapshot());
      if (ticket === null) return off();
      const outcome = await settled(() => backend.snapshotOutcome(ticket), 2 * timeoutMs);
      if ("failure" in outcome) return failed(outcome.failure);
      return json({ success: true, ...outcome.snapshot });
    }),
  );
  app.post(
    "/api/v1/backup",
    change(async () => {
      const ticket = await begin(() => backend.beginCopy());
      if (ticket === null) return refused("nothing outlives this master: --durability=none");
      const outcome = await settled(() => backend.copyOutcome(ticket), COPY_TIMEOUT_MS);
      if ("failure" in outcome) return failed(outcome.failure);
      return await indexResponse(outcome, options);
    }),
  );
}

/** Those who call while an answer is on its way get the same one. */
function shared<T>(call: () => Promise<T>): () => Promise<T> {
  let open: Promise<T> | null = null;
  return () => open ??= call().finally(() => open = null);
}

/** The ticket, `null` when this master does not do that. */
async function begin(call: () => Promise<number>): Promise<number | null> {
  try {
    return await call();
  } catch (error) {
    const off = error instanceof StoreError &&
      error.code === ErrorCode.UNAVAILABLE_IN_CURRENT_MODE;
    if (!off) throw error;
    return null;
  }
}

async function settled<T>(
  outcome: () => Promise<T | null>,
  timeoutMs: number,
): Promise<T | { failure: string }> {
  for (let left = timeoutMs; left > 0; left -= POLL_MS) {
    const result = await outcome();
    if (result !== null) return result;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return { failure: `it was not over after ${timeoutMs / 1000} s` };
}

async function describePlace(place: SnapshotPlace): Promise<Json> {
  using catalog = await openPlace(place);
  const { location } = catalog;
  try {
    return { location, snapshots: (await catalog.list()).map(describe) };
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    return { location, error: error.message };
  }
}

function describe(listed: Listed): Json {
  if ("trouble" in listed) return { id: listed.id, error: listed.trouble };
  const { id, createdAt, clusterId, group, keys, segments, files } = listed.manifest;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return {
    ...{ id, created_at: createdAt, cluster_id: clusterId },
    ...{ group, keys, segments, bytes },
  };
}

function off(): Response {
  return refused("snapshots are off; start the master with --enable_snapshot=true");
}

function refused(message: string): Response {
  return json(errorDocument(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, message), 409);
}

function failed(message: string): Response {
  return json(errorDocument(ErrorCode.PERSISTENT_FAIL, message), 500);
}

function json(document: Json, status = 200): Response {
  const headers = { "content-type": "application/json; charset=utf-8" };
  return new Response(jsonText(document), { status, headers });
}
