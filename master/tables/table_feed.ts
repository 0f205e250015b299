import type { SmallTables, TableChange } from "../core/small_tables.ts";

/** How far a log has come; see `ReplicatedCore`. */
export interface LogPosition {
  /** The group in which the last change is, or will be. */
  readonly position: number;
  /** The last group that the log is known to hold. */
  readonly acknowledged: number;
}

/**
 * Hands the changes of the small tables on, in their order, as soon as the log holds them: nobody is
 * shown what a failover could take back. Begins with all that is there.
 */
export class TableFeed {
  readonly #log: LogPosition;
  readonly #publish: (changes: TableChange[]) => void;
  readonly #waiting: { position: number; change: TableChange }[] = [];

  constructor(tables: SmallTables, log: LogPosition, publish: (changes: TableChange[]) => void) {
    this.#log = log;
    this.#publish = publish;
    for (const change of tables.each()) this.#waiting.push({ position: 0, change });
    tables.onChange = (change) => this.#waiting.push({ position: log.position, change });
  }

  /** Whether everything has been handed on. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Hands on what may be. */
  flush(): void {
    const { acknowledged } = this.#log;
    let count = 0;
    while (this.#waiting[count]?.position <= acknowledged) count++;
    if (count > 0) this.#publish(this.#waiting.splice(0, count).map(({ change }) => change));
  }
}
