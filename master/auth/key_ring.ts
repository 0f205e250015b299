import { isKeyOf, keyId, type KeyRecord } from "./api_key.ts";
import { isDisabled } from "./users.ts";

/** The keys that are taken now, by id. */
export class KeyRing {
  #records = new Map<string, KeyRecord>();
  #nowMs: number;
  #nextExpiryMs = Infinity;
  /** Goes up when a key that was taken may not be taken any more. */
  #version = 0;

  /** `now` tells Unix time in milliseconds. */
  constructor(readonly now: () => number) {
    this.#nowMs = now();
  }

  get version(): number {
    return this.#version;
  }

  /** Replaces all keys. One that ends with this is not taken any more. */
  replace(records: Iterable<KeyRecord>): void {
    this.#nowMs = Math.max(this.#nowMs, this.now());
    this.#records = new Map(Array.from(records, (record) => [record.id, record]));
    this.#version++;
    this.#noteExpiry();
  }

  /** Lets time pass; keys end by this. */
  tick(nowMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
    if (nowMs < this.#nextExpiryMs) return;
    this.#version++;
    this.#noteExpiry();
  }

  /** The record of a key's text, or `null` when it is not taken. */
  find(text: string): KeyRecord | null {
    const id = keyId(text);
    const record = id === null ? undefined : this.#records.get(id);
    if (record === undefined || !isKeyOf(record, text) || isDisabled(record)) return null;
    return record.expiresMs !== null && record.expiresMs <= this.#nowMs ? null : record;
  }

  #noteExpiry(): void {
    this.#nextExpiryMs = Infinity;
    for (const { expiresMs } of this.#records.values()) {
      if (expiresMs !== null && expiresMs > this.#nowMs) {
        this.#nextExpiryMs = Math.min(this.#nextExpiryMs, expiresMs);
      }
    }
  }
}
