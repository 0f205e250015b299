import { WINDOW_BYTES, WINDOW_SHIFT, WINDOWS, withoutWindow } from "../../proto/address_window.ts";
import { type SplitAddress, splitAddress, type TransferRequest } from "../../proto/transfer_tcp.ts";
import type { Region } from "./engine.ts";
import { Fences } from "./fences.ts";

/**
 * Bases lie in [2^46, 2^49): in every window exact in a double, and never an address. They start at a
 * random place and only grow, so that a descriptor of an earlier registration or process is refused.
 */
const BASE_FIRST = 1n << 46n;
const BASE_SPREAD = 1n << 48n;
const BASE_GAP = 1n << 21n;

function randomBase(): bigint {
  const [random] = crypto.getRandomValues(new BigUint64Array(1));
  return (BASE_FIRST + random % BASE_SPREAD) & ~(BASE_GAP - 1n);
}

/** A region on the JavaScript heap. */
export class TsRegion implements Region {
  readonly #regions: TsRegions;
  #bytes: Uint8Array<ArrayBuffer>;
  /** The caller's array, which is not detached. */
  readonly #lent: boolean;
  /** Sockets that still read from the memory; it must outlive them. */
  #users = 0;
  readonly #kept: ArrayBuffer[] = [];
  readonly length: number;
  /** {@linkcode remoteBase} in halves. */
  readonly splitBase: SplitAddress;

  constructor(
    regions: TsRegions,
    readonly id: number,
    bytes: Uint8Array<ArrayBuffer>,
    readonly remoteBase: bigint | null,
    lent: boolean,
  ) {
    this.#regions = regions;
    this.#bytes = bytes;
    this.#lent = lent;
    this.length = bytes.length;
    this.splitBase = splitAddress(remoteBase ?? 0n);
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  get isDisposed(): boolean {
    return this.#bytes.length === 0;
  }

  populate(): Promise<void> {
    return this.isDisposed
      ? Promise.reject(new Error("The region is disposed"))
      : Promise.resolve();
  }

  /** Keeps the memory until {@linkcode release}, even when the region is disposed meanwhile. */
  retain(): void {
    this.#users++;
  }

  release(): void {
    if (--this.#users === 0) this.#kept.length = 0;
  }

  [Symbol.dispose](): void {
    if (this.isDisposed) return;
    this.#regions.remove(this);
    const { buffer } = this.#bytes;
    if (this.#lent) {
      this.#bytes = new Uint8Array(0);
      return;
    }
    const moved = structuredClone(buffer, { transfer: [buffer] });
    if (this.#users > 0) this.#kept.push(moved);
  }
}

/** Bytes of a published region that a request is about. */
export interface Place {
  readonly region: TsRegion;
  /** Of the addresses that the request uses. */
  readonly windowStart: number;
  offset: number;
  left: number;
}

/** The regions of one engine, and which of them peers may reach. */
export class TsRegions {
  readonly #all = new Map<number, TsRegion>();
  readonly #published = new Set<TsRegion>();
  #nextId = 1;
  #nextBase = randomBase();
  readonly #fences: Fences;

  /** `now` tells milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#fences = new Fences(now);
  }

  /** Memory that is detached when the region is disposed, unless it is `lent`. */
  add(bytes: Uint8Array<ArrayBuffer>, publish: boolean, lent = false): TsRegion {
    const base = publish ? this.#nextBase : null;
    const region = new TsRegion(this, this.#nextId++, bytes, base, lent);
    if (publish) {
      const pages = (BigInt(bytes.length) + BASE_GAP - 1n) / BASE_GAP + 1n;
      this.#nextBase += pages * BASE_GAP;
      this.#published.add(region);
    }
    this.#all.set(region.id, region);
    return region;
  }

  remove(region: TsRegion): void {
    this.#all.delete(region.id);
    this.#published.delete(region);
  }

  has(region: TsRegion): boolean {
    return this.#all.get(region.id) === region;
  }

  /** Where the whole range of a request lies; `null` = not in one region that peers may use. */
  find(request: TransferRequest): Place | null {
    const upper = request.addressHigh >>> (WINDOW_SHIFT - 32);
    const windowStart = upper < WINDOWS ? upper * WINDOW_BYTES : 0;
    for (const region of this.#published) {
      if (!request.within(region.splitBase, region.length, windowStart)) continue;
      const offset = request.distanceFrom(region.splitBase) - windowStart;
      const place = { region, windowStart, offset, left: request.size };
      return this.allows(place) ? place : null;
    }
    return null;
  }

  /** Whether peers may still use what is left of a place. */
  allows({ region, windowStart, offset, left }: Place): boolean {
    if (!this.#published.has(region)) return false;
    return !this.#fences.meet(Number(region.remoteBase) + windowStart + offset, left);
  }

  /** Keeps peers out of a range of addresses in its window; `false` when it is not published. */
  fence(address: bigint, length: number, keepMs: number): boolean {
    const base = withoutWindow(address);
    for (const { remoteBase, length: size } of this.#published) {
      const offset = Number(base - remoteBase!);
      if (offset < 0 || offset + length > size) continue;
      this.#fences.add(Number(address), length, keepMs);
      return true;
    }
    return false;
  }

  disposeAll(): void {
    for (const region of [...this.#all.values()]) region[Symbol.dispose]();
  }
}
