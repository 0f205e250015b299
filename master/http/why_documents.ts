/** `GET /v1/why` and `GET /v1/why-miss`: causes, in words. */
import { LifeEvent, MISS_CAUSES, type MissCause } from "../core/life_log.ts";
import type { WhyKey, WhyMiss } from "./answers.ts";
import type { WindowName } from "./hit_stats.ts";
import type { Json } from "./json_text.ts";

/** Names of {@linkcode LifeEvent}, by its values. */
export const EVENT_NAMES: readonly string[] = Object.keys(LifeEvent).map((name) =>
  name.toLowerCase()
);

const ANSWERS: Record<MissCause, string> = {
  never_stored: "It was never stored, or its end is longer ago than what is remembered.",
  evicted: "It was evicted to make room.",
  removed: "It was removed.",
  owner_expired: "The client that held it was silent for longer than --client_ttl.",
  owner_unmounted: "The client that held it took its memory back.",
  write_failed: "Its writer gave up, or was not heard of again, before it could be read.",
  owner_away: "The client that holds it has not come back since the master was restarted.",
  lost: "Nothing was left of it.",
};

/** The answer about one key. */
export function whyDocument(key: Uint8Array, { detail, readable, life, remembered }: WhyKey): Json {
  const missing = detail === null || life.cause !== null;
  const state = readable ? "ready" : missing ? "missing" : "not_ready";
  return {
    key: new TextDecoder().decode(key),
    state,
    cause: life.cause,
    answer: answerOf(state, life.cause),
    now: detail && {
      ...{ bytes: detail.size, client: detail.client, put_ms: detail.sinceMs },
      last_used_ms: Math.round(detail.lastUsedMs),
      lease_until_ms: Math.round(detail.leaseUntilMs),
      soft_pin_until_ms: Math.round(detail.softPinUntilMs),
      hard_pinned: detail.hardPinned,
      ...{ replacing: detail.replacing, transferring: detail.transferring },
      ...{ offloading: detail.offloading, replicas: detail.replicas.length },
    },
    events: life.events.map(({ event, at, since, inUseUntil, size }) => ({
      ...{ event: EVENT_NAMES[event], at_s: at, put_s: since },
      ...{ in_use_until_s: inUseUntil, bytes: size },
    })),
    remembered_events: remembered,
  };
}

function answerOf(state: string, cause: MissCause | null): string {
  if (state === "ready") return "It can be read.";
  return cause === null ? "It is being written, and cannot be read yet." : ANSWERS[cause];
}

const ADVICE: Record<MissCause | "not_ready", string> = {
  never_stored:
    "Most missed keys were never stored here: check that writers and readers build the " +
    "same keys (model, tenant, block size, hash seed), and that puts succeed.",
  evicted:
    "Most missed keys had been evicted: add memory or a disk tier, or pin what is read again.",
  removed: "Most missed keys had been removed by a call: look for clients that remove too early.",
  owner_expired:
    "Most missed keys went with silent clients: check these processes and the network, " +
    "or raise --client_ttl.",
  owner_unmounted:
    "Most missed keys went with segments that were unmounted: drain a node before it " +
    "leaves.",
  write_failed: "Most missed keys were never completed: look for errors of writers.",
  owner_away: "Most missed keys are held by clients that have not come back since the restart.",
  lost: "Most missed keys lost their last replica: write more than one.",
  not_ready: "Most misses came before the write was over: readers ask too early.",
};

/** The answer about the misses of a window. */
export function whyMissDocument(last: WindowName, answer: WhyMiss): Json {
  const sum = (tiers: readonly string[] | null) =>
    answer.counts.reduce(
      (total, { tier, count }) => total + (tiers === null || tiers.includes(tier) ? count : 0),
      0,
    );
  const notReady = sum(["not_ready"]);
  const misses = sum(["miss", "not_ready"]);
  const causes: Record<MissCause | "not_ready", number> = {
    ...Object.fromEntries(MISS_CAUSES.map((cause, i) => [cause, answer.causes[i]])),
    not_ready: notReady,
  } as Record<MissCause | "not_ready", number>;
  const [worst, most] = Object.entries(causes).reduce((a, b) => b[1] > a[1] ? b : a);
  return {
    ...{ last, from_ms: Math.round(answer.fromMs), to_ms: Math.round(answer.toMs) },
    ...{ lookups: sum(null), misses },
    explained: Object.values(causes).reduce((total, count) => total + count, 0),
    causes,
    advice: most === 0 ? "Nothing was missed." : ADVICE[worst as keyof typeof ADVICE],
  };
}
