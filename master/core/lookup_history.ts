/** Running numbers as they were, so that what happened in a window is a difference of two. */

/** Copies every 5 s for 5 min, every 60 s for an hour. */
const STEPS = [{ stepMs: 5000, kept: 61 }, { stepMs: 60_000, kept: 61 }] as const;

/** Numbers at one moment of the core's time. */
export interface PastCells {
  timeMs: number;
  cells: Float64Array;
}

export class LookupHistory {
  readonly #rings: PastCells[][] = STEPS.map(() => []);

  /** Keeps a copy of the numbers when it is time for one. */
  tick(cells: Float64Array, nowMs: number): void {
    STEPS.forEach(({ stepMs, kept }, i) => {
      const ring = this.#rings[i];
      if (ring.length > 0 && nowMs - ring[ring.length - 1].timeMs < stepMs) return;
      const oldest = ring.length < kept ? undefined : ring.shift()!;
      const copy = oldest?.cells.length === cells.length
        ? oldest.cells
        : new Float64Array(cells.length);
      copy.set(cells);
      ring.push({ timeMs: nowMs, cells: copy });
    });
  }

  /** The numbers at least `windowMs` ago, or the oldest ones; `null` = there are none. */
  start(windowMs: number, nowMs: number): PastCells | null {
    const ring = this.#rings[windowMs <= 300_000 ? 0 : 1];
    let start: PastCells | null = ring[0] ?? null;
    for (const past of ring) if (past.timeMs <= nowMs - windowMs) start = past;
    return start;
  }
}
