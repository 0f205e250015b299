import type { Uuid } from "../../proto/types.ts";

/** Memory of a vanished writer that the owner of its segment is to keep that writer out of. */
export interface FenceOrder {
  readonly id: Uuid;
  /** Client that owns the memory. */
  readonly owner: number;
  /** Id of the writer. */
  readonly writer: Uuid;
  /** The extent, and the ticket of its hold: another one means that it has been freed since. */
  readonly extent: number;
  readonly ticket: number;
}

/** Orders that are kept at once; memory beyond that waits for its time. */
const MAX_ORDERS = 4096;

/** Orders by id, and in a queue for each owner until they are handed out. Lost with the process. */
export class FenceOrders {
  readonly #orders = new Map<Uuid, FenceOrder>();
  readonly #waiting = new Map<number, FenceOrder[]>();

  get size(): number {
    return this.#orders.size;
  }

  get full(): boolean {
    return this.#orders.size >= MAX_ORDERS;
  }

  add(order: FenceOrder): void {
    this.#orders.set(order.id, order);
    const queue = this.#waiting.get(order.owner);
    if (queue === undefined) this.#waiting.set(order.owner, [order]);
    else queue.push(order);
  }

  /** Hands out the oldest orders of an owner. */
  take(owner: number, limit: number): FenceOrder[] {
    const queue = this.#waiting.get(owner);
    if (queue === undefined) return [];
    const taken = queue.splice(0, limit);
    if (queue.length === 0) this.#waiting.delete(owner);
    return taken;
  }

  find(id: Uuid): FenceOrder | null {
    return this.#orders.get(id) ?? null;
  }

  /** Drops the order, which was handed out. */
  drop(order: FenceOrder): void {
    this.#orders.delete(order.id);
  }

  /** Drops orders, handed out or not, that `isOver`. */
  prune(isOver: (order: FenceOrder) => boolean): void {
    for (const order of this.#orders.values()) if (isOver(order)) this.#orders.delete(order.id);
    for (const [owner, queue] of this.#waiting) {
      const left = queue.filter(({ id }) => this.#orders.has(id));
      if (left.length === 0) this.#waiting.delete(owner);
      else this.#waiting.set(owner, left);
    }
  }
}
