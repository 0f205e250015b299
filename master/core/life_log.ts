/** What happened to keys, kept for some time after they have gone; and why lookups found nothing. */

/** What can happen to an object after it was put. Those from `EVICTED` on are its end. */
export const LifeEvent = {
  /** Another replica was completed: a copy, a move, a promotion, or one on a disk. */
  REPLICATED: 0,
  /** A newer version took its place. */
  REPLACED: 1,
  /** Evicted from memory; replicas on disks stay. */
  MEMORY_EVICTED: 2,
  /** Evicted because the pool was fuller than the watermark. */
  EVICTED: 3,
  /** Evicted because a put found no room. */
  EVICTED_FOR_PUT: 4,
  /** By Remove or BatchRemove. */
  REMOVED: 5,
  /** By RemoveByRegex. */
  REMOVED_BY_PATTERN: 6,
  /** By RemoveAll, or the admin server. */
  REMOVED_WITH_ALL: 7,
  /** By BatchReplicaClear, or by the owner of its disk. */
  CLEARED: 8,
  /** The session of the client that held it ended, or it did not come back after a restart. */
  OWNER_EXPIRED: 9,
  /** The client that held it took its segment back. */
  OWNER_UNMOUNTED: 10,
  /** The disk that held it has gone. */
  DISK_GONE: 11,
  /** Its writer gave up before it could be read. */
  WRITE_REVOKED: 12,
  /** Its writer was not heard of again before it could be read. */
  WRITE_EXPIRED: 13,
  /** Nothing was left of it, for another reason. */
  LOST: 14,
} as const;
export type LifeEvent = (typeof LifeEvent)[keyof typeof LifeEvent];

/** Why a lookup found nothing to read, as far as is known; an object that is not ready is apart. */
export const MISS_CAUSES = [
  "never_stored",
  "evicted",
  "removed",
  "owner_expired",
  "owner_unmounted",
  "write_failed",
  "owner_away",
  "lost",
] as const;
export type MissCause = (typeof MISS_CAUSES)[number];

/** Something that happened to a key. Times are Unix seconds. */
export interface LifeRecord {
  event: LifeEvent;
  at: number;
  /** When the version was put; 0 = it was never completed. */
  since: number;
  /** End of its last lease, or its last use if it was not leased. */
  inUseUntil: number;
  /** Bytes. */
  size: number;
}

const HASH = 0;
const EARLIER = 1;
const WHAT = 2;
const AT = 3;
const SINCE = 4;
const IN_USE = 5;
/** A double at word 6. */
const SIZE = 3;
const WORDS = 8;
const DOUBLES = WORDS / 2;
/** Records for each bucket. */
const PER_BUCKET = 4;
/** Longest key length that is told from others. */
const LENGTH_MASK = 0xffff;
/** Records of one bucket that are looked at. */
const MAX_STEPS = 1024;

/**
 * The last events of all keys, oldest overwritten. A record holds the key's hash and length instead of
 * the key: with 131,072 of them one in 30,000 unknown keys is taken for one of those at the most.
 *
 * The records of a bucket are chained backwards by number, so that overwriting needs no unlinking: a
 * number older than the ring ends the chain. 33 bytes a record; there are few buckets, so that they
 * stay in the processor's cache.
 */
export class LifeLog {
  readonly capacity: number;
  readonly #words: Int32Array;
  readonly #sizes: Float64Array;
  readonly #heads: Int32Array;
  #next = 1;
  /** Time of the last tick; `-1` = none yet, and nothing is noted. */
  #at = -1;
  /** Which of the two evictions is going on. */
  evicting: LifeEvent = LifeEvent.EVICTED;
  /** Indices of segments that went because their owners were silent. */
  readonly expired = new Set<number>();

  /** `capacity` is a power of two, or 0 = nothing is kept. */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.#words = new Int32Array(capacity * WORDS);
    this.#sizes = new Float64Array(this.#words.buffer);
    this.#heads = new Int32Array(Math.ceil(capacity / PER_BUCKET));
  }

  /** Number of the next event; those before have smaller ones. */
  get next(): number {
    return this.#next;
  }

  /** Sets the time, in Unix seconds, that events get from here on. */
  tick(at: number): void {
    this.#at = at;
  }

  /** Notes what happened to a key; 2^32 events later the numbers begin anew. */
  note(
    event: LifeEvent,
    hash: number,
    keyLength: number,
    since: number,
    inUseUntil: number,
    size: number,
  ): void {
    if (this.capacity === 0 || this.#at < 0) return;
    const number = this.#next;
    this.#next = number + 1 | 0;
    const index = number & this.capacity - 1;
    const bucket = hash & this.#heads.length - 1;
    const at = index * WORDS;
    const words = this.#words;
    words[at + HASH] = hash;
    words[at + EARLIER] = this.#heads[bucket];
    words[at + WHAT] = event << 16 | keyLength & LENGTH_MASK;
    words[at + AT] = this.#at;
    words[at + SINCE] = since;
    words[at + IN_USE] = inUseUntil;
    this.#sizes[index * DOUBLES + SIZE] = size;
    this.#heads[bucket] = number;
  }

  /** The last event of a key before event number `before`, or -1. */
  lastEvent(hash: number, keyLength: number, before: number): LifeEvent | -1 {
    const number = this.#find(hash, keyLength, this.#head(hash), before);
    return number === 0 ? -1 : this.#eventAt(number);
  }

  /** The events of a key that are still known, newest first. */
  history(hash: number, keyLength: number, most: number): LifeRecord[] {
    const records: LifeRecord[] = [];
    let number = this.#find(hash, keyLength, this.#head(hash), this.#next);
    while (number !== 0 && records.length < most) {
      const index = number & this.capacity - 1;
      const at = index * WORDS;
      records.push({
        event: this.#eventAt(number),
        at: this.#words[at + AT],
        since: this.#words[at + SINCE],
        inUseUntil: this.#words[at + IN_USE],
        size: this.#sizes[index * DOUBLES + SIZE],
      });
      number = this.#find(hash, keyLength, this.#words[at + EARLIER], number);
    }
    return records;
  }

  #head(hash: number): number {
    return this.capacity === 0 ? 0 : this.#heads[hash & this.#heads.length - 1];
  }

  #eventAt(number: number): LifeEvent {
    return this.#words[(number & this.capacity - 1) * WORDS + WHAT] >>> 16 as LifeEvent;
  }

  #find(hash: number, keyLength: number, number: number, before: number): number {
    const length = keyLength & LENGTH_MASK;
    for (let steps = 0; steps < MAX_STEPS && this.#isKept(number); steps++) {
      const at = (number & this.capacity - 1) * WORDS;
      const same = this.#words[at + HASH] === hash &&
        (this.#words[at + WHAT] & LENGTH_MASK) === length;
      if (same && (before - number | 0) > 0) return number;
      number = this.#words[at + EARLIER];
    }
    return 0;
  }

  #isKept(number: number): boolean {
    const age = this.#next - number >>> 0;
    return number !== 0 && age > 0 && age <= this.capacity;
  }
}

/** What a key that was not found had become, by its last event; -1 = nothing is known of it. */
export function causeOf(event: LifeEvent | -1): MissCause {
  switch (event) {
    case -1:
      return "never_stored";
    case LifeEvent.EVICTED:
    case LifeEvent.EVICTED_FOR_PUT:
      return "evicted";
    case LifeEvent.REMOVED:
    case LifeEvent.REMOVED_BY_PATTERN:
    case LifeEvent.REMOVED_WITH_ALL:
    case LifeEvent.CLEARED:
      return "removed";
    case LifeEvent.OWNER_EXPIRED:
      return "owner_expired";
    case LifeEvent.OWNER_UNMOUNTED:
      return "owner_unmounted";
    case LifeEvent.WRITE_REVOKED:
    case LifeEvent.WRITE_EXPIRED:
      return "write_failed";
    default:
      return "lost";
  }
}
