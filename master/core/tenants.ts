import { MAX_TENANTS } from "./objects.ts";

/** Tenants by name. Index 0 is the tenant of everybody while there is only one. */
export class TenantTable {
  readonly #names: Uint8Array[] = [new TextEncoder().encode("default")];
  readonly #byName = new Map<string, number>([["default", 0]]);

  get count(): number {
    return this.#names.length;
  }

  /** The index of a name, -1 when it is not known. An empty name means "default". */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (start === end) return 0;
    return this.#byName.get(textOf(bytes, start, end)) ?? -1;
  }

  /** Gives a new name the next index; -1 when there is no more room. */
  add(bytes: Uint8Array, start: number, end: number): number {
    if (this.#names.length >= MAX_TENANTS) return -1;
    this.#byName.set(textOf(bytes, start, end), this.#names.length);
    return this.#names.push(bytes.slice(start, end)) - 1;
  }

  /** The name as given. Do not change it. */
  name(index: number): Uint8Array {
    return this.#names[index];
  }
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder("latin1").decode(bytes.subarray(start, end));
}
