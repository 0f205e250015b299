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

const LISTS = 5;

/**
 * Doubly linked lists of objects, linked through the objects themselves, least recently used first.
 *
 * Two lists make exact order cheap: within each, objects enter at the tail when they are used, and
 * leases (all equally long) end in the same order, so the next victim is one of two heads.
 */
export class RecencyLists {
  readonly #objects: ObjectTable;
  readonly #heads = new Int32Array(LISTS);
  readonly #tails = new Int32Array(LISTS);
  readonly #counts = new Float64Array(LISTS);
  /** The objects at which a walk stands, 0 = none: one that leaves its list moves the walk on. */
  #firstMark = 0;
  #secondMark = 0;

  constructor(objects: ObjectTable) {
    this.#objects = objects;
  }

  /** The least recently used object, or 0. */
  head(list: RecencyList): number {
    return this.#heads[list];
  }

  count(list: RecencyList): number {
    return this.#counts[list];
  }

  next(slot: number): number {
    return this.#objects.link(slot, ObjectLink.NEXT);
  }

  /** Moves an object to the most recently used end of a list, from wherever it is. */
  append(list: RecencyList, slot: number): void {
    this.remove(slot);
    const tail = this.#tails[list];
    this.#objects.setList(slot, list);
    this.#objects.setLink(slot, ObjectLink.PREVIOUS, tail);
    this.#objects.setLink(slot, ObjectLink.NEXT, 0);
    if (tail === 0) this.#heads[list] = slot;
    else this.#objects.setLink(tail, ObjectLink.NEXT, slot);
    this.#tails[list] = slot;
    this.#counts[list]++;
  }

  /** Moves an object to the least recently used end of a list. */
  prepend(list: RecencyList, slot: number): void {
    this.remove(slot);
    const head = this.#heads[list];
    this.#objects.setList(slot, list);
    this.#objects.setLink(slot, ObjectLink.PREVIOUS, 0);
    this.#objects.setLink(slot, ObjectLink.NEXT, head);
    if (head === 0) this.#tails[list] = slot;
    else this.#objects.setLink(head, ObjectLink.PREVIOUS, slot);
    this.#heads[list] = slot;
    this.#counts[list]++;
  }

  /** Takes an object out of its list, if it is in one. */
  remove(slot: number): void {
    const list = this.#objects.list(slot);
    if (list === RecencyList.NONE) return;
    const previous = this.#objects.link(slot, ObjectLink.PREVIOUS);
    const next = this.#objects.link(slot, ObjectLink.NEXT);
    if (slot === this.#firstMark) this.#firstMark = next;
    else if (slot === this.#secondMark) this.#secondMark = next;
    if (previous === 0) this.#heads[list] = next;
    else this.#objects.setLink(previous, ObjectLink.NEXT, next);
    if (next === 0) this.#tails[list] = previous;
    else this.#objects.setLink(next, ObjectLink.PREVIOUS, previous);
    this.#objects.setList(slot, RecencyList.NONE);
    this.#counts[list]--;
  }

  /**
   * Begins a walk over two lists that may go on while they change: what moves away from where the
   * walk stands is left out there. There is one walk at a time; `NONE` twice ends it.
   */
  mark(first: RecencyList, second: RecencyList): void {
    this.#firstMark = this.#heads[first];
    this.#secondMark = this.#heads[second];
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
}
