import { WORD } from "./byte_set.ts";
import { Op, type Program } from "./program.ts";
import { Place } from "./syntax.ts";

/** Work that may be done before others have their turn; one unit is about a byte of a key. */
export interface Work {
  left: number;
}

/** What is known of a key. */
export const Verdict = {
  MISS: 0,
  MATCH: 1,
  /** The work ran out: {@linkcode KeyMatcher.resume} goes on. */
  UNDECIDED: 2,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Entries of the table beside the rows of states, which are above 0. */
const UNKNOWN = 0;
const MATCH = -1;
const MISS = -2;

/** In place of the byte before the beginning of a key. */
const NO_BYTE = -1;
const LAST_TURN = 0xffff_ffff;

/** What is kept of states at most: entries of the table, and steps in all states together. */
const MAX_ENTRIES = 1 << 18;
const MAX_KEPT_STEPS = 1 << 19;
const FIRST_ENTRIES = 1 << 10;

/** Work beside the bytes: for a key, for a new state and for each step that it takes to make it. */
const KEY_WORK = 16;
const STATE_WORK = 512;
const STEP_WORK = 24;

interface State {
  /** Steps of a byte each that can be taken here, because the rest of the key matches behind them. */
  readonly steps: Uint16Array;
  /** Whether nothing of the key comes after this place, or a part of a word. */
  readonly atEnd: boolean;
  readonly beforeWord: boolean;
}

/**
 * Says of keys whether an expression is found anywhere in them, in time that grows with the length of
 * a key and with nothing else but the size of the expression.
 *
 * A key is read from its end to its beginning. A state stands for the steps that lead to a match with
 * what has been read so far, so the truth of a look-ahead is known when its place is reached. States
 * are made when they are first needed and kept, up to a limit, so that most bytes cost one look at a
 * table.
 */
export class KeyMatcher {
  readonly #program: Program;
  readonly #width: number;
  readonly #edge: number;
  #table: Int32Array;
  /** By row of the table; the first is not used, the second belongs to the end of a key. */
  #states: State[] = [];
  readonly #rows = new Map<string, number>();
  #keptSteps = 0;
  /** Times that the table was begun anew. */
  #generation = 0;
  /** Steps from which a match can be reached at the place being looked at, in order of discovery. */
  readonly #reached: Uint16Array;
  /** The turn in which each step was reached last. */
  readonly #turnOf: Uint32Array;
  #turn = 0;
  #count = 0;
  readonly #next: Uint16Array;
  readonly #isEmptyHopeless: boolean;
  #row = 0;
  #at = 0;

  constructor(program: Program) {
    const { steps, classes } = program;
    this.#program = program;
    this.#edge = classes.length;
    this.#width = classes.length + 1;
    this.#table = new Int32Array(Math.max(FIRST_ENTRIES, 4 * this.#width));
    this.#reached = new Uint16Array(steps.length);
    this.#turnOf = new Uint32Array(steps.length);
    this.#next = new Uint16Array(steps.length);
    this.#forget();
    this.#isEmptyHopeless = this.#isHopeless();
  }

  /** Steps of the expression: what making the matcher took grows with them. */
  get steps(): number {
    return this.#program.steps.length;
  }

  /** Reads the key `bytes[start, end)`. */
  test(bytes: Uint8Array, start: number, end: number, work: Work): Verdict {
    const { prefix, prefixOnly } = this.#program;
    work.left -= KEY_WORK;
    if (prefix.length > 0) {
      if (end - start < prefix.length) return Verdict.MISS;
      for (let i = 0; i < prefix.length; i++) {
        if (bytes[start + i] !== prefix[i]) return Verdict.MISS;
      }
    }
    if (prefixOnly) return Verdict.MATCH;
    this.#row = this.#width;
    return this.#read(bytes, start, end, work);
  }

  /** Goes on with the key that was undecided; it is `bytes` now. */
  resume(bytes: Uint8Array, work: Work): Verdict {
    return this.#read(bytes, 0, this.#at, work);
  }

  #read(bytes: Uint8Array, start: number, end: number, work: Work): Verdict {
    const { classOf } = this.#program;
    let row = this.#row;
    let at = end;
    for (;;) {
      const stop = at - start <= work.left ? start : Math.max(start, at - Math.max(1, work.left));
      const from = at;
      const table = this.#table;
      while (at > stop) {
        const entry = table[row + classOf[bytes[at - 1]]];
        if (entry <= 0) break;
        row = entry;
        at--;
      }
      work.left -= from - at;
      if (at === stop && at > start) break;
      const column = at > start ? classOf[bytes[at - 1]] : this.#edge;
      const entry = table[row + column] || this.#enter(row, column, work);
      if (entry <= 0) return entry === MATCH ? Verdict.MATCH : Verdict.MISS;
      row = entry;
      at--;
      if (work.left <= 0 && at > start) break;
    }
    this.#row = row;
    this.#at = at - start;
    return Verdict.UNDECIDED;
  }

  /** Finds out where a state leads to with a class of bytes, or at the beginning of a key. */
  #enter(row: number, column: number, work: Work): number {
    const { steps, sets, sources, start, classes, hasWordEdges } = this.#program;
    const byte = column === this.#edge ? NO_BYTE : classes[column];
    this.#reach(this.#states[row / this.#width], byte);
    work.left -= STATE_WORK + STEP_WORK * this.#count;
    let entry: number = MISS;
    if (this.#isReached(start)) {
      entry = MATCH;
    } else if (byte !== NO_BYTE) {
      let count = 0;
      for (let i = 0; i < this.#count; i++) {
        for (const source of sources[this.#reached[i]]) {
          const { op, operand } = steps[source];
          if (op === Op.BYTES && sets[operand][byte] === 1) this.#next[count++] = source;
        }
      }
      work.left -= STEP_WORK * count;
      if (count > 0 || !this.#isEmptyHopeless) {
        const before = this.#generation;
        entry = this.#rowOf(count, hasWordEdges && WORD[byte] === 1);
        if (before !== this.#generation) return entry;
      }
    }
    this.#table[row + column] = entry;
    return entry;
  }

  /**
   * Collects the steps from which a match can be reached at a place between `byte` and what a state
   * stands for. Inner look-aheads come first: what is around them asks whether they hold.
   */
  #reach(state: State, byte: number): void {
    const { steps, ends, sources } = this.#program;
    const isEdge = (byte !== NO_BYTE && WORD[byte] === 1) !== state.beforeWord;
    const isAt = (place: number) =>
      place === Place.BEGIN
        ? byte === NO_BYTE
        : place === Place.END
        ? state.atEnd
        : isEdge === (place === Place.WORD_EDGE);
    this.#beginTurn();
    let done = 0;
    for (let layer = ends.length - 1; layer >= 0; layer--) {
      this.#add(ends[layer]);
      for (const step of state.steps) if (steps[step].layer === layer) this.#add(step);
      for (; done < this.#count; done++) {
        for (const source of sources[this.#reached[done]]) {
          const { op, operand, wanted } = steps[source];
          const goesOn = op === Op.SPLIT || op === Op.PLACE && isAt(operand) ||
            op === Op.LOOK && this.#isReached(operand) === wanted;
          if (goesOn && !this.#isReached(source)) this.#add(source);
        }
      }
    }
  }

  #beginTurn(): void {
    if (this.#turn === LAST_TURN) {
      this.#turnOf.fill(0);
      this.#turn = 0;
    }
    this.#turn++;
    this.#count = 0;
  }

  #add(step: number): void {
    this.#turnOf[step] = this.#turn;
    this.#reached[this.#count++] = step;
  }

  #isReached(step: number): boolean {
    return this.#turnOf[step] === this.#turn;
  }

  /** The row of the state that consists of the first `count` of the next steps. */
  #rowOf(count: number, beforeWord: boolean): number {
    const steps = this.#next.subarray(0, count).sort();
    const name = (beforeWord ? "w" : "-") + String.fromCharCode(...steps);
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    const entries = (this.#states.length + 1) * this.#width;
    if (entries > MAX_ENTRIES || this.#keptSteps + count > MAX_KEPT_STEPS) this.#forget();
    const row = this.#keep({ steps: steps.slice(), atEnd: false, beforeWord });
    this.#rows.set(name, row);
    return row;
  }

  #keep(state: State): number {
    const row = this.#states.length * this.#width;
    if (row + this.#width > this.#table.length) {
      const larger = new Int32Array(2 * this.#table.length);
      larger.set(this.#table);
      this.#table = larger;
    }
    this.#states.push(state);
    this.#keptSteps += state.steps.length;
    return row;
  }

  /** Begins anew with the state of the end of a key alone. */
  #forget(): void {
    this.#generation++;
    this.#table.fill(UNKNOWN);
    this.#rows.clear();
    this.#keptSteps = 0;
    const atEnd = { steps: new Uint16Array(0), atEnd: true, beforeWord: false };
    this.#states = [atEnd, atEnd];
  }

  /** Whether a state without steps, but for that of the end of a key, never leads to a match. */
  #isHopeless(): boolean {
    const { start, steps, sources, hasWordEdges } = this.#program;
    if (hasWordEdges) return false;
    const state = { steps: new Uint16Array(0), atEnd: false, beforeWord: false };
    this.#reach(state, NO_BYTE);
    if (this.#isReached(start)) return false;
    this.#reach(state, 0);
    const reached = this.#reached.subarray(0, this.#count);
    return !this.#isReached(start) &&
      !reached.some((step) => sources[step].some((source) => steps[source].op === Op.BYTES));
  }
}
