/** Drains and rebalances over HTTP: the reference's doors for drains, ours for every job. */
import type { Context, Hono } from "hono";
import { ErrorCode } from "../../proto/error_code.ts";
import type { AdminBackend } from "./backend.ts";
import {
  JobBodyError,
  jobDocument,
  jobStateDocument,
  readDrain,
  readRebalance,
} from "./job_json.ts";
import type { Json } from "./json_text.ts";
import { rawParameter } from "./query.ts";
import { type Peer, readBody } from "./request_guard.ts";

const BODY_LIMITS = { maxBytes: 1 << 20, timeoutMs: 10_000 };

type AppContext = Context<{ Bindings: Peer }>;
type Handler = (c: AppContext) => Promise<Response> | Response;

export interface JobRoutesOptions {
  backend: AdminBackend;
  /** Lets only those through who may change something. */
  change: (handler: Handler) => Handler;
  json: (document: Json, status?: number) => Response;
  refusal: (code: number, message?: string) => Response;
}

/** Adds the routes. */
export function addJobRoutes(app: Hono<{ Bindings: Peer }>, options: JobRoutesOptions): void {
  const { backend, change, json } = options;
  const query = withJobId(options, async (id) => json(jobDocument(await backend.queryJob(id))));
  const cancel = change(
    withJobId(options, async (id) => json(jobStateDocument(await backend.cancelJob(id)))),
  );
  const drain = withBody(options, async (body) => {
    return json(jobStateDocument(await backend.createDrain(readDrain(body))));
  });
  const rebalance = withBody(options, async (body) => {
    return json(jobStateDocument(await backend.createRebalance(readRebalance(body))));
  });
  app.post("/api/v1/drain_jobs", change(drain));
  app.get("/api/v1/drain_jobs/query", query);
  app.post("/api/v1/drain_jobs/cancel", cancel);
  app.get("/api/v1/jobs", async () => {
    return json({ success: true, jobs: (await backend.listJobs()).map(jobDocument) });
  });
  app.post("/api/v1/jobs/rebalance", change(rebalance));
  app.get("/api/v1/jobs/query", query);
  app.post("/api/v1/jobs/cancel", cancel);
}

function withJobId({ refusal }: JobRoutesOptions, handler: (id: string) => Promise<Response>) {
  return (c: AppContext): Promise<Response> | Response => {
    const id = rawParameter(c.req.url, "job_id") ?? "";
    if (/^\d{1,20}-\d{1,20}$/.test(id)) return handler(id);
    return refusal(ErrorCode.INVALID_PARAMS, "Missing or invalid job_id");
  };
}

function withBody({ refusal }: JobRoutesOptions, handler: (body: string) => Promise<Response>) {
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
