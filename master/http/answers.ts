/** What routers and operators ask of the thread that owns the core; a part of `AdminCore`. */
import type { LookupWindow } from "../core/lookups.ts";
import type { KeyPlaces, PackedKeys } from "../core/key_places.ts";

/** Lookups of a window, in Unix milliseconds. */
export interface HitStats extends LookupWindow {
  /** Names by the indices in the counts. */
  tenants: string[];
}

export interface AnswersCore {
  /**
   * Where keys of a tenant are; `touch` takes leases and counts, as a read would.
   * TENANT_NOT_REGISTERED.
   */
  keyPlaces(tenant: string, keys: PackedKeys, touch: boolean): KeyPlaces;

  /** What became of the lookups of at least the last `windowMs`. */
  hitStats(windowMs: number): HitStats;
}

/** Names of the calls, for the protocol between the threads. */
export const ANSWER_METHODS = [
  "keyPlaces",
  "hitStats",
] as const satisfies readonly (keyof AnswersCore)[];
