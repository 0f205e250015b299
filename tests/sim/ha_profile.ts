/** What one seed decides about a cluster of masters. */
import type { EngineManner } from "../support/memory_cluster.ts";
import type { Random } from "../support/random.ts";

/** What befalls the masters of a cluster, and what they share. */
export const HaFault = {
  LEADER_KILL: "leader killed",
  /** With what its machine had not brought to the disk. */
  LEADER_POWER_LOSS: "leader loses power",
  /** All of it, while its clock goes on. */
  LEADER_FREEZE: "leader frozen",
  /** Its core's thread only: the lease is renewed. */
  LEADER_CORE_STALL: "leader's core stalls",
  /** Its member's thread only: it goes on answering until the lease ends. */
  LEADER_MEMBER_STALL: "leader's member stalls",
  LEADER_CUT_OFF: "leader cut off from the engine",
  /** It ends as one that is told to. */
  LEADER_STOP: "leader stopped",
  STANDBY_KILL: "standby killed",
  STANDBY_FREEZE: "standby frozen",
  STANDBY_CUT_OFF: "standby cut off from the engine",
  /** It comes back with nothing, and needs a checkpoint once the log was trimmed. */
  STANDBY_NEW_DISK: "standby with a new disk",
  ENGINE_OUTAGE: "engine unavailable",
  /** It answers, and keeps nothing. */
  ENGINE_FULL: "engine full",
} as const;
export type HaFault = (typeof HaFault)[keyof typeof HaFault];

/** One cluster. Times in milliseconds, sizes in bytes. */
export interface HaProfile {
  masters: number;
  manner: EngineManner;
  leaseMs: number;
  /** Facts after which the leader makes a checkpoint and lets go of the log. */
  logBytes: number;
  /** How clients find the leader: they ask the engine, or try the masters. */
  source: "engine" | "list";
  connectTimeoutMs: number;
  /** Longest ordinary way to the engine. */
  engineDelayMs: number;
  /** One in so many messages to or from the engine is lost; 0 = none. */
  engineLosses: number;
  /** How much faster the engine's clock runs. */
  drift: number;
  faults: readonly HaFault[];
  faultEveryMs: number;
}

/** A change is in the log within some ways to the engine; what clients wait for it has room for them. */
const WAYS_IN_TIMEOUT = 33;

/** Draws a cluster whose clients wait for a call as long as `requestTimeoutMs`. */
export function drawHaProfile(random: Random, requestTimeoutMs: number): HaProfile {
  const all = Object.values(HaFault);
  const faults = all.filter(() => random.oneIn(3));
  return {
    masters: 2 + random.below(2),
    manner: random.pick(["etcd", "redis"] as const),
    leaseMs: random.pick([600, 1000, 2000]),
    logBytes: random.pick([5000, 20_000, 200_000]),
    source: random.pick(["engine", "list"] as const),
    connectTimeoutMs: random.pick([200, 1000]),
    engineDelayMs: Math.min(
      random.pick([1, 5, 30]),
      Math.floor(requestTimeoutMs / WAYS_IN_TIMEOUT),
    ),
    engineLosses: random.pick([0, 0, 30, 200]),
    drift: (random.below(7) - 3) / 100,
    faults: faults.length > 0 ? faults : [HaFault.LEADER_KILL],
    faultEveryMs: random.pick([700, 2000, 4000]),
  };
}
