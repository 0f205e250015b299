import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { MasterCore } from "./core/core.ts";
import type { KeyPlaces, PackedKeys } from "./core/key_places.ts";
import { MAX_COUNTED_TENANTS } from "./core/lookups.ts";
import type { StoreHealth } from "./core/store_health.ts";
import { NO_TENANT } from "./core/tenants.ts";
import { FlagError } from "./flag_layers.ts";
import type { ConfigChanges, LiveConfig, ShownFlag } from "./live_config.ts";
import type { AnswersCore, HitStats, WhyKey, WhyMiss } from "./http/answers.ts";

export interface AnswerCallsOptions {
  core: MasterCore;
  /** Milliseconds, monotonic. */
  clock: () => number;
  live: LiveConfig;
}

const nothing = { begin() {}, checksum() {}, memory() {}, disk() {}, localDisk() {} };

/** Answers routers and operators, in the thread that owns the core. */
export class AnswerCalls implements AnswersCore {
  readonly #core: MasterCore;
  readonly #clock: () => number;
  readonly #live: LiveConfig;

  constructor({ core, clock, live }: AnswerCallsOptions) {
    this.#core = core;
    this.#clock = clock;
    this.#live = live;
  }

  keyPlaces(tenant: string, keys: PackedKeys, touch: boolean): KeyPlaces {
    const core = this.#core;
    const nowMs = this.#clock();
    const index = this.#tenant(tenant);
    if (touch) {
      let start = 0;
      for (const end of keys.ends) {
        core.getReplicaList(index, keys.bytes, start, end, nowMs, nothing);
        start = end;
      }
    }
    return core.inspection.keyPlaces(index, keys, nowMs);
  }

  hitStats(windowMs: number, labelled: boolean): HitStats {
    const { inspection } = this.#core;
    return {
      ...inspection.lookups(windowMs, labelled, this.#clock()),
      ...{ tenants: inspection.tenantNames(), models: inspection.modelNames() },
    };
  }

  why(tenant: string, key: Uint8Array): WhyKey {
    const { inspection } = this.#core;
    const index = this.#tenant(tenant);
    return {
      detail: inspection.keyDetail(index, key),
      readable: (inspection.peekKey(index, key) ?? []).length > 0,
      life: inspection.keyLife(index, key),
      remembered: inspection.lifeEvents,
    };
  }

  whyMiss(tenant: string | null, windowMs: number): WhyMiss {
    const { inspection } = this.#core;
    if (inspection.lifeEvents === 0) {
      const message = "Cannot explain misses: --life_events=0; allowed: 1 or more";
      throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, message);
    }
    const index = tenant === null ? -1 : this.#tenant(tenant);
    if (index >= MAX_COUNTED_TENANTS) {
      const message = `tenant "${tenant}": only the first ${MAX_COUNTED_TENANTS} are counted`;
      throw new StoreError(ErrorCode.NOT_SUPPORTED, message);
    }
    const stats = this.hitStats(windowMs, false);
    const counts = stats.counts.filter((count) => index < 0 || count.tenant === index);
    const causes = inspection.missCauses(index, windowMs, this.#clock());
    return { ...stats, counts, causes };
  }

  storeHealth(): StoreHealth[] {
    return this.#core.inspection.storeHealth();
  }

  config(): Record<string, ShownFlag> {
    return this.#live.shown();
  }

  changeConfig(changes: ConfigChanges, keep: boolean): Record<string, ShownFlag> {
    try {
      this.#live.change(changes, keep);
    } catch (error) {
      if (!(error instanceof FlagError)) throw error;
      throw new StoreError(ErrorCode.INVALID_PARAMS, error.message);
    }
    return this.#live.shown();
  }

  #tenant(name: string): number {
    const { tenants } = this.#core;
    if (!tenants.isEnabled) return 0;
    const index = tenants.find(new TextEncoder().encode(name || "default"));
    if (index !== NO_TENANT) return index;
    throw new StoreError(ErrorCode.TENANT_NOT_REGISTERED, `Cannot find tenant "${name}"`);
  }
}
