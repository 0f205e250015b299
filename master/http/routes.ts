/**
 * Every route of the admin server: method, path, who may call it, parameters, bodies and answers.
 * The app registers its handlers by the names of this table, `/openapi.json` is made from it.
 */
import {
  amount,
  choice,
  count,
  flag,
  json,
  list,
  mapOf,
  nullable,
  parameter,
  plain,
  record,
  refusals,
  type Route,
  routesOf,
  type Schema,
  text,
} from "./route_types.ts";
import { JobKind, JobStatus } from "../core/job_table.ts";
import { MAX_JOB_CONCURRENCY } from "../core/jobs.ts";
import { CHECKPOINT_PATH } from "../ha/checkpoint_fetch.ts";
import { ANSWER_ROUTES } from "./answer_routes.ts";

const status = routesOf("status");
const metrics = routesOf("metrics");
const keys = routesOf("keys");
const segments = routesOf("segments");
const jobs = routesOf("jobs");
const tenants = routesOf("tenants");
const apiKeys = routesOf("API keys");
const snapshots = routesOf("snapshots");
const about = routesOf("about");

const STATE = record({ status: choice("ok", "unavailable") });
const KEY = parameter("key", "The key, percent-encoded bytes.", text, true);
const SEGMENT = parameter("segment", "Name of the segment.", text, true);
const JOB = parameter("job_id", "Id of the job.", text, true);
const TENANT = parameter("tenant_id", "Name of the tenant.", text, true);
const WHOSE = parameter("tenant_id", "Name of the tenant. Default: all.");
const KEY_ID = parameter("id", "Name of the key, 12 hexadecimal digits.", text, true);
const KEY_PARTS = {
  ...{ id: text, role: text, tenant: nullable("string"), label: text },
  ...{ user: nullable("string"), disabled: flag },
  ...{ created: text, expires: nullable("string") },
};
const API_KEY = record(KEY_PARTS);
const NEW_API_KEY = record({ key: text, ...KEY_PARTS });
const API_USER = record({
  ...{ user: text, tenant: nullable("string"), disabled: flag, keys: list(text) },
});
const TENANT_QUOTA = record({
  ...{ tenant_id: text, requested_quota_bytes: count, effective_quota_bytes: count },
  ...{ charged_bytes: count, admission_closed: flag, over_quota: flag, has_explicit_policy: flag },
});
const RATE: Schema = { type: ["integer", "null"], minimum: 1 };
const MODELS: Schema = { type: ["array", "null"], items: text };
const TENANT_RULES = record({
  ...{ tenant_id: text, models: MODELS, ops_per_second: RATE, bytes_per_second: RATE },
  limited_calls: record({ ops_per_second: count, bytes_per_second: count }),
});

const BUFFERS = list(record({
  ...{ size_: count, buffer_address_: count, protocol_: text },
  transport_endpoint_: text,
}));
const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: "null" }] });
const KEY_RESULT = record({
  ok: flag,
  error: nullable("string"),
  values: orNull(BUFFERS),
  disk_values: orNull(list(record({ file_path: text, object_size: count }))),
  local_disk_values: orNull(
    list(record({ client_id: text, object_size: count, transport_endpoint: text })),
  ),
  nof_values: orNull(BUFFERS),
});
const SEGMENT_DETAIL = record({
  ...{ segment_name: text, segment_id: text, client_id: text, base_address: text },
  ...{ size_bytes: count, size_human: text, te_endpoint: text, protocol: text, status: text },
  ...{ allocator_used_bytes: count, allocator_capacity_bytes: count },
  allocator_usage_percent: amount,
});

const CONFIG = record({
  version: text,
  flags: mapOf(
    record({ value: { type: ["boolean", "number", "string"] }, source: text, live: flag }),
  ),
});

const JOB_LIMITS = {
  target_segments: list(text),
  max_concurrency: { type: "integer", minimum: 1, maximum: MAX_JOB_CONCURRENCY },
  bytes_per_second: count,
  give_up_seconds: { type: "integer", minimum: 1, maximum: 86_400 },
};
const JOB_STATE = record({
  ...{ success: flag, job_id: text, status: choice(...Object.keys(JobStatus)) },
  ...{ error_code: count, error_message: text },
});
const REPLICATION = record({
  ...{ success: flag, mode: choice("off", "observe", "enforce") },
  ...{ replicas: count, replica_bytes: count, ordered: count },
  decisions: list(record({
    ...{ time_ms: count, what: text, key: text, reads_per_second: { type: "number" } },
    ...{ bytes: count, segment: text },
  })),
});
const JOB_VIEW = record({
  ...{ success: flag, job_id: text, type: count, type_name: choice(...Object.keys(JobKind)) },
  ...{ status: count, status_name: choice(...Object.keys(JobStatus)) },
  ...{ created_at_ms_epoch: count, last_updated_at_ms_epoch: count, segments: list(text) },
  ...{ succeeded_units: count, failed_units: count, blocked_units: count, active_units: count },
  ...{ migrated_bytes: count, message: text, error_code: count, error_message: text },
  ...{ target_segments: list(text), max_concurrency: count, bytes_per_second: count },
  ...{ remaining_bytes: count, thinned_units: count, thinned_bytes: count },
  ...{ dropped_units: count, dropped_bytes: count, blocked: mapOf(count) },
  ...{ largest_free_bytes: count, automatic: flag },
});
const BEGUN = json("The job.", JOB_STATE);

export const ROUTES = {
  health: status.get("/health", "Role and state of this master.", {
    200: json(
      "The master answers.",
      record({
        ...{ status: text, role: text, ha_state: text, service_ready: flag },
        ...{ leader_address: nullable("string"), view_version: nullable("integer") },
      }),
    ),
  }),
  role: status.get("/role", "`leader` or `standby`.", { 200: plain("The role.") }),
  haStatus: status.get("/ha_status", "State in the cluster of masters.", {
    200: plain("The state."),
  }),
  leader: status.get("/leader", "Address of the leader.", {
    200: json(
      "Whether there is one, and where.",
      record({
        present: flag,
        leader_address: nullable("string"),
        view_version: nullable("integer"),
      }),
    ),
  }),
  live: status.get("/health/live", "Whether the master answers at all.", {
    200: json("It does.", STATE),
  }),
  ready: status.get("/health/ready", "Whether it serves requests.", {
    200: json("It does.", STATE),
    503: json("Not now.", STATE),
  }),
  startup: status.get("/health/startup", "Whether it has served requests since its start.", {
    200: json("It has.", STATE),
    503: json("Not yet.", STATE),
  }),
  kvEvents: status.get("/kv_events/status", "Counts of published KV events.", {
    200: json(
      "The counts.",
      record({
        ...{ enabled: flag, published_batches: count, published_events: count },
        ...{ dropped_events: count, skipped_unparsed_keys: count },
      }),
    ),
  }),

  metrics: metrics.get("/metrics", "Every metric, in Prometheus text format.", {
    200: plain("The metrics."),
  }),
  metricsSummary: metrics.get("/metrics/summary", "The summary line of the log.", {
    200: plain("The line."),
  }),

  queryKey: keys.get("/query_key", "Replicas in memory of one key; takes a lease.", {
    200: json("The replicas.", record({ success: flag, data: BUFFERS })),
    ...refusals(404),
  }, { parameters: [KEY] }),
  batchQueryKeys: keys.get("/batch_query_keys", "Replicas of up to 10,000 keys, without leases.", {
    200: json("By key.", record({ success: flag, data: mapOf(KEY_RESULT) })),
    400: json("No keys.", record({ success: flag, error: text })),
    413: json("Too many keys.", record({ success: flag, error: text })),
  }, { parameters: [parameter("keys", "Keys, separated by commas.", text, true)] }),
  getAllKeys: keys.get("/get_all_keys", "Every key, one a line.", { 200: plain("The keys.") }),
  removeAll: keys.post("/api/v1/remove_all", "Removes every object.", {
    200: json("How many went.", record({ success: flag, removed_count: count })),
    ...refusals(400, 409),
  }, {
    parameters: [
      parameter("force", "Leased objects, too.", choice("true", "false", "1", "0")),
      parameter("tenant_id", "Name of the tenant."),
    ],
  }),

  getAllSegments: segments.get("/get_all_segments", "Names of the mounted segments.", {
    200: plain("One a line."),
  }),
  segmentsDetail: segments.get("/get_segments_detail", "The mounted segments with their use.", {
    200: json(
      "The segments.",
      record({ total_segments: count, segments: list(SEGMENT_DETAIL) }),
    ),
  }),
  querySegment: segments.get("/query_segment", "Use of one segment.", {
    200: plain("Used and capacity."),
    500: plain("There is no such segment."),
  }, { parameters: [SEGMENT] }),
  segmentStatus: segments.get("/api/v1/segments/status", "Status of one segment.", {
    200: json(
      "The status.",
      record({
        ...{ success: flag, segment: text, status: count, status_name: text },
        ...{ error_code: count, error_message: text },
      }),
    ),
    ...refusals(400, 404),
  }, { parameters: [SEGMENT] }),

  drainJobs: jobs.post("/api/v1/drain_jobs", "Begins to empty segments, so that they can leave.", {
    200: BEGUN,
    ...refusals(400, 404, 409, 413),
  }, {
    body: record({}, {
      ...{ segments: list(text), client_id: text, on_no_room: choice("wait", "drop") },
      ...JOB_LIMITS,
    }),
  }),
  queryDrainJob: jobs.get("/api/v1/drain_jobs/query", "Progress of a job.", {
    200: json("The job.", JOB_VIEW),
    ...refusals(400, 404),
  }, { parameters: [JOB] }),
  cancelDrainJob: jobs.post("/api/v1/drain_jobs/cancel", "Ends a job.", {
    200: BEGUN,
    ...refusals(400, 404, 409),
  }, { parameters: [JOB] }),
  jobs: jobs.get("/api/v1/jobs", "Every job.", {
    200: json("The jobs.", record({ success: flag, jobs: list(JOB_VIEW) })),
  }),
  replication: jobs.get(
    "/v1/replication",
    "Dynamic replication: its mode, its replicas, and what it has done or would have done.",
    { 200: json("What it does.", REPLICATION) },
  ),
  rebalance: jobs.post(
    "/api/v1/jobs/rebalance",
    "Moves objects from full segments to emptier ones.",
    {
      200: BEGUN,
      ...refusals(400, 404, 409, 413),
    },
    {
      body: record({}, { threshold: { type: "number" }, ...JOB_LIMITS }),
    },
  ),
  compact: jobs.post(
    "/api/v1/jobs/compact",
    "Moves objects so that a long piece of memory becomes free.",
    {
      200: BEGUN,
      ...refusals(400, 404, 409, 413),
    },
    {
      body: record({}, { segments: list(text), largest_free_bytes: count, ...JOB_LIMITS }),
    },
  ),
  queryJob: jobs.get("/api/v1/jobs/query", "Progress of a job.", {
    200: json("The job.", JOB_VIEW),
    ...refusals(400, 404),
  }, { parameters: [JOB] }),
  cancelJob: jobs.post("/api/v1/jobs/cancel", "Ends a job.", {
    200: BEGUN,
    ...refusals(400, 404, 409),
  }, { parameters: [JOB] }),

  tenantQuotas: tenants.get("/api/v1/tenant_quotas", "Quotas of tenants and their use.", {
    200: json("One tenant, or all of them by name.", {
      anyOf: [
        record({ success: { const: true }, data: TENANT_QUOTA }),
        record({ success: { const: true }, data: list(TENANT_QUOTA) }),
      ],
    }),
    ...refusals(404, 409),
  }, { parameters: [WHOSE] }),
  setTenantQuota: tenants.put(
    "/api/v1/tenant_quotas",
    "Registers a tenant, or changes its quota.",
    {
      200: json("The tenant.", record({ success: { const: true }, data: TENANT_QUOTA })),
      ...refusals(400, 409),
    },
    {
      parameters: [TENANT],
      body: {
        type: "object",
        properties: { requested_quota_bytes: { type: "integer", minimum: 1 } },
        required: ["requested_quota_bytes"],
      },
    },
  ),
  deleteTenantQuota: tenants.delete(
    "/api/v1/tenant_quotas",
    "Ends the registration of a tenant that has no objects.",
    {
      200: json("Done.", record({ success: { const: true }, data: { const: null } })),
      ...refusals(400, 404, 409),
    },
    { parameters: [TENANT] },
  ),
  tenants: tenants.get(
    "/api/v1/tenants",
    "What registered tenants are held to besides their quotas, and how many calls that has refused.",
    {
      200: json("By name.", record({ success: { const: true }, data: list(TENANT_RULES) })),
      ...refusals(404, 409),
    },
    { parameters: [WHOSE] },
  ),
  setTenant: tenants.put(
    "/api/v1/tenants",
    "Changes what a registered tenant is held to. What is not named stays; `null` = no limit.",
    {
      200: json("The tenant.", record({ success: { const: true }, data: TENANT_RULES })),
      ...refusals(400, 404, 409, 413),
    },
    {
      parameters: [TENANT],
      body: record({}, { models: MODELS, ops_per_second: RATE, bytes_per_second: RATE }),
    },
  ),

  apiKeys: apiKeys.get("/api/v1/keys", "The API keys that the caller manages.", {
    200: json("Without their secrets.", record({ success: { const: true }, data: list(API_KEY) })),
    ...refusals(409),
  }),
  createApiKey: apiKeys.post("/api/v1/keys", "Makes an API key. Its text is shown only now.", {
    200: json("The key.", record({ success: { const: true }, data: NEW_API_KEY })),
    ...refusals(400, 409),
  }, {
    body: {
      type: "object",
      properties: {
        role: choice("admin", "operator", "tenant-admin", "client", "read-only"),
        ...{ tenant: nullable("string"), label: text, user: nullable("string") },
        expires_in_seconds: nullable("integer"),
      },
      required: ["role"],
      additionalProperties: false,
    },
  }),
  rotateApiKey: apiKeys.post(
    "/api/v1/keys/rotate",
    "Makes a key like another one, which ends after a time in which both are good.",
    {
      200: json("The new key.", record({ success: { const: true }, data: NEW_API_KEY })),
      ...refusals(400, 404, 409),
    },
    {
      parameters: [
        KEY_ID,
        parameter("grace_seconds", "How long the old key goes on. Default: 3600.", count),
      ],
    },
  ),
  deleteApiKey: apiKeys.delete("/api/v1/keys", "Takes an API key back, at once.", {
    200: json("Done.", record({ success: { const: true }, data: { const: null } })),
    ...refusals(404, 409),
  }, { parameters: [KEY_ID] }),
  apiUsers: apiKeys.get("/api/v1/users", "The users whose keys the caller manages.", {
    200: json(
      "With the ids of their keys.",
      record({
        ...{ success: { const: true }, data: list(API_USER) },
      }),
    ),
    ...refusals(409),
  }),
  changeApiUser: apiKeys.patch(
    "/api/v1/users",
    "Disables a user, which ends all its keys at once, or enables it, which brings them back.",
    {
      200: json("The user.", record({ success: { const: true }, data: API_USER })),
      ...refusals(400, 404, 409),
    },
    {
      parameters: [
        parameter("user", "Name of the user.", text, true),
        parameter("tenant_id", "Whose user it is. Default: that of no tenant."),
      ],
      body: record({ disabled: flag }),
    },
  ),

  config: about.get("/v1/config", "Every flag with its value and where the value came from.", {
    200: json("The flags.", CONFIG),
  }),
  changeConfig: about.patch(
    "/v1/config",
    "Changes flags while the master runs, all or none; `null` = back to the value of the start.",
    { 200: json("The flags.", CONFIG), ...refusals(400, 409, 413) },
    {
      parameters: [
        parameter("persist", "Keep the changes for later starts, too.", choice("true", "false")),
      ],
      body: mapOf({ type: ["string", "number", "boolean", "null"] }),
    },
  ),

  openApi: about.get("/openapi.json", "This document.", {
    200: json("OpenAPI 3.1.", { type: "object" }),
  }),

  readyToServe: status.get("/ready", "Whether it serves, or could be promoted without loss.", {
    200: json("It does, or could.", { type: "object" }),
    503: json("Not now.", { type: "object" }),
  }, { parameters: [parameter("promote", "Ask about a promotion.", choice("0", "1", "true"))] }),
  checkpoint: status.get(CHECKPOINT_PATH, "The newest checkpoint, for a standby.", {
    200: { description: "The file.", type: "application/octet-stream", schema: true },
    503: json("There is none.", record({ success: flag, error: text })),
  }),

  snapshots: snapshots.get("/api/v1/snapshots", "Places of snapshots, and what is there.", {
    200: json("By place.", { type: "object" }),
    ...refusals(409),
  }),
  makeSnapshot: snapshots.post("/api/v1/snapshots", "Makes a snapshot now.", {
    200: json("What was made.", { type: "object" }),
    ...refusals(409),
  }),
  backup: snapshots.post("/api/v1/backup", "The whole index, for a backup elsewhere.", {
    200: { description: "The index.", type: "application/octet-stream", schema: true },
    ...refusals(409),
  }),

  ...ANSWER_ROUTES,
} as const satisfies Record<string, Route>;

/** A name in {@linkcode ROUTES}. */
export type RouteId = keyof typeof ROUTES;
