/** How full segments are once the moves under way are done, and which one takes an object next. */
import type { Unit } from "./job_table.ts";
import { replicaUnder } from "./replication.ts";
import type { SegmentName } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { isSuspect } from "./store_health.ts";

interface Fill {
  readonly name: SegmentName;
  readonly capacity: number;
  used: number;
}

/** Open segments by name with their use in bytes; moves under way count as done. */
export class Fills {
  readonly #state: CoreState;
  readonly #fills = new Map<string, Fill>();

  /** Of the names in `only`, or of all when it is empty. */
  constructor(state: CoreState, only: readonly string[], units: Iterable<Unit>) {
    this.#state = state;
    for (const name of state.segments.openNames) {
      if (only.length > 0 && !only.includes(name.name)) continue;
      let capacity = 0;
      let used = 0;
      for (const { allocator, unitBytes } of name.open) {
        capacity += allocator.totalUnits * unitBytes;
        used += allocator.usedUnits * unitBytes;
      }
      if (capacity > 0) this.#fills.set(name.name, { name, capacity, used });
    }
    for (const unit of units) this.move(unit.source, unit.target, unit.bytes);
  }

  /** Counts a move. */
  move(source: string, target: string, bytes: number): void {
    const from = this.#fills.get(source);
    const to = this.#fills.get(target);
    if (from !== undefined) from.used -= bytes;
    if (to !== undefined) to.used += bytes;
  }

  /** Used share of a name, `null` when nothing can be placed there. */
  share(name: string): number | null {
    const fill = this.#fills.get(name);
    return fill === undefined ? null : fill.used / fill.capacity;
  }

  /** Used share of all names together. */
  mean(): number {
    let capacity = 0;
    let used = 0;
    for (const fill of this.#fills.values()) {
      capacity += fill.capacity;
      used += fill.used;
    }
    return capacity === 0 ? 0 : used / capacity;
  }

  /** Difference of the fullest and the emptiest name's used shares. */
  spread(): number {
    let most = -Infinity;
    let least = Infinity;
    for (const { used, capacity } of this.#fills.values()) {
      most = Math.max(most, used / capacity);
      least = Math.min(least, used / capacity);
    }
    return most > least ? most - least : 0;
  }

  /** The emptiest name that has room for the object and does not hold it, "" = none. */
  emptiestFor(slot: number, bytes: number): string {
    let best = "";
    let bestShare = Infinity;
    for (const [text, { name, used, capacity }] of this.#fills) {
      const share = (used + bytes) / capacity;
      if (share > 1 || share >= bestShare || !this.#takes(name, bytes)) continue;
      if (replicaUnder(this.#state, slot, text) !== 0) continue;
      best = text;
      bestShare = share;
    }
    return best;
  }

  /** Whether a move makes the two more alike. */
  isBetter(source: string, target: string, bytes: number): boolean {
    const from = this.#fills.get(source);
    const to = this.#fills.get(target);
    if (from === undefined || to === undefined) return false;
    return (from.used - bytes) / from.capacity >= (to.used + bytes) / to.capacity;
  }

  #takes(name: SegmentName, bytes: number): boolean {
    const { segments } = this.#state;
    return name.open.some((entry) =>
      !isSuspect(this.#state, entry) &&
      entry.allocator.canHold(segments.unitsFor(entry, bytes))
    );
  }
}
