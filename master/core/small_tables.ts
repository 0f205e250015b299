/** Small tables that a cluster shares beside its objects: names and bytes that the core keeps. */

/** Which table; numbers are among the facts. */
export const SmallTable = {
  /** What has been taken in from the first master's own files. */
  MARK: 0,
  /** API keys, by id. */
  KEY: 1,
  /** Quotas, by the name of the tenant: bytes as a number of 64 bits, little endian. */
  QUOTA: 2,
  /** Documents of the HTTP metadata server. */
  DOCUMENT: 3,
  /** Changed settings, by the name of the flag. */
  SETTING: 4,
  /** What tenants are held to besides, by their names: JSON, see `tenant_rules.ts`. */
  RULES: 5,
} as const;
export type SmallTable = (typeof SmallTable)[keyof typeof SmallTable];

/** One entry that was set, or (`null`) dropped. Structured-cloneable. */
export interface TableChange {
  readonly table: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** An entry that is there. */
export interface TableEntry extends TableChange {
  readonly value: Uint8Array;
}

/** The tables of one core. A lone master leaves them empty: it has files of its own for all that. */
export class SmallTables {
  readonly #tables = new Map<number, Map<string, TableEntry>>();
  /** Whether quotas and rules of tenants are kept here, as those of a cluster are. */
  shared = false;
  /** Told of every change, made here (its fact has been told then) or by facts. */
  onChange: (change: TableChange) => void = () => {};

  get(table: number, key: Uint8Array): Uint8Array | null {
    return this.#tables.get(table)?.get(textOf(key))?.value ?? null;
  }

  /** The entries of a table, or of all. */
  *each(table?: number): Iterable<TableEntry> {
    for (const [number, entries] of this.#tables) {
      if (table === undefined || table === number) yield* entries.values();
    }
  }

  /** Whether an entry is what it would be set to; `null` = it is not there. */
  holds(table: number, key: Uint8Array, value: Uint8Array | null): boolean {
    const old = this.get(table, key);
    return old === null || value === null ? old === value : isSame(old, value);
  }

  /** Sets or (`null`) drops an entry, and keeps copies of the bytes. */
  put(table: number, key: Uint8Array, value: Uint8Array | null): void {
    const name = textOf(key);
    const entries = this.#tables.get(table) ?? new Map<string, TableEntry>();
    const change = { table, key: key.slice(), value: value?.slice() ?? null };
    if (change.value === null) entries.delete(name);
    else entries.set(name, change as TableEntry);
    this.#tables.set(table, entries);
    this.onChange(change);
  }
}

/** One character per byte, so that any key is a text. */
export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
