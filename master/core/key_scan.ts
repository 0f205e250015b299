import { compilePattern } from "./key_pattern.ts";
import { type KeyMatcher, Verdict, type Work } from "./pattern/matcher.ts";
import type { CoreState } from "./state.ts";

/** Work for an object that is looked at, beside what its key takes. */
const SLOT_WORK = 16;
/** Work for a byte of a pattern that is compiled, and for a step of what comes of it. */
const PATTERN_WORK = 128;
const STEP_WORK = 64;

/** A key whose bytes the work of one slice was not enough for. */
interface HeldKey {
  readonly slot: number;
  readonly tenant: number;
  readonly bytes: Uint8Array;
}

/**
 * Finds the objects of a tenant whose keys match, a bounded piece at a time, while objects come and
 * go between the pieces.
 *
 * A key that is there from the beginning to the end is found exactly once if it matches. One that
 * comes or goes meanwhile is found once or not at all, and again only when it went and came back.
 */
export class KeyScan {
  /** Why the pattern was refused, once that is known. */
  refusal: string | null = null;
  readonly #state: CoreState;
  readonly #tenant: number;
  readonly #pattern: Uint8Array | null;
  readonly #isEligible: (state: CoreState, slot: number) => boolean;
  #matcher: KeyMatcher | null = null;
  #held: HeldKey | null = null;
  #next = 1;
  /** Objects that are new since the scan began lie from here on, or where others went. */
  readonly #limit: number;

  /** `tenant` -1 = all tenants; `pattern` `null` = all keys. */
  constructor(
    state: CoreState,
    tenant: number,
    pattern: Uint8Array | null,
    isEligible: (state: CoreState, slot: number) => boolean,
  ) {
    this.#state = state;
    this.#tenant = tenant;
    this.#pattern = pattern;
    this.#isEligible = isEligible;
    this.#limit = state.objects.limit;
  }

  /** Whether every object was looked at, or none can be. */
  get isOver(): boolean {
    return this.refusal !== null || this.#next >= this.#limit && this.#held === null;
  }

  /** The slot of the next match; 0 = the work has run out, or the scan {@linkcode isOver}. */
  next(work: Work): number {
    if (this.#pattern !== null && this.#matcher === null) this.#compile(this.#pattern, work);
    if (this.refusal !== null) return 0;
    if (this.#held !== null) {
      const found = this.#resume(this.#held, work);
      if (found !== 0) return found;
    }
    const { objects } = this.#state;
    while (this.#next < this.#limit && work.left > 0) {
      const slot = this.#next++;
      work.left -= SLOT_WORK;
      if (!objects.has(slot) || objects.isReserved(slot)) continue;
      if (!this.#isEligible(this.#state, slot)) continue;
      if (this.#tenant >= 0 && objects.tenant(slot) !== this.#tenant) continue;
      if (this.#matcher === null) return slot;
      const at = objects.keyOffset(slot);
      const end = at + objects.keyLength(slot);
      const verdict = this.#matcher.test(objects.keyPage(slot), at, end, work);
      if (verdict === Verdict.MATCH) return slot;
      if (verdict === Verdict.UNDECIDED) {
        this.#held = { slot, tenant: objects.tenant(slot), bytes: objects.key(slot) };
        return 0;
      }
    }
    return 0;
  }

  #compile(pattern: Uint8Array, work: Work): void {
    work.left -= PATTERN_WORK * pattern.length;
    const compiled = compilePattern(pattern);
    if (typeof compiled === "string") {
      this.refusal = compiled;
    } else {
      this.#matcher = compiled;
      work.left -= STEP_WORK * compiled.steps;
    }
  }

  /** Goes on with a key, whose object may have gone; 0 = it is not a match. */
  #resume({ slot, tenant, bytes }: HeldKey, work: Work): number {
    if (work.left <= 0) return 0;
    const verdict = this.#matcher!.resume(bytes, work);
    if (verdict === Verdict.UNDECIDED) return 0;
    this.#held = null;
    if (verdict === Verdict.MISS) return 0;
    const there = this.#state.objects.find(tenant, bytes, 0, bytes.length) === slot;
    return there && this.#isEligible(this.#state, slot) ? slot : 0;
  }
}
