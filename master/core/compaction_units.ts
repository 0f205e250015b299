import { JobKind, type Unit } from "./job_table.ts";
import type { CoreState } from "./state.ts";

/** The move of an object that a compaction has ordered and that is not over, `null` = none. */
export function compactionOf({ jobs }: CoreState, slot: number): Unit | null {
  for (const [id, run] of jobs.runs) {
    if (!run.slots.has(slot) || jobs.find(id)?.plan.kind !== JobKind.COMPACTION) continue;
    for (const unit of run.units.values()) if (unit.slot === slot) return unit;
  }
  return null;
}
