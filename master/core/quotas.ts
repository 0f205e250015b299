/** What tenants may use of the pool, and what they do use. */
import { NO_TENANT } from "./tenants.ts";

/** Largest quota that can be asked for: that of a signed 64-bit number, as in the reference. */
export const MAX_QUOTA_BYTES = 2n ** 63n - 1n;

/** A tenant's name and the bytes that it was given. */
export interface QuotaPolicy {
  readonly name: Uint8Array;
  readonly requested: bigint;
}

interface Account {
  /** What was asked for, `null` = the tenant is not registered. */
  requested: bigint | null;
  /** What of that the pool's size allows. */
  effective: number;
  rejected: number;
  evictedBytes: number;
}

/**
 * Quotas by tenant, and the bytes that objects of each tenant have in memory. The bytes follow from
 * the replicas; quotas are settings, or entries of the small tables of a cluster.
 */
export class QuotaTable {
  readonly #accounts: (Account | undefined)[] = [];
  #charged = new Float64Array(16);
  /** The pool's size for which the effective quotas hold; -1 = they have to be worked out. */
  #capacity = -1;

  /** Adds to what a tenant has in memory; negative = it has less. */
  charge(tenant: number, bytes: number): void {
    if (tenant >= this.#charged.length) {
      const larger = new Float64Array(Math.max(tenant + 1, this.#charged.length * 2));
      larger.set(this.#charged);
      this.#charged = larger;
    }
    this.#charged[tenant] += bytes;
  }

  /** Bytes of the tenant's replicas in memory, unfinished ones included. */
  charged(tenant: number): number {
    return tenant < this.#charged.length ? this.#charged[tenant] : 0;
  }

  isRegistered(tenant: number): boolean {
    return this.requested(tenant) !== null;
  }

  /** The quota as it was asked for, `null` = the tenant is not registered. */
  requested(tenant: number): bigint | null {
    return this.#accounts[tenant]?.requested ?? null;
  }

  /** Registers a tenant, changes its quota, or (`null`) ends its registration. */
  set(tenant: number, requested: bigint | null): void {
    if (tenant === NO_TENANT) return;
    this.#account(tenant).requested = requested;
    this.#capacity = -1;
  }

  /**
   * What a tenant may use of a pool of `capacity` bytes; 0 when it is not registered. `nameOf` is
   * asked for the names of tenants, by which odd bytes are given away.
   */
  effective(tenant: number, capacity: number, nameOf: (tenant: number) => Uint8Array): number {
    if (capacity !== this.#capacity) this.#share(capacity, nameOf);
    return this.#accounts[tenant]?.effective ?? 0;
  }

  /** Counts a write that its quota did not allow; negative = it was not one after all. */
  countRejected(tenant: number, count: number): void {
    this.#account(tenant).rejected += count;
  }

  countEvicted(tenant: number, bytes: number): void {
    this.#account(tenant).evictedBytes += bytes;
  }

  /** Writes that the quota did not allow. */
  rejected(tenant: number): number {
    return this.#accounts[tenant]?.rejected ?? 0;
  }

  /** Bytes that were evicted for the tenant's own writes. */
  evictedBytes(tenant: number): number {
    return this.#accounts[tenant]?.evictedBytes ?? 0;
  }

  #account(tenant: number): Account {
    return this.#accounts[tenant] ??= {
      ...{ requested: null, effective: 0, rejected: 0, evictedBytes: 0 },
    };
  }

  #share(capacity: number, nameOf: (tenant: number) => Uint8Array): void {
    this.#capacity = capacity;
    const registered: Account[] = [];
    const policies: QuotaPolicy[] = [];
    this.#accounts.forEach((account, tenant) => {
      if (account === undefined) return;
      account.effective = 0;
      if (account.requested === null) return;
      registered.push(account);
      policies.push({ name: nameOf(tenant), requested: account.requested });
    });
    effectiveQuotas(policies, capacity).forEach((bytes, i) => registered[i].effective = bytes);
  }
}

/**
 * What each of the tenants may use of `capacity` bytes: what it was given, or, when that is more than
 * there is, the same share of it for all. Bytes that are left over go to the largest remainders, then
 * in the order of the names.
 */
export function effectiveQuotas(policies: readonly QuotaPolicy[], capacity: number): number[] {
  const total = policies.reduce((sum, { requested }) => sum + requested, 0n);
  if (total <= BigInt(capacity)) return policies.map(({ requested }) => Number(requested));
  const shares = policies.map(({ name, requested }, i) => {
    const product = BigInt(capacity) * requested;
    return { i, name, bytes: Number(product / total), remainder: product % total };
  });
  const byRemainder = shares.toSorted((a, b) =>
    a.remainder === b.remainder ? compareNames(a.name, b.name) : a.remainder > b.remainder ? -1 : 1
  );
  let left = capacity - shares.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const share of byRemainder) if (left-- > 0) share.bytes++;
  return shares.map(({ bytes }) => bytes);
}

/** Orders names by their bytes. */
export function compareNames(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
