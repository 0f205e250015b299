import type { Aside } from "./aside.ts";
import type { PartScan } from "./compaction_scan.ts";

/** What a running compaction remembers in this process. */
export class CompactionRun {
  /** The search that goes on, `null` = none does. */
  scan: PartScan | null = null;
  /** What is being emptied. */
  part: Aside | null = null;
  /** Units that were free there, and since when it has been as many. */
  freeUnits = 0;
  sinceMs = 0;
  /** Parts in a row that could not be emptied. */
  failures = 0;
  /** Objects that found no place or were busy for too long, and places held for too long. */
  readonly slots = new Set<number>();
  readonly places = new Set<string>();

  /** `goalBytes` is the length in a row to reach next. */
  constructor(public goalBytes: number) {}

  /** Forgets what could not be moved: it may be different now. */
  forgetImmovable(): void {
    this.slots.clear();
    this.places.clear();
    this.failures = 0;
  }
}
