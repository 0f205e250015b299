import { UUID_BYTES } from "./uuid.ts";

/** A name: the id of the client, and the number that the client gave the write (f64). */
export const RESERVATION_NAME_BYTES = UUID_BYTES + 8;

interface Reservation {
  readonly name: string;
  client: number;
  bytes: number;
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
  readonly #byName = new Map<string, number>();
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
    this.#name.set(clientId);
    this.#nameView.setFloat64(UUID_BYTES, writeId, true);
    return this.#name;
  }

  /** The slot of a name, or 0. */
  find(name: Uint8Array): number {
    return this.#byName.get(textOf(name)) ?? 0;
  }

  /** Reservations of a client. */
  countOf(client: number): number {
    return this.#counts.get(client) ?? 0;
  }

  add(slot: number, name: Uint8Array): void {
    const text = textOf(name);
    this.#byName.set(text, slot);
    this.#bySlot.set(slot, { name: text, client: 0, bytes: 0 });
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
    const { name, client, bytes } = this.#bySlot.get(slot)!;
    this.#bySlot.delete(slot);
    this.#byName.delete(name);
    this.bytes -= bytes;
    const left = this.countOf(client) - 1;
    if (left > 0) this.#counts.set(client, left);
    else this.#counts.delete(client);
  }
}

function textOf(name: Uint8Array): string {
  return String.fromCharCode.apply(null, name as unknown as number[]);
}
