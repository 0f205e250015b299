/** Drains, rebalances and compactions over HTTP: the reference's doors for drains, ours for every job. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { AdminBackend } from "./backend.ts";
import {
  JobBodyError,
  jobDocument,
  jobStateDocument,
  readCompaction,
  readDrain,
  readRebalance,
  replicationDocument,
} from "./job_json.ts";
import { rawParameter } from "./query.ts";
import { readBody } from "./request_guard.ts";
import { type AppContext, type Handler, json, refusal, type Register } from "./route_answers.ts";

const BODY_LIMITS = { maxBytes: 1 << 20, timeoutMs: 10_000 };

/** Adds the routes. */
export function addJobRoutes(on: Register, backend: AdminBackend): void {
  const query = withJobId(async (id) => json(jobDocument(await backend.queryJob(id))));
  const cancel = withJobId(async (id) => json(jobStateDocument(await backend.cancelJob(id))));
  on(
    "drainJobs",
    withBody(async (body) => json(jobStateDocument(await backend.createDrain(readDrain(body))))),
  );
  on("queryDrainJob", query);
  on("cancelDrainJob", cancel);
  on("jobs", async () => {
    return json({ success: true, jobs: (await backend.listJobs()).map(jobDocument) });
  });
  on("replication", async () => json(replicationDocument(await backend.replication())));
  on(
    "rebalance",
    withBody(async (body) => {
      return json(jobStateDocument(await backend.createRebalance(readRebalance(body))));
    }),
  );
  on(
    "compact",
    withBody(async (body) => {
      return json(jobStateDocument(await backend.createCompaction(readCompaction(body))));
    }),
  );
  on("queryJob", query);
  on("cancelJob", cancel);
}

function withJobId(handler: (id: string) => Promise<Response>): Handler {
  return (c) => {
    const id = rawParameter(c.req.url, "job_id") ?? "";
    if (/^\d{1,20}-\d{1,20}$/.test(id)) return handler(id);
    return refusal(ErrorCode.INVALID_PARAMS, "Missing or invalid job_id");
  };
}

function withBody(handler: (body: string) => Promise<Response>): Handler {
  return async (c: AppContext): Promise<Response> => {
    const body = await readBody(c.req.raw, BODY_LIMITS);
    if (typeof body === "string") {
      return refusal(ErrorCode.INVALID_PARAMS, `Invalid JSON body: it is ${body}`);
    }
    try {
      return await handler(new TextDecoder().decode(body));
    } catch (error) {
      if (!(error instanceof JobBodyError)) throw error;
      return refusal(ErrorCode.INVALID_PARAMS, error.message);
    }
  };
}
