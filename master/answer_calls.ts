import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { MasterCore } from "./core/core.ts";
import type { KeyPlaces, PackedKeys } from "./core/key_places.ts";
import type { AnswersCore, HitStats } from "./http/answers.ts";

export interface AnswerCallsOptions {
  core: MasterCore;
  /** Milliseconds, monotonic. */
  clock: () => number;
}

const nothing = { begin() {}, memory() {}, disk() {}, localDisk() {} };

/** Answers routers and operators, in the thread that owns the core. */
export class AnswerCalls implements AnswersCore {
  readonly #core: MasterCore;
  readonly #clock: () => number;

  constructor({ core, clock }: AnswerCallsOptions) {
    this.#core = core;
    this.#clock = clock;
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

  hitStats(windowMs: number): HitStats {
    const { inspection } = this.#core;
    return { ...inspection.lookups(windowMs, this.#clock()), tenants: inspection.tenantNames() };
  }

  #tenant(name: string): number {
    const bytes = new TextEncoder().encode(name);
    const index = this.#core.internTenant(bytes, 0, bytes.length);
    if (index >= 0) return index;
    throw new StoreError(ErrorCode.TENANT_NOT_REGISTERED, `Cannot find tenant "${name}"`);
  }
}
