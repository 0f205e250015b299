/** `GET /v1/health/stores`: which stores are in doubt, and who says so. */
import type { StoreHealth } from "../core/store_health.ts";
import type { Json } from "./json_text.ts";

/**
 * `avoided`: new objects go elsewhere while there is room. `suspected`: some client says so. `silent`:
 * the master has not heard of the owner.
 */
export const STORE_STATES = ["ok", "suspected", "avoided", "silent"] as const;

export function storesDocument(stores: readonly StoreHealth[]): Json {
  return {
    stores: stores.map((store) => ({
      endpoint: store.endpoint,
      host: store.host === "" ? null : store.host,
      client: store.owner,
      segments: store.segments,
      state: stateOf(store),
      users: store.users,
      votes: store.votes,
      suspected_for_ms: store.suspectedForMs,
      avoided_for_ms: store.avoidedForMs,
    })),
  };
}

function stateOf({ silent, votes, avoidedForMs }: StoreHealth): (typeof STORE_STATES)[number] {
  if (silent) return "silent";
  if (avoidedForMs !== null) return "avoided";
  return votes > 0 ? "suspected" : "ok";
}
