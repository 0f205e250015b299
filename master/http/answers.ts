/** What routers and operators ask of the thread that owns the core; a part of `AdminCore`. */
import type { KeyPlaces, PackedKeys } from "../core/key_places.ts";

export interface AnswersCore {
  /**
   * Where keys of a tenant are; `touch` takes leases and counts, as a read would.
   * TENANT_NOT_REGISTERED.
   */
  keyPlaces(tenant: string, keys: PackedKeys, touch: boolean): KeyPlaces;
}

/** Names of the calls, for the protocol between the threads. */
export const ANSWER_METHODS = ["keyPlaces"] as const satisfies readonly (keyof AnswersCore)[];
