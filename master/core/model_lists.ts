import type { KeyLabels } from "./key_labels.ts";
import { NameTable } from "./name_table.ts";

/** In a list it stands for keys that do not tell their model. */
export const UNKNOWN_MODEL = "unknown";
/** Longest list. */
export const MAX_LISTED_MODELS = 1024;

interface ModelList {
  readonly names: readonly string[];
  readonly table: NameTable;
  readonly hasUnknown: boolean;
}

/** The models whose keys tenants may write. */
export class ModelLists {
  readonly #labels: KeyLabels;
  readonly #lists: (ModelList | undefined)[] = [];
  #count = 0;

  constructor(labels: KeyLabels) {
    this.#labels = labels;
  }

  /** Whether somebody may write nothing where keys do not tell their model. */
  get needFormat(): boolean {
    return this.#lists.some((list) => list !== undefined && !list.hasUnknown);
  }

  /** Gives a tenant its list, `null` = it may write everything. */
  set(tenant: number, names: readonly string[] | null): void {
    if (names === null) {
      delete this.#lists[tenant];
    } else {
      const table = new NameTable();
      for (const name of new Set(names)) {
        const bytes = new TextEncoder().encode(name);
        table.add(bytes, 0, bytes.length);
      }
      this.#lists[tenant] = { names, table, hasUnknown: names.includes(UNKNOWN_MODEL) };
    }
    this.#count = this.#lists.filter((list) => list !== undefined).length;
  }

  /** The list as given, `null` = there is none. */
  names(tenant: number): readonly string[] | null {
    return this.#lists[tenant]?.names ?? null;
  }

  /** Whether a tenant may write a key: its model is in the list, by the name in the key or its own. */
  mayWrite(tenant: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#count === 0) return true;
    const list = this.#lists[tenant];
    if (list === undefined) return true;
    const { modelStart, modelEnd } = this.#labels.find(bytes, start, end);
    if (modelStart < 0) return list.hasUnknown;
    if (list.table.find(bytes, modelStart, modelEnd) >= 0) return true;
    const aliased = this.#labels.aliased(bytes, modelStart, modelEnd);
    return aliased !== null && list.table.find(aliased, 0, aliased.length) >= 0;
  }
}
