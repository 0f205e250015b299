/** What one seed decides about its world before anything happens in it. */
import type { CoreConfig } from "../../master/core/api.ts";
import type { Random } from "../support/random.ts";

/** What the users of a world do. */
export const Command = {
  PUT: "put",
  UPSERT: "upsert",
  GET: "get",
  EXISTS: "exists",
  REMOVE: "remove",
  REMOVE_FORCED: "remove forced",
  REMOVE_BY_REGEX: "remove by regex",
  PUT_BATCH: "put batch",
  UPSERT_BATCH: "upsert batch",
  GET_BATCH: "get batch",
  EXISTS_BATCH: "exists batch",
  REMOVE_BATCH: "remove batch",
  REGEX_LIST: "list by regex",
  COPY: "copy task",
  MOVE: "move task",
  CLEAR: "clear replicas",
} as const;
export type Command = (typeof Command)[keyof typeof Command];

/** What befalls a world. */
export const Fault = {
  CLIENT_CRASH: "client crash",
  CLIENT_FREEZE: "client freeze",
  NODE_CRASH: "node crash",
  NODE_FREEZE: "node freeze",
  NODE_REMOUNT: "node unmount and mount",
  CONNECTION_LOSS: "connection loss",
  DATA_LOSS: "data connection loss",
  MASTER_STALL: "master stall",
  MASTER_RESTART: "master restart",
  /** The master dies between two steps of writing down a batch. */
  TORN_BATCH: "torn batch",
  /** An operator drains a node, levels or compacts the segments, or cancels what goes on. */
  JOB: "job",
  /** Bytes of lent memory change, in worlds whose clients check what they read. */
  BIT_FLIPS: "bit flips",
} as const;
export type Fault = (typeof Fault)[keyof typeof Fault];

/** One world: who is in it, how it is set up, what occurs. Times in milliseconds, sizes in bytes. */
export interface Profile {
  clients: number;
  nodes: number;
  /** Users in each client, which work at the same time. */
  users: number;
  /** A node's users; nodes are clients, too. */
  nodeUsers: number;
  keys: number;
  /** Clients number their writes, as ours do and those of the reference do not. */
  numbersWrites: boolean;
  /** Clients give values checksums and check what they read. */
  checksValues: boolean;
  /** Clients that check values read where objects were while they ask. */
  remembersPlaces: boolean;
  /** Clients read what they hold without asking. */
  takesHolds: boolean;
  /** Clients that number their writes reserve memory for puts to come. */
  reservesPuts: boolean;
  leastValue: number;
  mostValue: number;
  segmentBytes: number;
  segmentsPerNode: number;
  mostReplicas: number;
  /** Mean pause of a user between two commands. */
  thinkMs: number;
  /** Longest ordinary delay of a message. */
  delayMs: number;
  /** One in so many messages takes up to `straggleMs` instead; 0 = none. */
  stragglers: number;
  straggleMs: number;
  transferTimeoutMs: number;
  requestTimeoutMs: number;
  putWaitMs: number;
  /** For how long users work. */
  busyMs: number;
  /** Mean time between two faults. */
  faultEveryMs: number;
  longestFreezeMs: number;
  /** Longest freeze of a node. Owners that are away for longer than their time-out are given up. */
  longestNodeFreezeMs: number;
  /** Longest time for which a master that died stays away, and 50 ms. */
  longestAbsenceMs: number;
  commands: readonly Command[];
  faults: readonly Fault[];
  withPins: boolean;
  withGroups: boolean;
  core: Partial<CoreConfig>;
}

/** Commands without which there is nothing to see. */
const ALWAYS: readonly Command[] = [Command.PUT, Command.GET];

/**
 * Draws a world: each command and each fault occurs in some worlds only. Writers are done within the
 * release time-out, as the master takes for granted: from then on it gives their memory to others.
 * What came to be drawn later comes from `more`, so that the rest of a seed's world stays what it was.
 */
export function drawProfile(random: Random, more: Random): Profile {
  const between = (least: number, most: number) => least + random.below(most - least + 1);
  const some = <T>(all: readonly T[], outOf: number): T[] =>
    all.filter(() => random.below(outOf) === 0);
  const optional = Object.values(Command).filter((command) => !ALWAYS.includes(command));
  const leaseMs = random.pick([60, 200, 500, 1500]);
  const discardMs = random.pick([300, 1000, 3000]);
  const transferTimeoutMs = random.pick([100, 300, 1000]);
  const requestTimeoutMs = random.pick([200, 1000, 5000]);
  const putWaitMs = random.pick([0, 30, 300]);
  const longestFreezeMs = random.pick([100, 500, 2000]);
  const straggleMs = random.pick([50, 200, 600]);
  const writingMs = requestTimeoutMs + putWaitMs + transferTimeoutMs + 3 * straggleMs +
    3 * longestFreezeMs;
  const releaseMs = discardMs + writingMs;
  const leastValue = 64;
  const checksValues = random.oneIn(2);
  const faults = some(Object.values(Fault), 3)
    .filter((fault) => checksValues || fault !== Fault.BIT_FLIPS);
  return {
    clients: between(1, 3),
    nodes: between(1, 3),
    users: between(1, 3),
    nodeUsers: random.below(2),
    keys: random.pick([3, 10, 40]),
    numbersWrites: random.oneIn(2),
    checksValues,
    remembersPlaces: true,
    takesHolds: !more.oneIn(5),
    reservesPuts: true,
    leastValue,
    mostValue: random.pick([leastValue, 400, 2000, 8000]),
    segmentBytes: between(1, 4) * 16 * 1024,
    segmentsPerNode: between(1, 2),
    mostReplicas: between(1, 3),
    thinkMs: random.pick([5, 20, 60]),
    delayMs: random.pick([1, 4, 20]),
    stragglers: random.pick([0, 0, 20, 100]),
    straggleMs,
    transferTimeoutMs,
    requestTimeoutMs,
    putWaitMs,
    busyMs: random.pick([3000, 6000, 10_000]),
    faultEveryMs: random.pick([100, 300, 1000]),
    longestFreezeMs,
    longestNodeFreezeMs: random.pick([100, 1000, 12_000]),
    longestAbsenceMs: 3000,
    commands: [...ALWAYS, ...some(optional, 2)],
    faults,
    withPins: random.oneIn(3),
    withGroups: random.oneIn(3),
    core: {
      defaultKvLeaseTtlMs: leaseMs,
      readHoldMs: more.pick([250, 250, 100, 30, 0]),
      defaultKvSoftPinTtlMs: random.pick([500, 3000]),
      allowEvictSoftPinnedObjects: random.oneIn(2),
      evictionRatio: random.pick([0, 0.05, 0.3]),
      evictionHighWatermarkRatio: random.pick([0.5, 0.9, 1]),
      clientTtlMs: 5000,
      putStartDiscardTimeoutMs: discardMs,
      putStartReleaseTimeoutMs: releaseMs,
      allocationStrategy: random.pick(["random", "free_ratio_first", "local_first"] as const),
      pendingTaskTimeoutMs: 5000,
      processingTaskTimeoutMs: 5000,
      reattachGraceMs: random.pick([6000, 9000]),
      autoCompaction: random.oneIn(2),
      autoCompactionFreeRatio: random.pick([0, 0, 0.5]),
      autoCompactionBytesPerSecond: random.pick([0, 20_000]),
      replicationMode: random.pick(["off", "observe", "enforce"] as const),
      replicationHeatWindowMs: random.pick([100, 1000]),
      replicationAdmissionQps: random.pick([0.5, 5]),
      replicationMaxReplicas: between(2, 3),
      replicationMaxShare: random.pick([0.1, 0.5]),
      maxReservedShare: 0.5,
    },
  };
}

/** A world in which many puts are alike, so that memory is reserved for them; every fault is in some. */
export function reserving(seed: number): Partial<Profile> {
  const faults = Object.values(Fault).filter((fault, i) =>
    fault !== Fault.BIT_FLIPS && (seed + i) % 3 === 0
  );
  const { PUT, GET, UPSERT, PUT_BATCH, REMOVE, REMOVE_FORCED } = Command;
  return {
    ...{
      numbersWrites: true,
      reservesPuts: true,
      clients: 2,
      nodes: 2,
      users: 2 + seed % 2,
      faults,
    },
    ...{ keys: seed % 2 === 0 ? 30 : 300, leastValue: 64, mostValue: 64, thinkMs: 5, busyMs: 4000 },
    commands: [PUT, PUT, PUT, GET, GET, UPSERT, PUT_BATCH, REMOVE, REMOVE_FORCED],
  };
}
