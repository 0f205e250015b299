/** What became of the lookups of keys, by tenant, call, tier and data type, over the last hour. */
import { ReplicaType } from "../../proto/types.ts";

/** The calls that look keys up. */
export const LookupCall = { GET: 0, EXIST: 1 } as const;
export type LookupCall = (typeof LookupCall)[keyof typeof LookupCall];

/** Where the first readable replica was, or why there was none. */
export const LOOKUP_TIERS = ["memory", "local_disk", "disk", "miss", "not_ready"] as const;
export type LookupTier = (typeof LOOKUP_TIERS)[number];

/** Tenants that are counted by name; the others are counted together. */
export const MAX_COUNTED_TENANTS = 64;

/** Lookups of one kind. */
export interface LookupCount {
  /** Index of the tenant, -1 = one of those that are counted together. */
  tenant: number;
  call: LookupCall;
  tier: LookupTier;
  /** Of the object; 0 for what was not found. */
  dataType: number;
  count: number;
  /** Sizes of the objects found, together. */
  bytes: number;
}

/** Lookups from one moment to another, both in the core's time. */
export interface LookupWindow {
  fromMs: number;
  toMs: number;
  counts: LookupCount[];
}

const TYPES = 16;
const MISS_TIER = 3;
const NOT_READY_TIER = 4;
/** Cells of one call of one tenant, and where those for misses are among them. */
const CALL_CELLS = 64;
const MISSES = 3 * TYPES;
const NOT_READY = MISSES + 1;
/** Causes of misses stand among the cells of the first call. */
const CAUSES = NOT_READY + 1;
/** Counts of both calls, then bytes. */
const BYTES = 2 * CALL_CELLS;
const ROW_CELLS = 4 * CALL_CELLS;

/** Snapshots every 5 s for 5 min, every 60 s for an hour. */
const STEPS = [{ stepMs: 5000, kept: 61 }, { stepMs: 60_000, kept: 61 }] as const;

interface Snapshot {
  timeMs: number;
  cells: Float64Array;
}

/**
 * Running counts, and copies of them as they were: what happened in a window is a difference of two.
 * Counting is one or two additions; the copies take at most 16 MB, with 64 tenants.
 */
export class Lookups {
  #cells = new Float64Array(ROW_CELLS);
  #row = 0;
  #tenant = 0;
  readonly #rings: Snapshot[][] = STEPS.map(() => []);

  /** Where the cells of the tenant are whose keys are looked up. */
  get row(): number {
    return this.#row;
  }

  /** Counts the cause of a miss, an index below 14, for the tenant whose cells are at `row`. */
  cause(row: number, cause: number): void {
    this.#cells[row + CAUSES + cause]++;
  }

  /** Says whose keys are looked up from here on. */
  begin(tenant: number): void {
    if (tenant !== this.#tenant) this.#turnTo(tenant);
  }

  /** Counts a key that was found; `kind` is that of the first readable replica. */
  hit(call: LookupCall, kind: ReplicaType, dataType: number, size: number): void {
    const tier = kind === ReplicaType.MEMORY ? 0 : kind === ReplicaType.LOCAL_DISK ? 1 : 2;
    const cell = this.#row + call * CALL_CELLS + tier * TYPES + dataType;
    this.#cells[cell]++;
    this.#cells[cell + BYTES] += size;
  }

  /** Counts a key that is not there. */
  miss(call: LookupCall): void {
    this.#cells[this.#row + call * CALL_CELLS + MISSES]++;
  }

  /** Counts a key that is there and cannot be read. */
  notReady(call: LookupCall): void {
    this.#cells[this.#row + call * CALL_CELLS + NOT_READY]++;
  }

  /** Keeps a copy of the counts when it is time for one. */
  tick(nowMs: number): void {
    STEPS.forEach(({ stepMs, kept }, i) => {
      const ring = this.#rings[i];
      if (ring.length > 0 && nowMs - ring[ring.length - 1].timeMs < stepMs) return;
      const oldest = ring.length < kept ? undefined : ring.shift()!;
      const cells = oldest?.cells.length === this.#cells.length
        ? oldest.cells
        : new Float64Array(this.#cells.length);
      cells.set(this.#cells);
      ring.push({ timeMs: nowMs, cells });
    });
  }

  /**
   * Lookups of at least the last `windowMs`: the window begins at the copy before, which is up to 5 s
   * older (60 s beyond 5 min), or with the first tick.
   */
  window(windowMs: number, nowMs: number): LookupWindow {
    const start = this.#start(windowMs, nowMs);
    const counts: LookupCount[] = [];
    const changed = (cell: number) => this.#cells[cell] - (start?.cells[cell] ?? 0);
    for (let row = 0; row < this.#cells.length; row += ROW_CELLS) {
      for (let at = 0; at < 2 * CALL_CELLS; at++) {
        if (at % CALL_CELLS >= CAUSES) continue;
        const count = changed(row + at);
        if (count > 0) counts.push({ ...place(row, at), count, bytes: changed(row + at + BYTES) });
      }
    }
    return { fromMs: start?.timeMs ?? nowMs, toMs: nowMs, counts };
  }

  /**
   * How often each of the first `count` causes was counted in the window, for all tenants (-1) or
   * for one that is counted by name.
   */
  causes(count: number, tenant: number, windowMs: number, nowMs: number): number[] {
    const start = this.#start(windowMs, nowMs);
    const sums = new Array<number>(count).fill(0);
    for (let row = 0; row < this.#cells.length; row += ROW_CELLS) {
      if (tenant >= 0 && row !== tenant * ROW_CELLS) continue;
      for (let i = 0; i < count; i++) {
        const cell = row + CAUSES + i;
        sums[i] += this.#cells[cell] - (start?.cells[cell] ?? 0);
      }
    }
    return sums;
  }

  #start(windowMs: number, nowMs: number): Snapshot | null {
    const ring = this.#rings[windowMs <= 300_000 ? 0 : 1];
    let start: Snapshot | null = ring[0] ?? null;
    for (const snapshot of ring) if (snapshot.timeMs <= nowMs - windowMs) start = snapshot;
    return start;
  }

  #turnTo(tenant: number): void {
    this.#tenant = tenant;
    this.#row = Math.min(tenant, MAX_COUNTED_TENANTS) * ROW_CELLS;
    if (this.#row < this.#cells.length) return;
    const cells = new Float64Array(this.#row + ROW_CELLS);
    cells.set(this.#cells);
    this.#cells = cells;
  }
}

function place(row: number, at: number): Omit<LookupCount, "count" | "bytes"> {
  const tenant = row / ROW_CELLS;
  const call = at < CALL_CELLS ? LookupCall.GET : LookupCall.EXIST;
  const cell = at % CALL_CELLS;
  const tier = cell === NOT_READY ? NOT_READY_TIER : Math.min(MISS_TIER, Math.floor(cell / TYPES));
  return {
    tenant: tenant < MAX_COUNTED_TENANTS ? tenant : -1,
    call,
    tier: LOOKUP_TIERS[tier],
    dataType: tier < MISS_TIER ? cell % TYPES : 0,
  };
}
