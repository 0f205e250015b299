import type { ObjectTable } from "./objects.ts";
import { RecordPool } from "./records.ts";

const SLOT = 0;
const PREVIOUS = 1;
const NEXT = 2;
const GROUP = 3;
const WORDS = 4;

/** Objects of one tenant that share their leases and are evicted together. */
export interface Group {
  readonly index: number;
  readonly tenant: number;
  readonly id: Uint8Array;
  /** First membership, see {@linkcode GroupTable.next}. */
  first: number;
  size: number;
  /** When the leases of all members were last renewed. */
  refreshedMs: number;
}

/** Groups by tenant and id, and their members, linked through membership records. */
export class GroupTable {
  readonly #objects: ObjectTable;
  readonly #members = new RecordPool(WORDS);
  readonly #groups: (Group | null)[] = [null];
  readonly #byName = new Map<string, Group>();
  readonly #unused: number[] = [];

  constructor(objects: ObjectTable) {
    this.#objects = objects;
  }

  get count(): number {
    return this.#byName.size;
  }

  /** Makes an object a member; it must not be in a group. */
  join(slot: number, tenant: number, id: Uint8Array): void {
    const group = this.#open(tenant, id);
    const member = this.#members.allocate();
    this.#members.setWord(member, SLOT, slot);
    this.#members.setWord(member, NEXT, group.first);
    this.#members.setWord(member, GROUP, group.index);
    if (group.first !== 0) this.#members.setWord(group.first, PREVIOUS, member);
    group.first = member;
    group.size++;
    this.#objects.setGroup(slot, member);
  }

  /** Ends an object's membership, if it has one. */
  leave(slot: number): void {
    const member = this.#objects.group(slot);
    if (member === 0) return;
    const group = this.#groups[this.#members.word(member, GROUP)]!;
    const previous = this.#members.word(member, PREVIOUS);
    const next = this.#members.word(member, NEXT);
    if (previous === 0) group.first = next;
    else this.#members.setWord(previous, NEXT, next);
    if (next !== 0) this.#members.setWord(next, PREVIOUS, previous);
    this.#members.release(member);
    this.#objects.setGroup(slot, 0);
    if (--group.size === 0) {
      this.#groups[group.index] = null;
      this.#byName.delete(nameOf(group.tenant, group.id));
      this.#unused.push(group.index);
    }
  }

  /** The group of an object, or `null`. */
  of(slot: number): Group | null {
    const member = this.#objects.group(slot);
    return member === 0 ? null : this.#groups[this.#members.word(member, GROUP)];
  }

  /** The object of a membership. */
  slot(member: number): number {
    return this.#members.word(member, SLOT);
  }

  /** The next membership of the same group, or 0. */
  next(member: number): number {
    return this.#members.word(member, NEXT);
  }

  #open(tenant: number, id: Uint8Array): Group {
    const name = nameOf(tenant, id);
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const index = this.#unused.pop() ?? this.#groups.length;
    const group = { index, tenant, id: id.slice(), first: 0, size: 0, refreshedMs: -Infinity };
    this.#groups[index] = group;
    this.#byName.set(name, group);
    return group;
  }
}

function nameOf(tenant: number, id: Uint8Array): string {
  return `${tenant}:${new TextDecoder("latin1").decode(id)}`;
}
