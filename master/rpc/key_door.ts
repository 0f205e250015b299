/** Lets calls in that carry an API key behind the name of their tenant: `name:mk_...`. */
import { ErrorCode } from "../../proto/error_code.ts";
import { keyStart } from "../auth/api_key.ts";
import type { KeyRing } from "../auth/key_ring.ts";
import { type NamedDoor, TenantAccess, type TenantDoor } from "./tenant_door.ts";

/** Texts that are remembered; beyond that all are forgotten and learned again. */
const MAX_KNOWN = 4096;
const BUCKETS = 8192;

interface Known {
  /** As it came: name and key. */
  readonly text: Uint8Array;
  readonly name: Uint8Array;
  readonly mayChange: boolean;
}

/**
 * Checks each text once and remembers the ones that were right until a key ends or is taken back: a
 * text that comes again costs a look into a table. UNAUTHENTICATED for a wrong or missing key,
 * PERMISSION_DENIED for what a key is not for, then as `NamedDoor`.
 */
export class KeyDoor implements TenantDoor {
  readonly #ring: KeyRing;
  readonly #names: NamedDoor;
  readonly #separate: boolean;
  readonly #known: (Known | undefined)[] = new Array(BUCKETS);
  #count = 0;
  #version = -1;

  /** `separate`: tenants have name spaces of their own, and a key opens that of its tenant only. */
  constructor(ring: KeyRing, names: NamedDoor, separate: boolean) {
    this.#ring = ring;
    this.#names = names;
    this.#separate = separate;
  }

  enter(bytes: Uint8Array, start: number, end: number, access: TenantAccess): number {
    if (this.#version !== this.#ring.version) this.#forget();
    let hash = 0x811c9dc5;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
    const bucket = hash & (BUCKETS - 1);
    let known = this.#known[bucket];
    if (known === undefined || !isSame(known.text, bytes, start, end)) {
      const learned = this.#learn(bytes, start, end);
      if (typeof learned === "number") return learned;
      if (this.#count >= MAX_KNOWN) this.#forget();
      if (this.#known[bucket] === undefined) this.#count++;
      known = learned;
      this.#known[bucket] = known;
    }
    if (access !== TenantAccess.READ && !known.mayChange) return ErrorCode.PERMISSION_DENIED;
    return this.#names.enter(known.name, 0, known.name.length, access);
  }

  enterOrdered(bytes: Uint8Array, isOrdered: (tenant: number) => boolean): number {
    const { length } = bytes;
    if (keyStart(bytes, 0, length) >= 0) return this.enter(bytes, 0, length, TenantAccess.CHANGE);
    const tenant = this.#names.enter(bytes, 0, length, TenantAccess.CHANGE);
    return tenant >= 0 && isOrdered(tenant) ? tenant : ErrorCode.UNAUTHENTICATED;
  }

  /** A call that names no tenant has no place for a key. */
  enterUnnamed(): number {
    return ErrorCode.UNAUTHENTICATED;
  }

  enterAll(): number {
    return ErrorCode.UNAUTHENTICATED;
  }

  #forget(): void {
    this.#known.fill(undefined);
    this.#count = 0;
    this.#version = this.#ring.version;
  }

  #learn(bytes: Uint8Array, start: number, end: number): Known | number {
    const at = keyStart(bytes, start, end);
    if (at < 0) return ErrorCode.UNAUTHENTICATED;
    const record = this.#ring.find(new TextDecoder("latin1").decode(bytes.subarray(at, end)));
    if (record === null) return ErrorCode.UNAUTHENTICATED;
    const mine = new TextEncoder().encode(record.tenant ?? "default");
    const name = at > start ? bytes.slice(start, at - 1) : mine;
    const foreign = this.#separate && record.tenant !== null && !isSame(mine, name, 0, name.length);
    if (foreign || record.role === "operator") return ErrorCode.PERMISSION_DENIED;
    return { text: bytes.slice(start, end), name, mayChange: record.role !== "read-only" };
  }
}

function isSame(text: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let i = 0; i < text.length; i++) if (text[i] !== bytes[start + i]) return false;
  return true;
}
