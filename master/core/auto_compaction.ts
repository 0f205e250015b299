/** Compactions that the master begins by itself, when puts are refused for want of one long piece. */
import { openFreeBytes } from "./compaction_demand.ts";
import { isOver, JobStatus } from "./job_table.ts";
import { cancelJob, createCompaction } from "./jobs.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** Pause between two looks. */
const LOOK_MS = 500;
/** How long a put that found no piece is remembered. */
const DEMAND_MS = 60_000;
/** Pause after a compaction that came to nothing, doubled each time up to so often. */
const REST_MS = 30_000;
const MAX_DOUBLINGS = 5;
/** Pieces of the wanted size that are opened at once, if they can be had. */
const PIECES = 4;
/** Share of the free memory that is opened at most. */
const MOST_SHARE = 0.5;
const CONCURRENCY = 4;
const GIVE_UP_MS = 60_000;

/** Begins a compaction when one is needed, and sees what has come of the last. Bounded. */
export function stepAutoCompaction(state: CoreState, nowMs: number): void {
  const { demand, config } = state;
  if (state.readOnly || nowMs < demand.nextMs) return;
  demand.nextMs = nowMs + LOOK_MS;
  const open = Array.from(state.jobs.all()).filter(({ status }) => !isOver(status));
  if (!config.autoCompaction) {
    demand.wantedBytes = 0;
    const own = open.find(({ plan }) => plan.automatic);
    if (own !== undefined) cancelJob(state, own.id, nowMs);
    return;
  }
  if (open.length > 0 || state.segments.awaiting.size > 0) return;
  const restMs = restAfterLast(state);
  if (restMs > 0) {
    demand.nextMs = nowMs + restMs;
    return;
  }
  const least = wantedBytes(state, nowMs);
  const most = Math.floor(openFreeBytes(state) * MOST_SHARE);
  if (least === 0 || least > most) return;
  const { value } = createCompaction(state, {
    ...{ segments: [], targets: [], maxConcurrency: CONCURRENCY, giveUpMs: GIVE_UP_MS },
    bytesPerSecond: config.autoCompactionBytesPerSecond,
    goalBytes: Math.min(most, least * PIECES),
    ...{ leastBytes: least, automatic: true },
  }, nowMs);
  demand.job = value?.id ?? null;
}

/** Takes note of how the last compaction has ended; for how long none is begun after it. */
function restAfterLast({ demand, jobs }: CoreState): number {
  const job = demand.job === null ? null : jobs.find(demand.job);
  demand.job = null;
  if (job === null) return 0;
  if (job.status === JobStatus.SUCCEEDED) {
    demand.vain = 0;
    demand.wantedBytes = 0;
    return 0;
  }
  return REST_MS * 2 ** Math.min(demand.vain++, MAX_DOUBLINGS);
}

/** The length of the piece that is missing, 0 = none is. */
function wantedBytes(state: CoreState, nowMs: number): number {
  const { demand, config } = state;
  const { wantedBytes } = demand;
  if (nowMs - demand.wantedMs > DEMAND_MS || canHold(state, wantedBytes)) demand.wantedBytes = 0;
  if (demand.wantedBytes > 0 || config.autoCompactionFreeRatio === 0) return demand.wantedBytes;
  let most = 0;
  for (const { allocator, unitBytes } of openSegments(state)) {
    most = Math.max(most, allocator.freeUnits * unitBytes);
  }
  const share = Math.floor(most * config.autoCompactionFreeRatio);
  return canHold(state, share) ? 0 : share;
}

function canHold(state: CoreState, bytes: number): boolean {
  return bytes === 0 ||
    openSegments(state).some((entry) =>
      entry.allocator.canHold(state.segments.unitsFor(entry, bytes))
    );
}

function openSegments({ segments }: CoreState): SegmentEntry[] {
  return segments.openNames.flatMap(({ open }) => open);
}
