/** The routes that answer routers and operators; a part of the table in `routes.ts`. */
import {
  amount,
  choice,
  count,
  flag,
  json,
  list,
  nullable,
  record,
  refusals,
  type Route,
  routesOf,
  text,
} from "./route_types.ts";
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
} as const satisfies Record<string, Route>;
