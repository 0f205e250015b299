import type { Rng } from "./api.ts";

/**
 * HalfSipHash-1-3 over a tenant and a key: a 32-bit keyed hash, so that whoever chooses the keys
 * cannot choose where they collide.
 */
export class KeyHasher {
  readonly #k0: number;
  readonly #k1: number;

  constructor(rng: Rng) {
    this.#k0 = rng.u32() | 0;
    this.#k1 = rng.u32() | 0;
  }

  /** Hash of bytes `[start, end)` in the name space of `tenant`, as a signed 32-bit integer. */
  hash(tenant: number, bytes: DataView, start: number, end: number): number {
    let v0 = this.#k0;
    let v1 = this.#k1;
    let v2 = 0x6c796765 ^ v0;
    let v3 = 0x74656462 ^ v1;
    let word = tenant;
    let at = start;
    const whole = start + ((end - start) & ~3);
    for (;;) {
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = (v1 << 5 | v1 >>> 27) ^ v0;
      v0 = v0 << 16 | v0 >>> 16;
      v2 = (v2 + v3) | 0;
      v3 = (v3 << 8 | v3 >>> 24) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = (v3 << 7 | v3 >>> 25) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = (v1 << 13 | v1 >>> 19) ^ v2;
      v2 = v2 << 16 | v2 >>> 16;
      v0 ^= word;
      if (at >= whole) break;
      word = bytes.getInt32(at, true);
      at += 4;
    }
    word = (end - start) << 24;
    for (let shift = 0; at < end; at++, shift += 8) word |= bytes.getUint8(at) << shift;
    v3 ^= word;
    for (let round = 0; round < 4; round++) {
      v0 = (v0 + v1) | 0;
      v1 = (v1 << 5 | v1 >>> 27) ^ v0;
      v0 = v0 << 16 | v0 >>> 16;
      v2 = (v2 + v3) | 0;
      v3 = (v3 << 8 | v3 >>> 24) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = (v3 << 7 | v3 >>> 25) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = (v1 << 13 | v1 >>> 19) ^ v2;
      v2 = v2 << 16 | v2 >>> 16;
      if (round === 0) {
        v0 ^= word;
        v2 ^= 0xff;
      }
    }
    return v1 ^ v3;
  }
}

/** The last `DataView` that was asked for: keys of one request lie in one array. */
export class ViewCache {
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#bytes.buffer);

  /** A view of the same bytes at the same positions. */
  of(bytes: Uint8Array): DataView {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    return this.#view;
  }
}
