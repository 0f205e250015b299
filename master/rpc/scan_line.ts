import type { Work } from "../core/pattern/matcher.ts";
import type { ServedFunction } from "./call.ts";

/** A request whose handler looks at every object, a slice at a time. */
export interface WaitingScan {
  readonly connection: number;
  readonly seq: number;
  /** Its handler does one slice. */
  readonly served: ServedFunction;
}

/** Scans that may be open at the same time, and how many of them take turns; the others wait. */
const MAX_SCANS = 64;
const MAX_TAKING_TURNS = 4;

/** The scans that go on or wait for it, in order of arrival. */
export class ScanLine {
  readonly #scans: WaitingScan[] = [];
  #next = 0;

  get length(): number {
    return this.#scans.length;
  }

  get hasRoom(): boolean {
    return this.#scans.length < MAX_SCANS;
  }

  add(scan: WaitingScan): void {
    this.#scans.push(scan);
  }

  /**
   * Hands scans to `slice` until the work has run out. One leaves the line when `slice` answers true;
   * otherwise the work has run out, and another one is first the next time.
   */
  turn(work: Work, slice: (scan: WaitingScan) => boolean): void {
    while (work.left > 0 && this.#scans.length > 0) {
      const first = this.#next % Math.min(this.#scans.length, MAX_TAKING_TURNS);
      if (slice(this.#scans[first])) {
        this.#scans.splice(first, 1);
        this.#next = first;
      } else {
        this.#next = first + 1;
      }
    }
  }
}
