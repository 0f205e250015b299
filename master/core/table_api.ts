import { ErrorCode } from "../../proto/error_code.ts";
import { type SmallTable, type SmallTables, type TableEntry } from "./small_tables.ts";
import type { CoreState } from "./state.ts";
import { setEntry } from "./table_mutations.ts";

/** The small tables of a cluster, which are among the facts. */
export class TableApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** What is kept, to look at. */
  get view(): SmallTables {
    return this.#state.tables;
  }

  /**
   * Sets or (`null`) drops an entry. INVALID_PARAMS for a quota or rules of a tenant that is not
   * known, or that are none; PERSISTENT_FAIL.
   */
  set(table: SmallTable, key: Uint8Array, value: Uint8Array | null): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    return setEntry(this.#state, table, key, value) ? ErrorCode.OK : ErrorCode.INVALID_PARAMS;
  }

  /** Drops every entry for which `isOver` holds. */
  drop(isOver: (entry: TableEntry) => boolean): void {
    for (const entry of Array.from(this.view.each()).filter(isOver)) {
      setEntry(this.#state, entry.table, entry.key, null);
    }
  }
}
