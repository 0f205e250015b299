/** The answer of `POST /v1/route`. */
import { type KeyPlaces, KeyState } from "../core/key_places.ts";
import { type Json, jsonText, RawJson } from "./json_text.ts";

const STATE_NAMES = { [KeyState.MISSING]: "missing", [KeyState.NOT_READY]: "not_ready" } as const;

/** What one host has of the keys. */
class HostShare {
  keys = 0;
  /** Keys from the first one on without a gap, and their bytes. */
  prefixKeys = 0;
  prefixBytes = 0;
  #last = -1;

  /** Counts key `index` once, however many replicas of it the host has. */
  add(index: number, bytes: number): void {
    if (this.#last === index) return;
    this.#last = index;
    this.keys++;
    if (this.prefixKeys !== index) return;
    this.prefixKeys++;
    this.prefixBytes += bytes;
  }
}

/**
 * Keys in the order of the request; hosts with the longest prefix first. What lies in the shared
 * file system belongs to no host and counts in the overall prefix only.
 */
export function routeDocument(tenant: string, found: KeyPlaces): Json {
  const { places, states, leaseLeft, ends, placeOf, sizes } = found;
  const shares = new Map<string, HostShare>();
  const shareOf = places.map(({ host }) => {
    if (host === null) return null;
    const share = shares.get(host) ?? new HostShare();
    shares.set(host, share);
    return share;
  });
  const heads = places.map(({ segment, host, endpoint, tier }) =>
    jsonText({ segment, host, endpoint, tier }).slice(0, -1)
  );
  let prefix = 0;
  let replica = 0;
  const keys: string[] = [];
  for (let i = 0; i < states.length; i++) {
    const replicas: string[] = [];
    for (; replica < ends[i]; replica++) {
      const place = placeOf[replica];
      replicas.push(`${heads[place]},"bytes":${sizes[replica]}}`);
      shareOf[place]?.add(i, sizes[replica]);
    }
    const ready = states[i] === KeyState.READY;
    if (ready && prefix === i) prefix++;
    const state = ready ? "ready" : STATE_NAMES[states[i] as keyof typeof STATE_NAMES];
    const left = Math.round(leaseLeft[i]);
    keys.push(`{"state":"${state}","lease_left_ms":${left},"replicas":[${replicas.join(",")}]}`);
  }
  const hosts = Array.from(shares, ([host, share]) => ({
    host,
    prefix_keys: share.prefixKeys,
    prefix_bytes: share.prefixBytes,
    keys: share.keys,
  }));
  hosts.sort((a, b) => b.prefix_keys - a.prefix_keys || b.keys - a.keys);
  return { tenant, prefix_keys: prefix, keys: new RawJson(`[${keys.join(",")}]`), hosts };
}
