import type { MatchSink } from "./api.ts";
import { ListingScan } from "./listing_scan.ts";
import { RemovalScan } from "./removal_scan.ts";
import type { CoreState } from "./state.ts";

/**
 * What looks at every object. Nothing is looked at here: what is returned is stepped, a bounded piece
 * at a time, until it is over. See `KeyScan` for what that means for keys that come and go meanwhile.
 */
export class ScanApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /**
   * Removes the objects of a tenant (-1 = of all) that may be removed: those whose keys match
   * `pattern`, or all (`null`). `force` overrides leases.
   */
  removal(tenant: number, pattern: Uint8Array | null, force: boolean): RemovalScan {
    return new RemovalScan(this.#state, tenant, pattern, force);
  }

  /** Describes the readable replicas of every object whose key matches, and renews the leases. */
  listing(tenant: number, pattern: Uint8Array, sink: MatchSink): ListingScan {
    return new ListingScan(this.#state, tenant, pattern, sink);
  }
}
