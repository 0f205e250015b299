/** The order of eviction, handed from the core that knows it to one that was rebuilt from facts. */
import { lastUsedMs } from "./leases.ts";
import { RecencyList } from "./lru.ts";
import { ObjectLink } from "./objects.ts";
import { isWhole } from "./queries.ts";
import type { CoreState } from "./state.ts";

/**
 * Walks over everything that could be evicted, one tenant after the other, least recently used first,
 * a slice at a time, while the core goes on. An object goes by the id of one of its replicas, which every core that knows the
 * object knows it by.
 *
 * What is used during the walk may be handed over twice, the later place counting, or not at all: it
 * is among the most recently used then. A new walk ends the one before it.
 */
export class RecencyWalk {
  readonly #state: CoreState;
  #pinned = false;
  #tenant = 0;

  constructor(state: CoreState) {
    this.#state = state;
    state.recency.mark(0, RecencyList.FRESH, RecencyList.READ);
  }

  /** Fills `ids` from the start; how many there are, less than its length when the walk is over. */
  next(ids: Float64Array, nowMs: number): number {
    const { recency } = this.#state;
    for (let count = 0; count < ids.length;) {
      const slot = this.#oldest(nowMs);
      if (slot !== 0) {
        recency.passMark(slot);
        const id = idOf(this.#state, slot);
        if (id !== 0) ids[count++] = id;
      } else if (!this.#pinned) {
        this.#pinned = true;
        recency.mark(this.#tenant, RecencyList.PINNED_FRESH, RecencyList.PINNED_READ);
      } else if (this.#tenant + 1 < recency.tenantLimit) {
        this.#pinned = false;
        recency.mark(++this.#tenant, RecencyList.FRESH, RecencyList.READ);
      } else {
        return count;
      }
    }
    return ids.length;
  }

  /** Gives up a walk that is not over. */
  end(): void {
    this.#pinned = true;
    this.#tenant = this.#state.recency.tenantLimit;
    this.#state.recency.mark(0, RecencyList.NONE, RecencyList.NONE);
  }

  /** The order in which a tenant's victims would be taken; a lease makes no object older or younger. */
  #oldest(nowMs: number): number {
    const { recency, objects } = this.#state;
    const fresh = recency.firstMark;
    const read = recency.secondMark;
    if (fresh === 0) return read;
    if (read === 0 || objects.leaseUntil(fresh) > nowMs) return fresh;
    return lastUsedMs(this.#state, fresh) <= lastUsedMs(this.#state, read) ? fresh : read;
  }
}

/** The id of the object's first whole replica in memory, or 0. */
function idOf(state: CoreState, slot: number): number {
  const { objects, replicas } = state;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (replicas.isMemory(replica) && isWhole(state, replica)) return replicas.id(replica);
  }
  return 0;
}

/**
 * Brings the objects of a core that has only replayed facts into the order that a walk over another
 * core handed over. Those that it did not name count as used last, in the order they had.
 */
export function orderByRecency(state: CoreState, order: readonly Float64Array[]): void {
  const { objects, replicas, recency } = state;
  const find = replicaFinder(state);
  const placed = new Uint8Array(objects.limit);
  for (let i = order.length - 1; i >= 0; i--) {
    const ids = order[i];
    for (let j = ids.length - 1; j >= 0; j--) {
      const replica = find(ids[j]);
      const slot = replica === 0 ? 0 : replicas.slot(replica);
      const list = slot === 0 ? RecencyList.NONE : objects.list(slot) as RecencyList;
      if (list === RecencyList.NONE || placed[slot] !== 0) continue;
      placed[slot] = 1;
      recency.prepend(list, slot);
    }
  }
}

/** Looks replicas up by their ids, 0 = there is none: a hash table that links them by index. */
function replicaFinder({ objects, replicas }: CoreState): (id: number) => number {
  const size = 2 ** Math.ceil(Math.log2(replicas.count + 1));
  const heads = new Int32Array(size);
  const links = new Int32Array(replicas.limit);
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot)) continue;
    for (
      let replica = objects.link(slot, ObjectLink.REPLICA);
      replica !== 0;
      replica = replicas.next(replica)
    ) {
      const at = replicas.id(replica) % size;
      links[replica] = heads[at];
      heads[at] = replica;
    }
  }
  return (id) => {
    let replica = heads[id % size];
    while (replica !== 0 && replicas.id(replica) !== id) replica = links[replica];
    return replica;
  };
}
