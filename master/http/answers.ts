/** What routers and operators ask of the thread that owns the core; a part of `AdminCore`. */
import type { KeyDetail } from "../core/inspect.ts";
import type { KeyLife } from "../core/lives.ts";
import type { ConfigChanges, ShownFlag } from "../live_config.ts";
import type { LookupWindow } from "../core/lookups.ts";
import type { StoreHealth } from "../core/store_health.ts";
import type { KeyPlaces, PackedKeys } from "../core/key_places.ts";

/** Lookups of a window, in Unix milliseconds. */
export interface HitStats extends LookupWindow {
  /** Names by the indices in the counts. */
  tenants: string[];
  models: string[];
}

/** A key's present state and what is known of its life. */
export interface WhyKey {
  detail: KeyDetail | null;
  readable: boolean;
  life: KeyLife;
  /** Events that are remembered of all keys; 0 = none. */
  remembered: number;
}

/** Misses of a window. */
export interface WhyMiss extends HitStats {
  /** How often each of `MISS_CAUSES` was found; what came too fast is only among the counts. */
  causes: number[];
}

export interface AnswersCore {
  /**
   * Where keys of a tenant are; `touch` takes leases and counts, as a read would.
   * TENANT_NOT_REGISTERED.
   */
  keyPlaces(tenant: string, keys: PackedKeys, touch: boolean): KeyPlaces;

  /**
   * What became of the lookups of at least the last `windowMs`; `labelled` tells models and layers
   * apart.
   */
  hitStats(windowMs: number, labelled: boolean): HitStats;

  /** What is known of a key. TENANT_NOT_REGISTERED. */
  why(tenant: string, key: Uint8Array): WhyKey;

  /**
   * Causes of the misses of at least the last `windowMs`, of a tenant or of all (`null`).
   * UNAVAILABLE_IN_CURRENT_MODE, TENANT_NOT_REGISTERED.
   */
  whyMiss(tenant: string | null, windowMs: number): WhyMiss;

  /** What pings and clients say of every store. */
  storeHealth(): StoreHealth[];

  /** The settings in force. */
  config(): Record<string, ShownFlag>;

  /** Changes settings, all or none; `keep` = they must be fit for a later start. INVALID_PARAMS. */
  changeConfig(changes: ConfigChanges, keep: boolean): Record<string, ShownFlag>;
}

/** Names of the calls, for the protocol between the threads. */
export const ANSWER_METHODS = [
  "keyPlaces",
  "hitStats",
  "why",
  "whyMiss",
  "storeHealth",
  "config",
  "changeConfig",
] as const satisfies readonly (keyof AnswersCore)[];
