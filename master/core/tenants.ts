import { NameTable } from "./name_table.ts";
import { MAX_TENANTS } from "./objects.ts";

/** Stands for every tenant that is not known: nothing belongs to it. */
export const NO_TENANT = MAX_TENANTS - 1;

/** Longest name of a tenant, in bytes. */
export const MAX_TENANT_BYTES = 1024;

/**
 * Whether bytes can name a tenant: not empty, no control characters, and no `_` in front, which the
 * reference keeps for itself.
 */
export function isTenantName(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length === 0 || length > MAX_TENANT_BYTES || bytes[start] === UNDERSCORE) return false;
  for (let at = start; at < end; at++) if (bytes[at] < BLANK || bytes[at] === DELETE) return false;
  return true;
}

const UNDERSCORE = 0x5f;
const BLANK = 0x20;
const DELETE = 0x7f;

/** Tenants by name. Index 0 is the tenant "default", and that of everybody while there is only one. */
export class TenantTable {
  readonly #names = new NameTable();

  constructor() {
    const name = new TextEncoder().encode("default");
    this.add(name, 0, name.length);
  }

  get count(): number {
    return this.#names.count;
  }

  /** The index of a name, -1 when it is not known. An empty name means "default". */
  find(bytes: Uint8Array, start: number, end: number): number {
    return start === end ? 0 : this.#names.find(bytes, start, end);
  }

  /** Gives a new name the next index; -1 when there is no more room. */
  add(bytes: Uint8Array, start: number, end: number): number {
    return this.#names.count >= NO_TENANT ? -1 : this.#names.add(bytes, start, end);
  }

  /** The name as given. Do not change it. */
  name(index: number): Uint8Array {
    return this.#names.name(index);
  }
}
