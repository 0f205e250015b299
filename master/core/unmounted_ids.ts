import type { Uuid } from "../../proto/types.ts";

const MAX_IDS = 4096;

/**
 * Segments that their owners have taken back. An id is not mounted again after that: a mount that
 * comes now was sent before, and was on its way for longer.
 *
 * The last 4096 are known; owners ask again, and so bring back to mind what still concerns them.
 */
export class UnmountedIds {
  readonly #known = new Set<string>();

  has(id: Uuid, owner: Uuid): boolean {
    return this.#known.has(`${id} ${owner}`);
  }

  add(id: Uuid, owner: Uuid): void {
    const name = `${id} ${owner}`;
    this.#known.delete(name);
    this.#known.add(name);
    if (this.#known.size <= MAX_IDS) return;
    for (const oldest of this.#known) {
      this.#known.delete(oldest);
      return;
    }
  }

  /** All of them, oldest first, each with its owner. */
  *each(): Iterable<[Uuid, Uuid]> {
    for (const name of this.#known) yield name.split(" ") as [Uuid, Uuid];
  }
}
