import { IndexedHeap } from "./indexed_heap.ts";
import { ObjectLink, type ObjectTable } from "./objects.ts";

/** Recency lists. An object is in one of them while its memory could be evicted. */
export const RecencyList = {
  NONE: 0,
  /** Not read since it was put. */
  FRESH: 1,
  /** Read since: a lease was given. */
  READ: 2,
  /** The same two for objects with a soft pin. */
  PINNED_FRESH: 3,
  PINNED_READ: 4,
} as const;
export type RecencyList = (typeof RecencyList)[keyof typeof RecencyList];

/** The lists of a tenant lie next to each other, one place is left out. */
const LISTS_SHIFT = 3;
const LIST_MASK = 7;
const LISTS = 5;

/**
 * Tenants in the order in which their oldest objects were used. What is entered is a time before
 * which none of a tenant's objects was used last; it is looked at again when its turn comes.
 */
export interface TenantOrder {
  readonly ready: IndexedHeap;
  /** Tenants that are to be looked at again when a lease has run out, by that time. */
  readonly asleep: IndexedHeap;
}

/**
 * Doubly linked lists of objects, linked through the objects themselves, least recently used first.
 *
 * Two lists make exact order cheap: within each, objects enter at the tail when they are used, and
 * leases (all equally long) end in the same order, so the next victim is one of two heads. Every
 * tenant has lists of its own.
 */
export class RecencyLists {
  readonly #objects: ObjectTable;
  #heads = new Int32Array(1 << LISTS_SHIFT);
  #tails = new Int32Array(1 << LISTS_SHIFT);
  readonly #counts = new Float64Array(LISTS);
  /** The objects at which a walk stands, 0 = none: one that leaves its list moves the walk on. */
  #firstMark = 0;
  #secondMark = 0;
  /** Of objects without and with a soft pin. */
  readonly order: TenantOrder = { ready: new IndexedHeap(), asleep: new IndexedHeap() };
  readonly pinnedOrder: TenantOrder = { ready: new IndexedHeap(), asleep: new IndexedHeap() };

  constructor(objects: ObjectTable) {
    this.#objects = objects;
  }

  /** Every tenant that has ever had an object in a list is below this. */
  get tenantLimit(): number {
    return this.#heads.length >>> LISTS_SHIFT;
  }

  /** The least recently used object of a tenant below the limit, or 0. */
  head(tenant: number, list: RecencyList): number {
    return this.#heads[tenant << LISTS_SHIFT | list];
  }

  /** Objects of all tenants in lists of a kind. */
  count(list: RecencyList): number {
    return this.#counts[list];
  }

  next(slot: number): number {
    return this.#objects.link(slot, ObjectLink.NEXT);
  }

  /** Moves an object to the most recently used end of a list, from wherever it is. */
  append(list: RecencyList, slot: number): void {
    const from = this.#objects.tenantList(slot);
    if ((from & LIST_MASK) !== RecencyList.NONE) this.#unlink(slot, from);
    const place = from & ~LIST_MASK | list;
    if (place >= this.#tails.length) this.#grow(place + 1);
    const tail = this.#tails[place];
    this.#objects.setList(slot, list);
    this.#objects.setLink(slot, ObjectLink.PREVIOUS, tail);
    this.#objects.setLink(slot, ObjectLink.NEXT, 0);
    if (tail === 0) {
      this.#heads[place] = slot;
      const order = list < RecencyList.PINNED_FRESH ? this.order : this.pinnedOrder;
      order.ready.set(place >>> LISTS_SHIFT, -Infinity);
    } else {
      this.#objects.setLink(tail, ObjectLink.NEXT, slot);
    }
    this.#tails[place] = slot;
    this.#counts[list]++;
  }

  /** Moves an object to the least recently used end of a list of its tenant. */
  prepend(list: RecencyList, slot: number): void {
    this.remove(slot);
    const place = this.#objects.tenant(slot) << LISTS_SHIFT | list;
    if (place >= this.#heads.length) this.#grow(place + 1);
    const head = this.#heads[place];
    this.#objects.setList(slot, list);
    this.#objects.setLink(slot, ObjectLink.PREVIOUS, 0);
    this.#objects.setLink(slot, ObjectLink.NEXT, head);
    if (head === 0) this.#tails[place] = slot;
    else this.#objects.setLink(head, ObjectLink.PREVIOUS, slot);
    this.#heads[place] = slot;
    const order = list < RecencyList.PINNED_FRESH ? this.order : this.pinnedOrder;
    order.ready.set(this.#objects.tenant(slot), -Infinity);
    this.#counts[list]++;
  }

  /** Takes an object out of its list, if it is in one. */
  remove(slot: number): void {
    const place = this.#objects.tenantList(slot);
    if ((place & LIST_MASK) === RecencyList.NONE) return;
    this.#unlink(slot, place);
    this.#objects.setList(slot, RecencyList.NONE);
  }

  #unlink(slot: number, place: number): void {
    const previous = this.#objects.link(slot, ObjectLink.PREVIOUS);
    const next = this.#objects.link(slot, ObjectLink.NEXT);
    if (slot === this.#firstMark) this.#firstMark = next;
    else if (slot === this.#secondMark) this.#secondMark = next;
    if (previous === 0) this.#heads[place] = next;
    else this.#objects.setLink(previous, ObjectLink.NEXT, next);
    if (next === 0) this.#tails[place] = previous;
    else this.#objects.setLink(next, ObjectLink.PREVIOUS, previous);
    this.#counts[place & LIST_MASK]--;
  }

  /**
   * Begins a walk over two lists of a tenant that may go on while they change: what moves away from
   * where the walk stands is left out there. There is one walk at a time; `NONE` twice ends it.
   */
  mark(tenant: number, first: RecencyList, second: RecencyList): void {
    this.#firstMark = this.#heads[tenant << LISTS_SHIFT | first];
    this.#secondMark = this.#heads[tenant << LISTS_SHIFT | second];
  }

  /** Where the walk stands in the first list, 0 = at its end. */
  get firstMark(): number {
    return this.#firstMark;
  }

  /** Where the walk stands in the second list, 0 = at its end. */
  get secondMark(): number {
    return this.#secondMark;
  }

  /** Moves the walk past `slot`, at which it stands. */
  passMark(slot: number): void {
    const next = this.#objects.link(slot, ObjectLink.NEXT);
    if (slot === this.#firstMark) this.#firstMark = next;
    else this.#secondMark = next;
  }

  #grow(places: number): void {
    const length = Math.max(this.#heads.length * 2, places + 7 >>> 3 << 3);
    const heads = new Int32Array(length);
    heads.set(this.#heads);
    const tails = new Int32Array(length);
    tails.set(this.#tails);
    this.#heads = heads;
    this.#tails = tails;
  }
}
