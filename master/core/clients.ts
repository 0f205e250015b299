import type { Rng, Uuid } from "./api.ts";
import { KeyHasher, ViewCache } from "./key_hash.ts";
import { KeyIndex } from "./key_index.ts";
import { readUuidBytes, UUID_BYTES, writeUuidBytes } from "./uuid.ts";

/** A client with its session, if it has one. */
export interface Client {
  readonly index: number;
  readonly uuid: Uuid;
  readonly bytes: Uint8Array;
  /** Objects, segments, disks and tasks that name the client. */
  references: number;
  /** In time during which the master ran, see {@linkcode ClientTable.awakeMs}. */
  lastSeenMs: number;
  /** It is being watched: it will expire unless it is seen again. */
  watched: boolean;
  /** It has remounted its segments since it last expired. */
  remounted: boolean;
  /** Host that its segments named, "" = unknown. */
  hostId: string;
  /** It pings, so its silence means something. */
  pings: boolean;
  /** It keeps writers out of its memory when it is told so. */
  fencesWriters: boolean;
  older: Client | null;
  newer: Client | null;
}

/** Gap between two ticks up to which the master counts as running. */
const LONGEST_TICK_MS = 1000;
/** Clients ping once a second; one that missed three pings gets no new data for the time being. */
const SUSPECT_AFTER_MS = 3000;
/** Beyond so many sessions, clients that own nothing are forgotten early; live ones come back. */
const MANY_SESSIONS = 65_536;
/** Of the oldest sessions so many are looked at for one to end. */
const STRANGERS_SOUGHT = 16;

/**
 * Clients by their ids, and the sessions of those that were seen lately.
 *
 * Sessions age only while the master runs: after a stall, pings that have been waiting are taken in
 * before anybody expires.
 */
export class ClientTable {
  readonly #hasher: KeyHasher;
  readonly #views = new ViewCache();
  readonly #index = new KeyIndex();
  readonly #clients: (Client | null)[] = [null];
  readonly #unused: number[] = [];
  readonly #scratch = new Uint8Array(UUID_BYTES);
  #oldest: Client | null = null;
  #newest: Client | null = null;
  #held = 0;
  #awakeMs = 0;
  #lastTickMs = -Infinity;
  #remounted = 0;
  /** Sessions, watched clients that is. */
  #sessions = 0;

  constructor(rng: Rng) {
    this.#hasher = new KeyHasher(rng);
  }

  /** Clients that have remounted and not expired. */
  get active(): number {
    return this.#remounted;
  }

  /** For how long the master has been running, stalls left out. */
  get awakeMs(): number {
    return this.#awakeMs;
  }

  /** Every client index is below this. */
  get limit(): number {
    return this.#clients.length;
  }

  /**
   * The index of the client whose id is at `bytes[at, at + 16)`, which is made known if need be. It
   * stays known for a session's length at least, even if nothing names it any more.
   */
  intern(bytes: Uint8Array, at: number): number {
    const known = this.findBytes(bytes, at);
    if (known !== 0) {
      if (!this.#clients[known]!.watched) this.see(known);
      return known;
    }
    const index = this.#unused.pop() ?? this.#clients.length;
    this.place(index, bytes, at);
    this.see(index);
    this.#limitStrangers();
    return index;
  }

  /** {@linkcode ClientTable.intern} by the text of the id. `RangeError` when the text is no id. */
  require(id: Uuid): number {
    if (!writeUuidBytes(id, this.#scratch, 0)) {
      throw new RangeError(`${JSON.stringify(id)} is not an id of the form "<u64>-<u64>"`);
    }
    return this.intern(this.#scratch, 0);
  }

  /** The index of a client that is known, or 0. */
  find(id: Uuid): number {
    return writeUuidBytes(id, this.#scratch, 0) ? this.findBytes(this.#scratch, 0) : 0;
  }

  /** {@linkcode ClientTable.find} by the id at `bytes[at, at + 16)`. */
  findBytes(bytes: Uint8Array, at: number): number {
    const hash = this.#hasher.hash(0, this.#views.of(bytes), at, at + UUID_BYTES);
    for (let index = this.#index.seek(hash); index !== 0; index = this.#index.seekNext()) {
      if (sameId(this.#clients[index]!.bytes, bytes, at)) return index;
    }
    return 0;
  }

  /** Makes a client known under a given index, in place of an unreferenced one if need be. */
  place(index: number, bytes: Uint8Array, at: number): void {
    const present = this.#clients[index] ?? null;
    if (present !== null) {
      if (sameId(present.bytes, bytes, at)) return;
      this.#drop(present);
    }
    while (this.#clients.length < index) {
      this.#unused.push(this.#clients.length);
      this.#clients.push(null);
    }
    const listed = this.#unused.lastIndexOf(index);
    if (listed >= 0) this.#unused.splice(listed, 1);
    const id = bytes.slice(at, at + UUID_BYTES);
    this.#clients[index] = {
      index,
      uuid: readUuidBytes(id, 0),
      bytes: id,
      references: 0,
      lastSeenMs: 0,
      watched: false,
      remounted: false,
      hostId: "",
      pings: false,
      fencesWriters: false,
      older: null,
      newer: null,
    };
    this.#index.insert(this.#hasher.hash(0, this.#views.of(id), 0, UUID_BYTES), index);
  }

  /** A client by its index, which must be in use. */
  get(index: number): Client {
    return this.#clients[index]!;
  }

  /** Whether an index is in use. */
  has(index: number): boolean {
    return (this.#clients[index] ?? null) !== null;
  }

  /** Counts one thing that names the client. Returns whether it is the first. */
  retain(index: number): boolean {
    return this.#clients[index]!.references++ === 0;
  }

  /** Takes back one {@linkcode ClientTable.retain}. */
  release(index: number): void {
    const client = this.#clients[index]!;
    client.references--;
    this.#forgetIfUnused(client);
  }

  /**
   * Keeps a client known while a batch of its calls is answered, though its last write may end with
   * one of them; until {@linkcode ClientTable.letGo}. 0 = nobody.
   */
  hold(index: number): void {
    this.#held = index;
  }

  letGo(): void {
    const client = this.#clients[this.#held] ?? null;
    this.#held = 0;
    if (client !== null) this.#forgetIfUnused(client);
  }

  /** Notes a sign of life: the client's time starts again. */
  see(index: number): void {
    const client = this.#clients[index]!;
    this.#unlink(client);
    client.lastSeenMs = this.#awakeMs;
    client.watched = true;
    this.#sessions++;
    client.older = this.#newest;
    if (this.#newest === null) this.#oldest = client;
    else this.#newest.newer = client;
    this.#newest = client;
  }

  setRemounted(index: number): void {
    const client = this.#clients[index]!;
    if (!client.remounted) this.#remounted++;
    client.remounted = true;
  }

  /** Whether the client has been silent for longer than its pings are apart, but not expired. */
  isSuspect(index: number): boolean {
    const client = this.#clients[index]!;
    return !client.watched || this.#awakeMs - client.lastSeenMs > SUSPECT_AFTER_MS;
  }

  /**
   * Advances the clock of the sessions. A longer gap counts as a stall of the master: whoever was seen
   * since the tick before it may have been seen at its end, and is as young as that.
   */
  tick(nowMs: number): void {
    const gap = nowMs - this.#lastTickMs;
    const beforeMs = this.#awakeMs;
    if (gap > 0 && gap !== Infinity) this.#awakeMs += Math.min(gap, LONGEST_TICK_MS);
    this.#lastTickMs = Math.max(nowMs, this.#lastTickMs);
    if (gap <= LONGEST_TICK_MS) return;
    for (let client = this.#newest; client?.lastSeenMs === beforeMs; client = client.older) {
      client.lastSeenMs = this.#awakeMs;
    }
  }

  /** A client silent for longer than `ttlMs`, or `null`. */
  expired(ttlMs: number): Client | null {
    const oldest = this.#oldest;
    return oldest !== null && this.#awakeMs - oldest.lastSeenMs > ttlMs ? oldest : null;
  }

  /** Milliseconds until somebody expires, if nobody is seen before; `Infinity` without sessions. */
  untilExpiry(ttlMs: number): number {
    const oldest = this.#oldest;
    return oldest === null ? Infinity : Math.max(0, oldest.lastSeenMs + ttlMs - this.#awakeMs);
  }

  /** Forgets clients that nothing names and nobody has seen. */
  forgetUnused(): void {
    for (const client of this.#clients) if (client !== null) this.#forgetIfUnused(client);
  }

  /** Ends a session. The client stays known while something names it. */
  expire(client: Client): void {
    this.#unlink(client);
    client.watched = false;
    if (client.remounted) this.#remounted--;
    client.remounted = false;
    this.#forgetIfUnused(client);
  }

  /** When there are very many sessions, ends the oldest one whose client nothing names. */
  #limitStrangers(): void {
    if (this.#sessions <= MANY_SESSIONS) return;
    let client = this.#oldest;
    for (let i = 0; i < STRANGERS_SOUGHT && client !== null; i++, client = client.newer) {
      if (client.references === 0) return this.expire(client);
    }
  }

  #forgetIfUnused(client: Client): void {
    if (client.references > 0 || client.watched || client.index === this.#held) return;
    this.#drop(client);
    this.#unused.push(client.index);
  }

  #drop(client: Client): void {
    this.#unlink(client);
    if (client.remounted) this.#remounted--;
    this.#index.remove(
      this.#hasher.hash(0, this.#views.of(client.bytes), 0, UUID_BYTES),
      client.index,
    );
    this.#clients[client.index] = null;
  }

  #unlink(client: Client): void {
    if (!client.watched) return;
    if (client.older === null) this.#oldest = client.newer;
    else client.older.newer = client.newer;
    if (client.newer === null) this.#newest = client.older;
    else client.newer.older = client.older;
    client.older = null;
    client.newer = null;
    client.watched = false;
    this.#sessions--;
  }
}

function sameId(id: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < UUID_BYTES; i++) if (id[i] !== bytes[at + i]) return false;
  return true;
}
