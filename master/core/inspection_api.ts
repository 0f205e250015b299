import type { ReplicaDescriptor } from "../../proto/types.ts";
import { describeReplication, type ReplicationView } from "./hot_view.ts";
import * as inspect from "./inspect.ts";
import { type KeyPlaces, keyPlaces, type PackedKeys } from "./key_places.ts";
import { MISS_CAUSES } from "./life_log.ts";
import { type KeyLife, keyLife } from "./lives.ts";
import { type LookupWindow, MAX_COUNTED_TENANTS } from "./lookups.ts";
import type { CoreState } from "./state.ts";
import { describeStores, type StoreHealth } from "./store_health.ts";

/** Read-only views for operators. */
export class InspectionApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** Keys in pages, see {@linkcode inspect.listKeys}. */
  listKeys(cursor: number, maxKeys: number, maxBytes: number, tenant = -1): inspect.KeyPage {
    return inspect.listKeys(this.#state, cursor, maxKeys, maxBytes, tenant);
  }

  /** The keys of a tenant that would be evicted first. */
  leastRecentlyUsed(maxKeys: number, tenant = 0): inspect.KeyPage {
    return inspect.leastRecentlyUsed(this.#state, maxKeys, tenant);
  }

  /** What is known of a key, or `null`. */
  keyDetail(tenant: number, key: Uint8Array): inspect.KeyDetail | null {
    return inspect.keyDetail(this.#state, tenant, key);
  }

  /** The readable replicas without a lease; empty = not ready, `null` = no such key. */
  peekKey(tenant: number, key: Uint8Array): ReplicaDescriptor[] | null {
    return inspect.peekKey(this.#state, tenant, key);
  }

  /** Where keys are, without leases and without counting. */
  keyPlaces(tenant: number, keys: PackedKeys, nowMs: number): KeyPlaces {
    return keyPlaces(this.#state, tenant, keys, nowMs);
  }

  /**
   * What became of the lookups of at least the last `windowMs`, in Unix milliseconds; `labelled` tells
   * models and layers apart.
   */
  lookups(windowMs: number, labelled: boolean, nowMs: number): LookupWindow {
    const { lookups, config } = this.#state;
    const { fromMs, toMs, counts } = labelled
      ? lookups.labelledWindow(windowMs, nowMs)
      : lookups.window(windowMs, nowMs);
    return { fromMs: fromMs + config.epochOffsetMs, toMs: toMs + config.epochOffsetMs, counts };
  }

  /** What clients and pings say of every mounted segment. */
  storeHealth(): StoreHealth[] {
    return describeStores(this.#state);
  }

  /** What is known of the life of a key. */
  keyLife(tenant: number, key: Uint8Array): KeyLife {
    return keyLife(this.#state, tenant, key);
  }

  /** Events that are remembered at most; 0 = none. */
  get lifeEvents(): number {
    return this.#state.lives.capacity;
  }

  /** How often each of `MISS_CAUSES` was counted in the window, for a tenant or for all (-1). */
  missCauses(tenant: number, windowMs: number, nowMs: number): number[] {
    this.#state.misses.explain();
    return this.#state.lookups.causes(MISS_CAUSES.length, tenant, windowMs, nowMs);
  }

  /** Names of models by the indices in {@linkcode InspectionApi.lookups}. */
  modelNames(): string[] {
    return this.#state.labels.modelNames();
  }

  /** Names of the tenants that lookups are counted for, by their indices. */
  tenantNames(): string[] {
    const { tenants } = this.#state;
    const decoder = new TextDecoder();
    return Array.from(
      { length: Math.min(tenants.count, MAX_COUNTED_TENANTS) },
      (_, index) => decoder.decode(tenants.name(index)),
    );
  }

  /** What dynamic replication has done, or would have done. */
  replication(): ReplicationView {
    return describeReplication(this.#state);
  }

  segmentDetails(): inspect.SegmentDetail[] {
    return inspect.segmentDetails(this.#state);
  }
}
