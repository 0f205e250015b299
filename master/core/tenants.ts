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
  readonly #names: Uint8Array[] = [];
  /** Pairs of a hash and an index + 1, at most half of them in use. */
  #table = new Int32Array(32);

  constructor() {
    const name = new TextEncoder().encode("default");
    this.add(name, 0, name.length);
  }

  get count(): number {
    return this.#names.length;
  }

  /** The index of a name, -1 when it is not known. An empty name means "default". */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (start === end) return 0;
    const table = this.#table;
    const mask = table.length - 1;
    const hash = hashOf(bytes, start, end);
    for (let at = (hash << 1) & mask;; at = (at + 2) & mask) {
      const index = table[at + 1] - 1;
      if (index < 0) return -1;
      if (table[at] === hash && isSame(this.#names[index], bytes, start, end)) return index;
    }
  }

  /** Gives a new name the next index; -1 when there is no more room. */
  add(bytes: Uint8Array, start: number, end: number): number {
    if (this.#names.length >= NO_TENANT) return -1;
    const index = this.#names.push(bytes.slice(start, end)) - 1;
    if (this.#names.length * 4 > this.#table.length) {
      this.#table = new Int32Array(this.#table.length * 2);
      this.#names.forEach((name, i) => this.#enter(hashOf(name, 0, name.length), i));
    } else {
      this.#enter(hashOf(bytes, start, end), index);
    }
    return index;
  }

  /** The name as given. Do not change it. */
  name(index: number): Uint8Array {
    return this.#names[index];
  }

  #enter(hash: number, index: number): void {
    const mask = this.#table.length - 1;
    let at = (hash << 1) & mask;
    while (this.#table[at + 1] !== 0) at = (at + 2) & mask;
    this.#table[at] = hash;
    this.#table[at + 1] = index + 1;
  }
}

/** FNV-1a; names in the table are the operator's, so nobody gains by collisions. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  return hash;
}

function isSame(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}
