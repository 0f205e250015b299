/**
 * Right bytes or a miss: readers and writers that stand still for longer than their lease or their
 * time-outs, while others remove, evict, replace and use the same memory.
 */
import type { LocalProcess } from "../../examples/local_cluster.ts";
import { Arena, type Dangers, lanes, pause } from "./arena.ts";
import { longStopMs, type Pace } from "./pace.ts";
import type { Scenario, ScenarioResult } from "./scenarios.ts";
import type { StoppedClientResult } from "./stopped_client.ts";
import { type Way, ways } from "./ways.ts";

const CHURNERS = 4;
const STOPPED_CLIENTS = 2;
/** One stop of a client in so many ends its session. */
const LONG_STOPS = 12;
/** What a client that is asked to end may take. */
const END_MS = 300_000;

/** Stops a node again and again until `isOver`: what was sent to it comes in late. */
async function stumble(
  node: LocalProcess,
  { leaseMs }: Pace,
  random: () => number,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    await pause(leaseMs * (12 + 38 * random()));
    node.kill("SIGSTOP");
    await pause(leaseMs * (1 + 4 * random()));
    node.kill("SIGCONT");
  }
}

/** Stops a client again and again until `isOver`, then has it end and takes its result. */
async function stopAndGo(
  process: LocalProcess,
  { leaseMs, clientTtlS }: Pace,
  random: () => number,
  isOver: () => boolean,
): Promise<StoppedClientResult> {
  for (let stops = 1; !isOver() || stops < 4; stops++) {
    await pause(leaseMs * (0.5 + 1.5 * random()));
    process.kill("SIGSTOP");
    await pause(stops % LONG_STOPS === 3 ? longStopMs(clientTtlS) : leaseMs * (1 + 3 * random()));
    process.kill("SIGCONT");
  }
  process.kill("SIGTERM");
  const line = await process.line(/^result /, END_MS);
  await process.stop();
  return JSON.parse(line.slice("result ".length));
}

/** What one run has shown. */
export interface RoundsResult extends ScenarioResult {
  readonly dangers: Dangers;
  /** Reads that gave the bytes of one write that ended. */
  readonly right: number;
  /** Replicas with other bytes than were written, which the checksum has found. */
  readonly mismatches: number;
  /** Operations during which their process was stopped. */
  readonly stopped: number;
  readonly complaints: readonly string[];
}

/**
 * `rounds` held reads and as many held writes, or as many as end in `limitMs`, while clients and the
 * node are stopped at times.
 */
export async function runRounds(
  way: Way,
  storeChecksum: boolean,
  rounds: number,
  random: () => number,
  progress: (line: string) => void,
  limitMs = Infinity,
): Promise<RoundsResult> {
  await using arena = await Arena.start(way, storeChecksum, random, progress);
  const { ledger, dangers, pace } = arena;
  const clients = await Promise.all(
    Array.from({ length: STOPPED_CLIENTS }, (_, i) => arena.client(i + 1)),
  );
  const startedMs = performance.now();
  const isLate = () => performance.now() - startedMs > limitMs;
  const told = setInterval(() => {
    const { heldReads, heldWrites, held, reused } = dangers;
    const { right, wrong } = ledger;
    progress(
      `${way.name}: ${heldReads} reads (${held.right} right, ${held.wrong} WRONG, memory of ` +
        `${reused} reused) and ${heldWrites} writes were held; all reads: ${right} right, ` +
        `${wrong} WRONG`,
    );
  }, 10_000);
  let over = false;
  const others = lanes(CHURNERS, () => over, () => arena.churn());
  const stumbling = stumble(arena.node, pace, random, () => over);
  const stopping = clients.map((client) => stopAndGo(client, pace, random, () => over));
  try {
    await Promise.all([
      lanes(pace.readers, () => isLate() || dangers.heldReads >= rounds, () => arena.readRound()),
      lanes(pace.writers, () => isLate() || dangers.heldWrites >= rounds, () => arena.writeRound()),
    ]);
  } finally {
    over = true;
    clearInterval(told);
    await Promise.all([others, stumbling]);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const results = await Promise.all(stopping);
  const sum = (of: (result: StoppedClientResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const stopped = sum(({ stoppedReads, stoppedWrites }) => stoppedReads + stoppedWrites);
  const right = ledger.right + sum((result) => result.right);
  const missing = ledger.missing + sum((result) => result.missing);
  const errors = ledger.errors + sum((result) => result.errors);
  const wrong = ledger.wrong + sum((result) => result.wrong);
  const mismatches = arena.mismatches + sum((result) => result.mismatches);
  const acknowledged = ledger.ended + sum((result) => result.ended);
  const confirmed = await arena.metric("snowskin_fences_confirmed_total");
  const refused = await arena.metric("snowskin_fences_refused_total");
  const complaints = [...ledger.complaints, ...results.flatMap((result) => result.complaints)];
  const failures = sumsOf([ledger.failures, ...results.map((result) => result.failures)]);
  const harmless = whyHarmless(dangers, stopped, acknowledged);
  const { held } = dangers;
  const summary = [
    `${dangers.heldReads} held reads: ${held.right} right, ${held.missing} misses,`,
    `${held.errors} errors, ${held.wrong} WRONG; ${dangers.outlasting} outlasted their lease, the`,
    `memory of ${dangers.reused} was given to others meanwhile, ${dangers.overtaken} had brought`,
    `bytes of others; ${dangers.heldWrites} held writes: ${dangers.refusedByNode} came late and were`,
    `refused by the node (${confirmed} fences, and ${refused} that it could not promise),`,
    `${dangers.late} arrived and were not ended; ${stopped} more reads and writes stood still with`,
    `their process; of all ${right + missing + errors + wrong} reads ${right} right, ${missing}`,
    `misses, ${errors} errors, ${wrong} WRONG, ${mismatches} replicas did not have the right`,
    `checksum; ${acknowledged} writes in ${seconds.toFixed(0)} s; failed: ${failures}`,
    ...complaints,
    ...harmless.map((why) => `TESTED TOO LITTLE: ${why}`),
  ].join(" ");
  return {
    ...{ rounds, acknowledged, rate: acknowledged / seconds, lost: 0, wrong, pausesMs: [0] },
    ...{ checked: right + missing + errors + wrong, summary, harmless: harmless.length > 0 },
    ...{ dangers, right, mismatches, stopped, complaints },
  };
}

/** Adds up what has the same name. */
function sumsOf(counts: readonly Readonly<Record<string, number>>[]): string {
  const sums = new Map<string, number>();
  for (const [name, count] of counts.flatMap((each) => Object.entries(each))) {
    sums.set(name, (sums.get(name) ?? 0) + count);
  }
  return Array.from(sums, ([name, count]) => `${count} ${name}`).join(", ") || "none";
}

/** Of held reads: those that have to be right, and those whose memory others have to be given. */
const LEAST_RIGHT = 1 / 4;
const LEAST_REUSED = 1 / 100;

/** Why a run without wrong bytes says nothing. */
export function whyHarmless(dangers: Dangers, stopped: number, acknowledged: number): string[] {
  const { heldReads, held, outlasting, reused, overtaken, refusedByNode, late } = dangers;
  const percent = (part: number) => `${(100 * part).toFixed(0)} %`;
  const tests: readonly (readonly [boolean, string])[] = [
    [
      held.right >= LEAST_RIGHT * heldReads,
      `less than ${percent(LEAST_RIGHT)} of held reads right`,
    ],
    [outlasting > 0, "no held read outlasted its lease"],
    [
      reused >= LEAST_REUSED * heldReads,
      `less than ${percent(LEAST_REUSED)} of held reads had their memory given to others`,
    ],
    [overtaken > 0, "no held read brought bytes of others"],
    [refusedByNode + late > 0, "no held write came too late"],
    [stopped > 0, "nothing was under way in a stopped process"],
    [acknowledged > 0, "no write was acknowledged"],
  ];
  return tests.filter(([isSo]) => !isSo).map(([, why]) => why);
}

function scenarioOf(way: Way, storeChecksum: boolean): Scenario {
  return {
    name: `rounds-${way.name}${storeChecksum ? "" : "-unchecked"}`,
    what: `held and stopped clients, ${way.what}${storeChecksum ? "" : ", without checksums"}`,
    missing: way.missing,
    short: true,
    judged: storeChecksum,
    canEndEarly: true,
    run: (rounds, random, progress, limitMs) =>
      runRounds(way, storeChecksum, rounds, random, progress, limitMs),
  };
}

/** Each transport as it is by default, and without checksums, where the count is told, not judged. */
export const roundScenarios: readonly Scenario[] = [true, false].flatMap((storeChecksum) =>
  ways.map((way) => scenarioOf(way, storeChecksum))
);
