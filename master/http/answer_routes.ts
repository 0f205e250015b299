/** The routes that answer routers and operators; a part of the table in `routes.ts`. */
import {
  amount,
  choice,
  count,
  flag,
  json,
  list,
  nullable,
  parameter,
  ratio,
  record,
  refusals,
  type Route,
  routesOf,
  text,
} from "./route_types.ts";
import { COUNTED_CALLS, GROUPINGS, WINDOWS } from "./hit_stats.ts";
import { MISS_CAUSES } from "../core/life_log.ts";
import { EVENT_NAMES } from "./why_documents.ts";
import { STORE_STATES } from "./store_document.ts";
import { MAX_ROUTED_KEYS } from "./route_request.ts";

const answers = routesOf("answers");

const TIER = choice("memory", "local_disk", "disk");
const REPLICA = record({
  segment: nullable("string"),
  host: nullable("string"),
  endpoint: nullable("string"),
  tier: TIER,
  bytes: count,
});

export const ANSWER_ROUTES = {
  route: answers.ask(
    "/v1/route",
    "Where keys are, and how much of their beginning each host has. Takes no lease and counts " +
      "nothing, unless `touch`.",
    {
      200: json(
        "In the order of the request.",
        record({
          tenant: text,
          prefix_keys: count,
          keys: list(record({
            state: choice("ready", "not_ready", "missing"),
            lease_left_ms: amount,
            replicas: list(REPLICA),
          })),
          hosts: list(record({ host: text, prefix_keys: count, prefix_bytes: count, keys: count })),
        }),
      ),
      ...refusals(400, 404, 413),
    },
    {
      body: record({ keys: { ...list(text) as object, maxItems: MAX_ROUTED_KEYS } }, {
        tenant: text,
        encoding: choice("text", "base64"),
        touch: flag,
      }),
    },
  ),
  hitStats: answers.get(
    "/v1/stats/hits",
    "What became of the lookups of a window: by tier of the first readable replica, tenant, call, " +
      "data type, and by the model and layer that keys tell (`--key_format`).",
    {
      200: json(
        "The shares. The window is up to 5 s longer than asked for, 60 s with `1h`.",
        record({
          window: choice(...Object.keys(WINDOWS)),
          ...{ from_ms: count, to_ms: count, calls: choice(...COUNTED_CALLS) },
          ...{ lookups: count, hits: count, hit_bytes: count, hit_ratio: ratio },
          groups: list(record(
            { lookups: count, hits: count, bytes: count, ratio },
            Object.fromEntries(GROUPINGS.map((name) => [name, text])),
          )),
        }),
      ),
      ...refusals(400),
    },
    {
      parameters: [
        parameter("window", "Default: 5m.", choice(...Object.keys(WINDOWS))),
        parameter("by", `Separated by commas: ${GROUPINGS.join(", ")}. Default: tier.`),
        parameter("calls", "Which calls are counted. Default: get.", choice(...COUNTED_CALLS)),
      ],
    },
  ),
  storeHealth: answers.get(
    "/v1/health/stores",
    "Whether the stores work, as their pings and the clients that use them say. A store that most of " +
      "its users suspect is avoided: new objects go elsewhere while there is room.",
    {
      200: json(
        "In the order of the mounts. `users` and `votes` are of the last 10 s.",
        record({
          stores: list(record({
            ...{ endpoint: text, host: nullable("string"), client: text, segments: list(text) },
            state: choice(...STORE_STATES),
            ...{ users: count, votes: count },
            ...{ suspected_for_ms: nullable("integer"), avoided_for_ms: nullable("integer") },
          })),
        }),
      ),
    },
  ),
  why: answers.get(
    "/v1/why",
    "What is known of a key: its present state, what happened to it, and why it is not there.",
    {
      200: json(
        "The newest event first. Events before a restart are not known.",
        record({
          key: text,
          state: choice("ready", "not_ready", "missing"),
          cause: choice(...MISS_CAUSES, null),
          answer: text,
          now: {
            anyOf: [
              record({
                ...{ bytes: count, client: text, put_ms: count, last_used_ms: count },
                ...{ lease_until_ms: count, soft_pin_until_ms: count, hard_pinned: flag },
                ...{ replacing: flag, transferring: flag, offloading: flag, replicas: count },
              }),
              { type: "null" },
            ],
          },
          events: list(
            record({
              ...{ event: choice(...EVENT_NAMES), at_s: count, put_s: count },
              ...{ in_use_until_s: count, bytes: count },
            }),
          ),
          remembered_events: count,
        }),
      ),
      ...refusals(400, 404),
    },
    {
      parameters: [
        parameter("key", "The key, percent-encoded bytes.", text, true),
        parameter("tenant", "Name of the tenant. Default: default."),
      ],
    },
  ),
  whyMiss: answers.get(
    "/v1/why-miss",
    "Why lookups (gets and exists) found nothing to read, with a line of advice.",
    {
      200: json(
        "`explained` is less than `misses` when more than 8192 came between two ticks.",
        record({
          last: choice(...Object.keys(WINDOWS)),
          ...{ from_ms: count, to_ms: count, lookups: count, misses: count, explained: count },
          causes: record(
            Object.fromEntries([...MISS_CAUSES, "not_ready"].map((name) => [name, count])),
          ),
          advice: text,
        }),
      ),
      ...refusals(400, 404, 409, 501),
    },
    {
      parameters: [
        parameter("last", "Default: 5m.", choice(...Object.keys(WINDOWS))),
        parameter("tenant", "Name of the tenant. Default: all together."),
      ],
    },
  ),
} as const satisfies Record<string, Route>;
