/** What the admin server says about high availability, and the checkpoint that it hands out. */
import type { Hono } from "hono";
import { CHECKPOINT_PATH, LOG_HEADER, SEQUENCE_HEADER } from "../ha/checkpoint_fetch.ts";
import { readLogId } from "../ha/identity.ts";
import { listFiles } from "../journal/files.ts";
import type { AdminBackend, Readiness } from "./backend.ts";
import { type Json, jsonText } from "./json_text.ts";
import { rawParameter } from "./query.ts";

/** Adds `/ready` and the route of the checkpoint. */
export function addHaRoutes(
  // deno-lint-ignore no-explicit-any
  app: Hono<any>,
  options: { backend: AdminBackend; haPath?: string | null },
): void {
  const { backend, haPath = null } = options;
  app.get("/ready", async (c) => {
    const readiness = await backend.readiness();
    const promote = rawParameter(c.req.url, "promote") ?? "0";
    if (promote === "1" || promote === "true") {
      return answer(readinessDocument(readiness), keepsIndex(readiness));
    }
    return answer(readinessDocument(readiness), readiness.serving);
  });
  app.get(CHECKPOINT_PATH, () => haPath === null ? notThere("this master is alone") : send(haPath));
}

function keepsIndex({ serving, member }: Readiness): boolean {
  return serving || member?.obstacles.length === 0;
}

/** `/ready` with and without `promote=1`. */
function readinessDocument(readiness: Readiness): Json {
  const { member, keys, segments, serving } = readiness;
  return {
    ...{ ready: serving, role: member?.role ?? "leader", state: member?.state ?? "serving" },
    promotion_keeps_index: keepsIndex(readiness),
    obstacles: member === null ? [] : [...member.obstacles],
    ...{ keys, segments },
    leader_address: member?.leaderAddress ?? null,
    epoch: member?.epoch ?? null,
    applied_group: member?.sequence ?? null,
    log_group: member?.logSequence ?? null,
    lag_groups: member === null ? 0 : member.logSequence - member.sequence,
    checkpoint_group: member?.checkpointSequence ?? null,
    self_check: member === null || member.checked === null
      ? null
      : { group: member.checked.sequence, same_as_leader: member.checked.same },
  };
}

/** The newest checkpoint as it lies on the disk. */
async function send(haPath: string): Promise<Response> {
  const newest = listFiles(`${haPath}/journal`).checkpoints.at(-1);
  const logId = readLogId(haPath);
  if (newest === undefined || logId === null) return notThere("there is no checkpoint yet");
  const file = await Deno.open(newest.path, { read: true });
  const { size } = await file.stat();
  return new Response(file.readable, {
    headers: {
      "content-type": "application/octet-stream",
      "content-length": String(size),
      [SEQUENCE_HEADER]: String(newest.sequence),
      [LOG_HEADER]: logId,
    },
  });
}

function notThere(error: string): Response {
  return answer({ success: false, error }, false);
}

function answer(document: Json, good: boolean): Response {
  return new Response(jsonText(document), {
    status: good ? 200 : 503,
    headers: { "content-type": "application/json; charset=utf-8" },
  });
}
