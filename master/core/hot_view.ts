/** What dynamic replication tells: counters, and the last decisions for people. */
import { Counter } from "./counters.ts";
import type { HeatMeter } from "./heat.ts";
import type { HotDecision } from "./hot_copies.ts";
import { slotText } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** What dynamic replication does, for people. */
export interface ReplicationView {
  mode: "off" | "observe" | "enforce";
  copies: number;
  copyBytes: number;
  /** Copies under way. */
  orders: number;
  /** The last ones, oldest first; times are of the Unix epoch. */
  decisions: HotDecision[];
}

export function describeReplication(state: CoreState): ReplicationView {
  const { hot, config } = state;
  return {
    mode: config.replicationMode,
    copies: hot.copies.size,
    copyBytes: hot.copyBytes,
    orders: hot.orders.size,
    decisions: hot.decisions.map((decision) => {
      return { ...decision, timeMs: Math.floor(decision.timeMs + config.epochOffsetMs) };
    }),
  };
}

/** Notes that a copy that was ordered has become readable. */
export function noteHotCopy(state: CoreState, slot: number, replica: number, nowMs: number): void {
  const { hot, replicas, segments, counters } = state;
  const bytes = replicas.size(replica);
  hot.addCopy({ slot, replica: replicas.id(replica), bytes, sinceMs: nowMs });
  counters.add(Counter.HOT_ADDED, 1);
  showCopies(state);
  tell(state, "added", slot, bytes, segments.at(replicas.segment(replica)).name.name, nowMs);
}

/** What measures reads. */
export function meterOf(state: CoreState, nowMs: number): HeatMeter {
  return state.hot.meter(state.config.replicationHeatWindowMs, nowMs);
}

/** Brings the gauges up to date. */
export function showCopies({ hot, counters }: CoreState): void {
  counters.add(Counter.HOT_COPIES, hot.copies.size - counters.get(Counter.HOT_COPIES));
  counters.add(Counter.HOT_BYTES, hot.copyBytes - counters.get(Counter.HOT_BYTES));
}

/** Remembers a decision for people. */
export function tell(
  state: CoreState,
  what: HotDecision["what"],
  slot: number,
  bytes: number,
  segment: string,
  nowMs: number,
): void {
  const { hot, objects } = state;
  const rate = meterOf(state, nowMs).rate(objects.hash(slot), nowMs);
  hot.tell({ timeMs: nowMs, what, key: slotText(state, slot), rate, bytes, segment });
}
