/** `GET /v1/stats/hits`: shares of lookups by what is known of them. */
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { ObjectDataType } from "../../proto/types.ts";
import { LookupCall, type LookupCount } from "../core/lookups.ts";
import { NO_LAYER, OTHER_LAYERS } from "../core/key_labels.ts";
import type { HitStats } from "./answers.ts";
import type { Json } from "./json_text.ts";

/** The windows that can be asked for, in milliseconds. */
export const WINDOWS = { "1m": 60_000, "5m": 300_000, "1h": 3_600_000 } as const;
export type WindowName = keyof typeof WINDOWS;

/** What the counts can be grouped by. */
export const GROUPINGS = ["tier", "tenant", "call", "data_type", "model", "layer"] as const;
export type Grouping = (typeof GROUPINGS)[number];

/** Which calls are counted. */
export const COUNTED_CALLS = ["get", "exist", "all"] as const;
export type CountedCalls = (typeof COUNTED_CALLS)[number];

export interface HitQuery {
  window: WindowName;
  by: Grouping[];
  calls: CountedCalls;
}

/** Reads the parameters; `null` = not given. `StoreError`: INVALID_PARAMS. */
export function readHitQuery(
  window: string | null,
  by: string | null,
  calls: string | null,
): HitQuery {
  const groupings = (by ?? "tier").split(",").filter((name) => name !== "");
  return {
    window: oneOf("window", window ?? "5m", Object.keys(WINDOWS) as WindowName[]),
    by: groupings.map((name) => oneOf("by", name, GROUPINGS)),
    calls: oneOf("calls", calls ?? "get", COUNTED_CALLS),
  };
}

/** Reads a parameter that is one of some words. `StoreError`: INVALID_PARAMS. */
export function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === value);
  if (found !== undefined) return found;
  const message = `${name}=${value}: allowed: ${allowed.join(", ")}`;
  throw new StoreError(ErrorCode.INVALID_PARAMS, message);
}

/** Whether models or layers are to be told apart. */
export function isLabelled({ by }: HitQuery): boolean {
  return by.includes("model") || by.includes("layer");
}

interface Group {
  names: Record<string, string>;
  lookups: number;
  hits: number;
  bytes: number;
  /** Groups that differ in the tier only. */
  peers: string;
}

/**
 * The answer. With `tier` among the groupings, `ratio` is the share of a tier in the lookups that
 * agree in everything else; without it, the share of hits. It is `null` where lookups are grouped by
 * data type, which only objects that were found have.
 */
export function hitsDocument(query: HitQuery, stats: HitStats): Json {
  const wanted = query.calls === "get" ? LookupCall.GET : LookupCall.EXIST;
  const counts = stats.counts.filter(({ call }) => query.calls === "all" || call === wanted);
  const groups = new Map<string, Group>();
  const lookupsOfPeers = new Map<string, number>();
  for (const count of counts) {
    const names = Object.fromEntries(query.by.map((by) => [by, nameOf(by, count, stats)]));
    const key = JSON.stringify(names);
    const peers = JSON.stringify({ ...names, tier: "" });
    const empty = { names, lookups: 0, hits: 0, bytes: 0, peers };
    const group = groups.get(key) ?? empty;
    groups.set(key, group);
    group.lookups += count.count;
    group.bytes += count.bytes;
    if (isHit(count)) group.hits += count.count;
    lookupsOfPeers.set(peers, (lookupsOfPeers.get(peers) ?? 0) + count.count);
  }
  const byTier = query.by.includes("tier");
  const typed = query.by.includes("data_type");
  const ratioOf = ({ lookups, hits, peers }: Group) =>
    typed ? null : byTier ? lookups / lookupsOfPeers.get(peers)! : hits / lookups;
  const sum = (of: (count: LookupCount) => number) =>
    counts.reduce((total, count) => total + of(count), 0);
  const lookups = sum(({ count }) => count);
  const hits = sum((count) => isHit(count) ? count.count : 0);
  return {
    ...{ window: query.window, from_ms: Math.round(stats.fromMs), to_ms: Math.round(stats.toMs) },
    calls: query.calls,
    lookups,
    hits,
    hit_bytes: sum(({ bytes }) => bytes),
    hit_ratio: lookups === 0 ? null : hits / lookups,
    groups: Array.from(groups.values(), (group) => ({
      ...group.names,
      ...{ lookups: group.lookups, hits: group.hits, bytes: group.bytes },
      ratio: ratioOf(group),
    })),
  };
}

function isHit({ tier }: LookupCount): boolean {
  return tier !== "miss" && tier !== "not_ready";
}

function nameOf(by: Grouping, count: LookupCount, stats: HitStats): string {
  switch (by) {
    case "tier":
      return count.tier;
    case "tenant":
      return count.tenant < 0 ? OTHERS : stats.tenants[count.tenant];
    case "call":
      return count.call === LookupCall.GET ? "get" : "exist";
    case "data_type":
      return TYPE_NAMES.get(count.dataType) ?? "unknown";
    case "model":
      return stats.models[count.model];
    case "layer":
      return layerName(count.layer);
  }
}

function layerName(layer: number): string {
  if (layer === NO_LAYER) return "unknown";
  return layer === OTHER_LAYERS ? OTHERS : String(layer);
}

const OTHERS = "(others)";

const TYPE_NAMES = new Map(
  Object.entries(ObjectDataType).map(([name, value]) => [value as number, name.toLowerCase()]),
);
