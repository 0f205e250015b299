import { UUID_BYTES } from "./uuid.ts";

/** A name: the id of the client, and the number that the client gave the write (f64). */
export const RESERVATION_NAME_BYTES = UUID_BYTES + 8;

interface Reservation {
  readonly slot: number;
  readonly name: Uint8Array;
  readonly hash: number;
  client: number;
  bytes: number;
  /** Another one whose name has the same hash. */
  next: Reservation | null;
}

/**
 * Objects that have no key yet: memory that clients have reserved for a put to come. They are in no
 * index of keys, so that no key leads to them; each has the name of its write instead.
 */
export class ReservationTable {
  /** Bytes of all of them, copies included. */
  bytes = 0;
  readonly #name = new Uint8Array(RESERVATION_NAME_BYTES);
  readonly #nameView = new DataView(this.#name.buffer);
  /** By hash of the name. */
  readonly #byName = new Map<number, Reservation>();
  /** By slot, in the order in which their writes began. */
  readonly #bySlot = new Map<number, Reservation>();
  readonly #counts = new Map<number, number>();

  get size(): number {
    return this.#bySlot.size;
  }

  /** The slot of the one that began first, or 0. */
  get oldest(): number {
    for (const slot of this.#bySlot.keys()) return slot;
    return 0;
  }

  has(slot: number): boolean {
    return this.#bySlot.has(slot);
  }

  /** The name of a client's write, until the next call. */
  nameOf(clientId: Uint8Array, writeId: number): Uint8Array {
    const name = this.#name;
    for (let i = 0; i < UUID_BYTES; i++) name[i] = clientId[i];
    this.#nameView.setFloat64(UUID_BYTES, writeId, true);
    return name;
  }

  /** The slot of a name, or 0. */
  find(name: Uint8Array): number {
    let found = this.#byName.get(hashOf(name)) ?? null;
    while (found !== null && !isSame(found.name, name)) found = found.next;
    return found === null ? 0 : found.slot;
  }

  /** Reservations of a client. */
  countOf(client: number): number {
    return this.#counts.get(client) ?? 0;
  }

  add(slot: number, name: Uint8Array): void {
    const hash = hashOf(name);
    const next = this.#byName.get(hash) ?? null;
    const reservation = { slot, name: name.slice(), hash, client: 0, bytes: 0, next };
    this.#byName.set(hash, reservation);
    this.#bySlot.set(slot, reservation);
  }

  /** Its write has begun: it is the youngest now. */
  begin(slot: number, client: number, bytes: number): void {
    const reservation = this.#bySlot.get(slot)!;
    this.#bySlot.delete(slot);
    this.#bySlot.set(slot, reservation);
    reservation.client = client;
    reservation.bytes = bytes;
    this.bytes += bytes;
    this.#counts.set(client, this.countOf(client) + 1);
  }

  remove(slot: number): void {
    const reservation = this.#bySlot.get(slot)!;
    const { hash, client, bytes, next } = reservation;
    this.#bySlot.delete(slot);
    let before = this.#byName.get(hash)!;
    if (before !== reservation) {
      while (before.next !== reservation) before = before.next!;
      before.next = next;
    } else if (next !== null) this.#byName.set(hash, next);
    else this.#byName.delete(hash);
    this.bytes -= bytes;
    const left = this.countOf(client) - 1;
    if (left > 0) this.#counts.set(client, left);
    else this.#counts.delete(client);
  }
}

/** FNV-1a. */
function hashOf(name: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < RESERVATION_NAME_BYTES; i++) hash = Math.imul(hash ^ name[i], 0x01000193);
  return hash;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < RESERVATION_NAME_BYTES; i++) if (a[i] !== b[i]) return false;
  return true;
}
