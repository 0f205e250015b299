import type { Keys } from "./api.ts";
import { KeyArena } from "./key_arena.ts";
import { type KeyHasher, ViewCache } from "./key_hash.ts";
import { KeyIndex } from "./key_index.ts";
import { ObjectFlag, ObjectHold } from "./object_flags.ts";
import { ordinaryPages, type PageSource } from "./pages.ts";
import { PAGE_MASK, PAGE_RECORDS, PAGE_SHIFT, RecordPool } from "./records.ts";
import { ReservationTable } from "./reservations.ts";

export { ObjectFlag, ObjectHold };

const HOLD_SHIFT = 30;
const CLIENT_MASK = (1 << HOLD_SHIFT) - 1;

const LIST_SHIFT = 9;
const LIST_MASK = 7 << LIST_SHIFT;
const TYPE_SHIFT = 12;
const TYPE_MASK = 15 << TYPE_SHIFT;
const TENANT_SHIFT = 16;

/** Tenants that an object can name. */
export const MAX_TENANTS = 1 << 16;

/** Words of a record. */
const KEY = 0;
const KEY_LENGTH = 1;
const HASH = 2;
const FLAGS = 3;
const SIZE = 4;
const LEASE = 6;
const PREVIOUS = 8;
const NEXT = 9;
const REPLICA = 10;
const WRITE = 11;
const CHECKSUM = 12;
const CLIENT = 14;
const SINCE = 15;
const WORDS = 16;
const NO_RECORD = new Int32Array(WORDS);

/** One of the four 32-bit fields that other tables link objects with. */
export const ObjectLink = {
  PREVIOUS,
  NEXT,
  /** First of the object's replicas. */
  REPLICA,
  /** The unfinished put or upsert. */
  WRITE,
} as const;
export type ObjectLink = (typeof ObjectLink)[keyof typeof ObjectLink];

/**
 * All objects: 64 bytes each in a {@linkcode RecordPool}, found by tenant and key bytes through a
 * {@linkcode KeyIndex}, the key bytes in a {@linkcode KeyArena}. What few objects have (a group, the
 * end of a soft pin) lies in columns that exist only for pages with such objects.
 *
 * A slot is the object's index; 0 is "no object".
 */
export class ObjectTable {
  readonly #records: RecordPool;
  readonly #index: KeyIndex;
  readonly #arena: KeyArena;
  /** Objects without a key; see {@linkcode ObjectTable.insertReserved}. */
  readonly reserved = new ReservationTable();
  readonly #hasher: KeyHasher;
  readonly #views = new ViewCache();
  readonly #groups: (Int32Array | undefined)[] = [];
  readonly #softPins: (Float64Array | undefined)[] = [];
  /** Of the keys of the last {@linkcode ObjectTable.seekMany}: hashes, and words of the records. */
  #hashes = new Int32Array(0);
  #names = new Int32Array(0);
  #before = new Int32Array(0);
  #after = new Int32Array(0);
  #counts = new Float64Array(16);
  /** What touching has read; it means nothing, but without it the reads could be left out. */
  touched = 0;
  /** Hash of the key that {@linkcode ObjectTable.find} looked for last. */
  lastHash = 0;

  constructor(hasher: KeyHasher, pages: PageSource = ordinaryPages) {
    this.#hasher = hasher;
    this.#records = new RecordPool(WORDS, pages);
    this.#index = new KeyIndex(pages);
    this.#arena = new KeyArena(pages);
  }

  /** Objects with a key. */
  get count(): number {
    return this.#records.live - this.reserved.size;
  }

  /** Objects of a tenant that have a key, unfinished ones included. */
  countOf(tenant: number): number {
    return tenant < this.#counts.length ? this.#counts[tenant] : 0;
  }

  /** Every slot in use is below this. */
  get limit(): number {
    return this.#records.limit;
  }

  /** Bytes that tables, index and keys occupy, used or not. */
  get reservedBytes(): number {
    return this.#records.reservedBytes + this.#index.reservedBytes + this.#arena.reservedBytes;
  }

  /** The slot of a key, or 0. */
  find(tenant: number, bytes: Uint8Array, start: number, end: number): number {
    const view = this.#views.of(bytes);
    const hash = this.#hasher.hash(tenant, view, start, end);
    this.lastHash = hash;
    let slot = this.#index.seek(hash);
    while (slot !== 0 && !this.#isNamed(slot, tenant, view, start, end)) {
      slot = this.#index.seekNext();
    }
    return slot;
  }

  /**
   * The slot that a key has if it has one, or 0: {@linkcode ObjectTable.confirm} compares the keys. Until
   * then the slot is good for reading ahead.
   */
  seek(tenant: number, bytes: Uint8Array, start: number, end: number): number {
    const hash = this.#hasher.hash(tenant, this.#views.of(bytes), start, end);
    this.lastHash = hash;
    return this.#index.seek(hash);
  }

  /**
   * {@linkcode ObjectTable.seek} for many keys, and enters their first replicas in `replicas`. Each step is
   * done for all keys before the next one, in loops so short that the processor waits for many places in
   * memory at once. Keys and neighbours in the recency lists are read ahead.
   */
  seekMany(
    tenant: number,
    bytes: Uint8Array,
    keys: Keys,
    slots: Int32Array,
    replicas: Int32Array,
  ): void {
    const { count, starts, ends } = keys;
    if (this.#hashes.length < count) this.#resize(count * 2);
    const hashes = this.#hashes;
    const names = this.#names;
    const before = this.#before;
    const after = this.#after;
    const view = this.#views.of(bytes);
    let touched = 0;
    for (let i = 0; i < count; i++) {
      hashes[i] = this.#hasher.hash(tenant, view, starts[i], ends[i]);
    }
    for (let i = 0; i < count; i++) touched ^= this.#index.touch(hashes[i]);
    for (let i = 0; i < count; i++) slots[i] = this.#index.seek(hashes[i]);
    for (let i = 0; i < count; i++) {
      const slot = slots[i];
      const page = slot === 0 ? NO_RECORD : this.#records.words[slot >>> PAGE_SHIFT];
      const at = (slot & PAGE_MASK) * WORDS;
      names[i] = page[at + KEY];
      before[i] = page[at + PREVIOUS];
      after[i] = page[at + NEXT];
      replicas[i] = page[at + REPLICA];
    }
    for (let i = 0; i < count; i++) if (slots[i] !== 0) touched ^= this.#arena.touch(names[i]);
    for (let i = 0; i < count; i++) touched ^= this.#touch(before[i]);
    for (let i = 0; i < count; i++) touched ^= this.#touch(after[i]);
    this.touched ^= touched;
  }

  /** The slot of a key, or 0, after {@linkcode ObjectTable.seek} has found `slot`. */
  confirm(
    slot: number,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): number {
    const named = slot === 0 || this.#isNamed(slot, tenant, this.#views.of(bytes), start, end);
    return named ? slot : this.find(tenant, bytes, start, end);
  }

  /** Hash of key `i` of the last {@linkcode ObjectTable.seekMany}. */
  hashAt(i: number): number {
    return this.#hashes[i];
  }

  /** Reads an object's key and its neighbours in the recency list, as {@linkcode KeyIndex.touch}. */
  touchLinks(slot: number): number {
    const words = this.#records.words[slot >>> PAGE_SHIFT];
    const at = (slot & PAGE_MASK) * WORDS;
    return this.#arena.touch(words[at + KEY]) ^ this.#touch(words[at + PREVIOUS]) ^
      this.#touch(words[at + NEXT]);
  }

  #touch(slot: number): number {
    return slot === 0 ? 0 : this.#records.word(slot, HASH);
  }

  #resize(keys: number): void {
    this.#hashes = new Int32Array(keys);
    this.#names = new Int32Array(keys);
    this.#before = new Int32Array(keys);
    this.#after = new Int32Array(keys);
  }

  #isNamed(slot: number, tenant: number, bytes: DataView, start: number, end: number): boolean {
    const words = this.#records.words[slot >>> PAGE_SHIFT];
    const at = (slot & PAGE_MASK) * WORDS;
    const length = words[at + KEY_LENGTH];
    return length === end - start && words[at + FLAGS] >>> TENANT_SHIFT === tenant &&
      this.#arena.equals(words[at + KEY], length, bytes, start);
  }

  /** Adds an object under a key that is not in the table; every other field is 0. */
  insert(tenant: number, bytes: Uint8Array, start: number, end: number): number {
    const hash = this.#hasher.hash(tenant, this.#views.of(bytes), start, end);
    return this.insertHashed(hash, tenant, bytes, start, end);
  }

  /** {@linkcode ObjectTable.insert} of a key whose hash {@linkcode ObjectTable.lastHash} was. */
  insertHashed(
    hash: number,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): number {
    const slot = this.#records.allocate();
    this.#store(slot, tenant, bytes, start, end);
    this.#enter(slot, tenant, hash);
    return slot;
  }

  /** Adds an object that has a name in place of a key, which no key can be. */
  insertReserved(tenant: number, name: Uint8Array): number {
    const slot = this.#records.allocate();
    this.#store(slot, tenant, name, 0, name.length);
    this.reserved.add(slot, name);
    return slot;
  }

  /** Gives such an object a key, whose hash {@linkcode ObjectTable.lastHash} was. */
  nameReserved(slot: number, hash: number, bytes: Uint8Array, start: number, end: number): void {
    const words = this.#records.words[slot >>> PAGE_SHIFT];
    const at = (slot & PAGE_MASK) * WORDS;
    this.reserved.remove(slot);
    this.#arena.release(words[at + KEY], words[at + KEY_LENGTH]);
    words[at + KEY] = this.#arena.store(this.#views.of(bytes), start, end);
    words[at + KEY_LENGTH] = end - start;
    this.#enter(slot, words[at + FLAGS] >>> TENANT_SHIFT, hash);
  }

  /** Whether an object has no key yet. */
  isReserved(slot: number): boolean {
    return this.reserved.size > 0 && this.reserved.has(slot);
  }

  #store(slot: number, tenant: number, bytes: Uint8Array, start: number, end: number): void {
    const words = this.#records.words[slot >>> PAGE_SHIFT];
    const at = (slot & PAGE_MASK) * WORDS;
    words[at + KEY] = this.#arena.store(this.#views.of(bytes), start, end);
    words[at + KEY_LENGTH] = end - start;
    words[at + FLAGS] = tenant << TENANT_SHIFT;
  }

  /** Enters an object's key in the index. */
  #enter(slot: number, tenant: number, hash: number): void {
    this.#records.setWord(slot, HASH, hash);
    this.#index.insert(hash, slot);
    if (tenant >= this.#counts.length) {
      const larger = new Float64Array(Math.max(tenant + 1, this.#counts.length * 2));
      larger.set(this.#counts);
      this.#counts = larger;
    }
    this.#counts[tenant]++;
  }

  /** Removes an object that nothing links to any more. */
  erase(slot: number): void {
    const words = this.#records.words[slot >>> PAGE_SHIFT];
    const at = (slot & PAGE_MASK) * WORDS;
    if (this.isReserved(slot)) {
      this.reserved.remove(slot);
    } else {
      this.#index.remove(words[at + HASH], slot);
      this.#counts[words[at + FLAGS] >>> TENANT_SHIFT]--;
    }
    this.#arena.release(words[at + KEY], words[at + KEY_LENGTH]);
    this.setGroup(slot, 0);
    this.setSoftPinUntil(slot, 0);
    this.#records.release(slot);
  }

  /** Whether a slot below {@linkcode ObjectTable.limit} holds an object. */
  has(slot: number): boolean {
    return slot !== 0 && this.#records.word(slot, KEY_LENGTH) !== 0;
  }

  keyLength(slot: number): number {
    return this.#records.word(slot, KEY_LENGTH);
  }

  /** The array that holds the key, from {@linkcode ObjectTable.keyOffset} on. Do not keep it. */
  keyPage(slot: number): Uint8Array {
    return this.#arena.page(this.#records.word(slot, KEY));
  }

  keyOffset(slot: number): number {
    return this.#arena.offset(this.#records.word(slot, KEY));
  }

  /** A copy of the key. */
  key(slot: number): Uint8Array {
    const at = this.keyOffset(slot);
    return this.keyPage(slot).slice(at, at + this.keyLength(slot));
  }

  hash(slot: number): number {
    return this.#records.word(slot, HASH);
  }

  tenant(slot: number): number {
    return this.#records.word(slot, FLAGS) >>> TENANT_SHIFT;
  }

  /** Whether any of the given flags is set. */
  is(slot: number, flags: number): boolean {
    return (this.#records.word(slot, FLAGS) & flags) !== 0;
  }

  set(slot: number, flags: number): void {
    this.#records.setWord(slot, FLAGS, this.#records.word(slot, FLAGS) | flags);
  }

  clear(slot: number, flags: number): void {
    this.#records.setWord(slot, FLAGS, this.#records.word(slot, FLAGS) & ~flags);
  }

  /** The recency list that holds the object, 0 = none. */
  list(slot: number): number {
    return (this.#records.word(slot, FLAGS) & LIST_MASK) >>> LIST_SHIFT;
  }

  /** The object's tenant and its list in one number: `tenant * 8 + list`. */
  tenantList(slot: number): number {
    const flags = this.#records.word(slot, FLAGS);
    return flags >>> TENANT_SHIFT << 3 | (flags & LIST_MASK) >>> LIST_SHIFT;
  }

  setList(slot: number, list: number): void {
    const rest = this.#records.word(slot, FLAGS) & ~LIST_MASK;
    this.#records.setWord(slot, FLAGS, rest | list << LIST_SHIFT);
  }

  dataType(slot: number): number {
    return (this.#records.word(slot, FLAGS) & TYPE_MASK) >>> TYPE_SHIFT;
  }

  setDataType(slot: number, type: number): void {
    const rest = this.#records.word(slot, FLAGS) & ~TYPE_MASK;
    this.#records.setWord(slot, FLAGS, rest | (type << TYPE_SHIFT & TYPE_MASK));
  }

  /** Bytes of the committed version; of the first one while it is being written. */
  size(slot: number): number {
    return this.#records.float(slot, SIZE);
  }

  setSize(slot: number, size: number): void {
    this.#records.setFloat(slot, SIZE, size);
  }

  /** When the last lease ends, or when the object was last used if it was not leased. */
  leaseUntil(slot: number): number {
    return this.#records.float(slot, LEASE);
  }

  setLeaseUntil(slot: number, timeMs: number): void {
    this.#records.setFloat(slot, LEASE, timeMs);
  }

  link(slot: number, field: ObjectLink): number {
    return this.#records.word(slot, field);
  }

  setLink(slot: number, field: ObjectLink, index: number): void {
    this.#records.setWord(slot, field, index);
  }

  checksumLow(slot: number): number {
    return this.#records.word(slot, CHECKSUM);
  }

  checksumHigh(slot: number): number {
    return this.#records.word(slot, CHECKSUM + 1);
  }

  /** The checksum as given at the end of the put, or `null`. */
  checksum(slot: number): bigint | null {
    if (!this.is(slot, ObjectFlag.CHECKSUM)) return null;
    return BigInt(this.checksumHigh(slot) >>> 0) << 32n | BigInt(this.checksumLow(slot) >>> 0);
  }

  setChecksum(slot: number, low: number, high: number): void {
    this.#records.setWord(slot, CHECKSUM, low);
    this.#records.setWord(slot, CHECKSUM + 1, high);
    this.set(slot, ObjectFlag.CHECKSUM);
  }

  clearChecksum(slot: number): void {
    this.#records.setWord(slot, CHECKSUM, 0);
    this.#records.setWord(slot, CHECKSUM + 1, 0);
    this.clear(slot, ObjectFlag.CHECKSUM);
  }

  /** The client that wrote the committed version, or writes the first one. */
  client(slot: number): number {
    return this.#records.word(slot, CLIENT) & CLIENT_MASK;
  }

  setClient(slot: number, client: number): void {
    const rest = this.#records.word(slot, CLIENT) & ~CLIENT_MASK;
    this.#records.setWord(slot, CLIENT, rest | client);
  }

  hold(slot: number): ObjectHold {
    return this.#records.word(slot, CLIENT) >>> HOLD_SHIFT as ObjectHold;
  }

  setHold(slot: number, hold: ObjectHold): void {
    const rest = this.#records.word(slot, CLIENT) & CLIENT_MASK;
    this.#records.setWord(slot, CLIENT, rest | hold << HOLD_SHIFT);
  }

  /** Unix time in seconds of the last change of state. */
  since(slot: number): number {
    return this.#records.word(slot, SINCE) >>> 0;
  }

  setSince(slot: number, seconds: number): void {
    this.#records.setWord(slot, SINCE, seconds);
  }

  /** The object's membership in a group, 0 = none. */
  group(slot: number): number {
    if (!this.is(slot, ObjectFlag.GROUPED)) return 0;
    return this.#groups[slot >>> PAGE_SHIFT]?.[slot & PAGE_MASK] ?? 0;
  }

  setGroup(slot: number, membership: number): void {
    if (membership === 0) this.clear(slot, ObjectFlag.GROUPED);
    else this.set(slot, ObjectFlag.GROUPED);
    const column = this.#groups[slot >>> PAGE_SHIFT];
    if (column !== undefined) column[slot & PAGE_MASK] = membership;
    else if (membership !== 0) {
      const fresh = new Int32Array(PAGE_RECORDS);
      fresh[slot & PAGE_MASK] = membership;
      this.#groups[slot >>> PAGE_SHIFT] = fresh;
    }
  }

  /** When the soft pin ends, 0 = none. */
  softPinUntil(slot: number): number {
    return this.#softPins[slot >>> PAGE_SHIFT]?.[2 * (slot & PAGE_MASK)] ?? 0;
  }

  setSoftPinUntil(slot: number, timeMs: number): void {
    this.#setSoftPin(slot, 0, timeMs);
  }

  /** For which time the slot, whatever object is in it, waits in the queue of soft pins; 0 = none. */
  softPinQueued(slot: number): number {
    return this.#softPins[slot >>> PAGE_SHIFT]?.[2 * (slot & PAGE_MASK) + 1] ?? 0;
  }

  setSoftPinQueued(slot: number, timeMs: number): void {
    this.#setSoftPin(slot, 1, timeMs);
  }

  #setSoftPin(slot: number, field: number, timeMs: number): void {
    let column = this.#softPins[slot >>> PAGE_SHIFT];
    if (column === undefined) {
      if (timeMs === 0) return;
      column = new Float64Array(2 * PAGE_RECORDS);
      this.#softPins[slot >>> PAGE_SHIFT] = column;
    }
    column[2 * (slot & PAGE_MASK) + field] = timeMs;
  }
}
