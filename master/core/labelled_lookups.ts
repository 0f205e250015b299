import { LookupHistory, type PastCells } from "./lookup_history.ts";

/** Kinds of lookups that are told apart; beyond that models and layers are counted together. */
const MAX_KINDS = 16_384;
const FIRST_CAPACITY = 256;

/** Lookups of one kind; the numbers mean what those of `LookupCount` mean. */
export interface LabelledCount {
  label: number;
  /** What else is known, as it was given. */
  kind: number;
  count: number;
  bytes: number;
}

/**
 * Running counts by label and kind. There are many labels and few of them together with each kind, so
 * each pair that comes gets the next cell. The copies of a window take at most 45 MB.
 */
export class LabelledLookups {
  readonly #fallback: number;
  readonly #maxKinds: number;
  /** Pairs of numbers that name a cell, and the cell + 1; at most half of them in use. */
  #table = new Int32Array(3 * 2 * FIRST_CAPACITY);
  #labels = new Int32Array(FIRST_CAPACITY);
  #kinds = new Int32Array(FIRST_CAPACITY);
  /** A count and bytes by cell. */
  #cells = new Float64Array(2 * FIRST_CAPACITY);
  #used = 0;
  #hasBegun = false;
  readonly #history = new LookupHistory();

  /** `fallback` is the label of what comes when there are `maxKinds` pairs. */
  constructor(fallback: number, maxKinds = MAX_KINDS) {
    this.#fallback = fallback;
    this.#maxKinds = maxKinds;
  }

  /** Counts a lookup; `bytes` = 0 for a miss. Both numbers are below 2^31. */
  count(label: number, kind: number, bytes: number): void {
    const cell = this.#cell(label, kind) * 2;
    this.#cells[cell]++;
    this.#cells[cell + 1] += bytes;
  }

  /** Keeps a copy of the counts when it is time for one. The first is of what was before all. */
  tick(nowMs: number): void {
    this.#history.tick(this.#cells.subarray(0, this.#hasBegun ? this.#used * 2 : 0), nowMs);
    this.#hasBegun = true;
  }

  /** Lookups since the copy before the window; see `Lookups.window`. */
  window(windowMs: number, nowMs: number): { start: PastCells | null; counts: LabelledCount[] } {
    const start = this.#history.start(windowMs, nowMs);
    const counts: LabelledCount[] = [];
    for (let cell = 0; cell < this.#used; cell++) {
      const changed = (at: number) => this.#cells[at] - (start?.cells[at] ?? 0);
      const count = changed(2 * cell);
      if (count === 0) continue;
      const [label, kind] = [this.#labels[cell], this.#kinds[cell]];
      counts.push({ label, kind, count, bytes: changed(2 * cell + 1) });
    }
    return { start, counts };
  }

  #cell(label: number, kind: number): number {
    const table = this.#table;
    const slots = table.length / 3;
    for (let at = slotOf(label, kind, slots);; at = at + 1 === slots ? 0 : at + 1) {
      const cell = table[3 * at + 2] - 1;
      if (cell < 0) break;
      if (table[3 * at] === label && table[3 * at + 1] === kind) return cell;
    }
    const isFull = this.#used >= this.#maxKinds && label !== this.#fallback;
    return isFull ? this.#cell(this.#fallback, kind) : this.#add(label, kind);
  }

  #add(label: number, kind: number): number {
    const cell = this.#used++;
    if (cell === this.#labels.length) this.#grow();
    this.#labels[cell] = label;
    this.#kinds[cell] = kind;
    this.#enter(cell);
    return cell;
  }

  #grow(): void {
    const capacity = this.#labels.length * 2;
    const [labels, kinds, cells] = [this.#labels, this.#kinds, this.#cells];
    this.#labels = new Int32Array(capacity);
    this.#labels.set(labels);
    this.#kinds = new Int32Array(capacity);
    this.#kinds.set(kinds);
    this.#cells = new Float64Array(2 * capacity);
    this.#cells.set(cells);
    this.#table = new Int32Array(3 * 2 * capacity);
    for (let cell = 0; cell < labels.length; cell++) this.#enter(cell);
  }

  #enter(cell: number): void {
    const table = this.#table;
    const slots = table.length / 3;
    let at = slotOf(this.#labels[cell], this.#kinds[cell], slots);
    while (table[3 * at + 2] !== 0) at = at + 1 === slots ? 0 : at + 1;
    table[3 * at] = this.#labels[cell];
    table[3 * at + 1] = this.#kinds[cell];
    table[3 * at + 2] = cell + 1;
  }
}

/** `slots` is a power of 2. */
function slotOf(label: number, kind: number, slots: number): number {
  const hash = Math.imul(label, 0x9e3779b1) ^ Math.imul(kind, 0x85ebca6b);
  return (hash ^ hash >>> 15) & slots - 1;
}
