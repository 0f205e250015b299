/** What became of the lookups of keys, by tenant, call, tier, data type and label, over the last hour. */
import { ReplicaType } from "../../proto/types.ts";
import { type KeyLabels, layerOf, modelOf, NO_LAYER, NO_MODEL, OTHERS } from "./key_labels.ts";
import { LabelledLookups } from "./labelled_lookups.ts";
import { LookupHistory, type PastCells } from "./lookup_history.ts";

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
  /** Index of the model in `KeyLabels.modelNames`. */
  model: number;
  /** `NO_LAYER` and `OTHER_LAYERS` are special. */
  layer: number;
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

/**
 * Running counts, and copies of them as they were. Counting is one or two additions while keys are not
 * labelled; the copies take at most 16 MB, with 64 tenants.
 */
export class Lookups {
  #cells = new Float64Array(ROW_CELLS);
  #row = 0;
  #tenant = 0;
  readonly #history = new LookupHistory();
  readonly #labels: KeyLabels;
  #labelled = new LabelledLookups(OTHERS);

  constructor(labels: KeyLabels) {
    this.#labels = labels;
  }

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
    this.#count(cell, size);
    this.#cells[cell + BYTES] += size;
  }

  /** Counts a key that is not there. */
  miss(call: LookupCall): void {
    this.#count(this.#row + call * CALL_CELLS + MISSES, 0);
  }

  /** Counts a key that is there and cannot be read. */
  notReady(call: LookupCall): void {
    this.#count(this.#row + call * CALL_CELLS + NOT_READY, 0);
  }

  /** Forgets what was counted by label; the labels mean something else now. */
  forgetLabels(): void {
    this.#labelled = new LabelledLookups(OTHERS);
  }

  /** Keeps a copy of the counts when it is time for one. */
  tick(nowMs: number): void {
    this.#history.tick(this.#cells, nowMs);
    if (this.#labels.isOn) this.#labelled.tick(nowMs);
  }

  /**
   * Lookups of at least the last `windowMs`: the window begins at the copy before, which is up to 5 s
   * older (60 s beyond 5 min), or with the first tick.
   */
  window(windowMs: number, nowMs: number): LookupWindow {
    const start = this.#history.start(windowMs, nowMs);
    const counts: LookupCount[] = [];
    const changed = (cell: number) => this.#cells[cell] - (start?.cells[cell] ?? 0);
    for (let row = 0; row < this.#cells.length; row += ROW_CELLS) {
      for (let at = 0; at < 2 * CALL_CELLS; at++) {
        if (at % CALL_CELLS >= CAUSES) continue;
        const count = changed(row + at);
        if (count === 0) continue;
        const bytes = changed(row + at + BYTES);
        counts.push({ ...place(row + at), model: NO_MODEL, layer: NO_LAYER, count, bytes });
      }
    }
    return windowOf(start, nowMs, counts);
  }

  /**
   * The same by model and layer. While there is no format of keys, all are unknown; what was looked up
   * before the one in force is left out.
   */
  labelledWindow(windowMs: number, nowMs: number): LookupWindow {
    if (!this.#labels.isOn) return this.window(windowMs, nowMs);
    const { start, counts } = this.#labelled.window(windowMs, nowMs);
    const named = counts.map(({ label, kind, count, bytes }) => ({
      ...place(kind),
      ...{ model: modelOf(label), layer: layerOf(label), count, bytes },
    }));
    return windowOf(start, nowMs, named);
  }

  /**
   * How often each of the first `count` causes was counted in the window, for all tenants (-1) or
   * for one that is counted by name.
   */
  causes(count: number, tenant: number, windowMs: number, nowMs: number): number[] {
    const start = this.#history.start(windowMs, nowMs);
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

  /** Counts in a cell, whose index also says what is known of the lookup. */
  #count(cell: number, bytes: number): void {
    this.#cells[cell]++;
    const labels = this.#labels;
    if (labels.isOn) this.#labelled.count(labels.current, cell, bytes);
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

function windowOf(start: PastCells | null, nowMs: number, counts: LookupCount[]): LookupWindow {
  return { fromMs: start?.timeMs ?? nowMs, toMs: nowMs, counts };
}

/** What the cell of a count stands for. */
function place(index: number): Pick<LookupCount, "tenant" | "call" | "tier" | "dataType"> {
  const tenant = Math.floor(index / ROW_CELLS);
  const at = index % ROW_CELLS;
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
