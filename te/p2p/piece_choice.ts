import type { ShownPieces } from "./piece_set.ts";

/** A holder as the choice sees it. */
export interface Source {
  readonly shown: ShownPieces;
  /** Whether it has every piece. */
  readonly isWhole: boolean;
  /** Pieces that are being fetched from it. */
  readonly load: number;
}

/** What can be fetched next. */
export interface Choice<S extends Source> {
  readonly index: number;
  readonly source: S;
}

/** How pieces are chosen. */
export interface ChoiceRules {
  /** Pieces that may be fetched from one holder at the same time, by whether it has all. */
  readonly maxLoad: { readonly whole: number; readonly partial: number };
  /**
   * Whether pieces that another process is fetching may be fetched from a holder that has them all;
   * otherwise they are waited for, so that the first holder does not send them twice.
   */
  readonly takeTwice: boolean;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Candidates among which the rarest is taken; with all of them each choice would cost too much. */
const SAMPLE = 128;

/**
 * Chooses a piece that few have, among some drawn at random, and who is to send it: those who have
 * not all themselves rather than those who do, then those with the least to do. Removes the piece from
 * `missing`, whose order it changes; `null` when there is nothing to fetch now.
 */
export function choosePiece<S extends Source>(
  missing: number[],
  sources: readonly S[],
  { maxLoad, takeTwice, random }: ChoiceRules,
): Choice<S> | null {
  const free = sources.filter(({ load, isWhole }) =>
    load < (isWhole ? maxLoad.whole : maxLoad.partial)
  );
  const partial = sources.filter(({ isWhole }) => !isWhole);
  let best: { at: number; source: S; rarity: number } | null = null;
  let seen = 0;
  const start = Math.floor(random() * missing.length);
  for (let i = 0; i < missing.length && seen < SAMPLE && free.length > 0; i++) {
    const at = (start + i) % missing.length;
    const index = missing[at];
    const source = senderOf(
      index,
      free,
      takeTwice || !partial.some((s) => s.shown.taking.has(index)),
    );
    if (source === null) continue;
    seen++;
    const rarity = sources.reduce((sum, { shown }) => sum + (shown.have.has(index) ? 1 : 0), 0);
    if (best === null || rarity < best.rarity) best = { at, source, rarity };
  }
  if (best === null) return null;
  const index = missing[best.at];
  const last = missing.pop()!;
  if (best.at < missing.length) missing[best.at] = last;
  return { index, source: best.source };
}

function senderOf<S extends Source>(
  index: number,
  free: readonly S[],
  fromWhole: boolean,
): S | null {
  let best: S | null = null;
  for (const source of free) {
    if (!source.shown.have.has(index) || (source.isWhole && !fromWhole)) continue;
    const better = best === null || (best.isWhole && !source.isWhole) ||
      (best.isWhole === source.isWhole && source.load < best.load);
    if (better) best = source;
  }
  return best;
}

/** Numbers below `count` in random order. */
export function shuffled(count: number, random: () => number): number[] {
  const numbers = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [numbers[i], numbers[j]] = [numbers[j], numbers[i]];
  }
  return numbers;
}
