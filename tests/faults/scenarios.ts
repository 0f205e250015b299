/** What befalls a cluster of real processes while writers never stop. */
import { startNode } from "../../examples/local_cluster.ts";
import { MasterLives } from "../support/master_lives.ts";
import { until } from "../support/until.ts";
import { Load, type LoadCounts } from "./load.ts";

const MIB = 1 << 20;
const NODES = 2;
const CLIENTS = 4;
const LONGEST_WAIT_MS = 30_000;
/** One in so many acknowledged keys must be readable before a round counts as over. */
const SAMPLE = 97;

export interface ScenarioResult extends LoadCounts {
  rounds: number;
  /** Answers that a master gave though another one led. */
  stale?: number;
  /** Whether nothing that could have gone wrong has happened, so that the run shows nothing. */
  harmless?: boolean;
  /** What there is to tell instead of the counts of a load. */
  summary?: string;
  /** From the fault to the first put that was acknowledged after it, in milliseconds. */
  pausesMs: number[];
}

export interface Scenario {
  readonly name: string;
  readonly what: string;
  /** Why it cannot run here. */
  readonly missing?: string | null;
  /** Its rounds are short: it gets all of them. */
  readonly short?: boolean;
  /** It ends after a time, too, before it has had all of its rounds. */
  readonly canEndEarly?: boolean;
  /** Whether wrong bytes fail the run; default true. */
  readonly judged?: boolean;
  run(
    rounds: number,
    random: () => number,
    progress: (line: string) => void,
    limitMs: number,
  ): Promise<ScenarioResult>;
}

type Fault = (master: MasterLives, random: () => number) => Promise<void>;

async function revived(master: MasterLives): Promise<void> {
  await master.kill();
  await master.revive();
}

/** A process that is killed leaves half a group behind, as if the machine had been slow. */
async function torn(master: MasterLives, random: () => number): Promise<void> {
  await master.kill();
  const folder = `${master.directory}/journal`;
  const tails = Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => name.startsWith("tail-"))
    .sort((a, b) => numberIn(a) - numberIn(b));
  const path = `${folder}/${tails.at(-1)}`;
  const whole = Deno.readFileSync(path);
  // Room that was taken ahead follows the last group.
  const end = whole.findLastIndex((byte) => byte !== 0) + 1;
  const half = Uint8Array.from({ length: 1 + random() * 200 | 0 }, () => random() * 256 | 0);
  using file = Deno.openSync(path, { write: true });
  file.seekSync(end, Deno.SeekMode.Start);
  file.writeSync(half);
  await master.revive();
}

function numberIn(name: string): number {
  return Number(/\d+/.exec(name)![0]);
}

/** Stopped for up to two seconds, then continued. */
async function frozen(master: MasterLives, random: () => number): Promise<void> {
  master.signal("SIGSTOP");
  await pause(200 + random() * 1800);
  master.signal("SIGCONT");
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function masterFault(name: string, what: string, fault: Fault, flags: string[] = []): Scenario {
  return {
    name,
    what,
    async run(rounds, random, progress) {
      await using master = await MasterLives.start(...flags);
      await using _nodes = await startNodes(master.address);
      await using load = await Load.start(master.address, CLIENTS);
      const pausesMs: number[] = [];
      let checked = 0;
      for (let round = 1; round <= rounds; round++) {
        const began = performance.now();
        const had = load.acknowledged.length;
        load.begin();
        await pause(300 + random() * 700);
        load.wasBusy(began, had);
        const struckMs = performance.now();
        await fault(master, random);
        const backMs = performance.now();
        await until(() => load.lastMs > backMs, LONGEST_WAIT_MS);
        pausesMs.push(load.lastMs - struckMs);
        await load.pause();
        await until(() => load.areAllThere(SAMPLE), LONGEST_WAIT_MS);
        const from = checked;
        checked = load.acknowledged.length;
        await load.check(from);
        progress(`${name}: round ${round} of ${rounds}, ${checked} acknowledged puts`);
      }
      await load.check(0);
      return { rounds, pausesMs, ...load.counts };
    },
  };
}

const nodeKill: Scenario = {
  name: "node-kill",
  what: "a store node is killed and another one started: what it held is gone, nothing is wrong",
  async run(rounds, random, progress) {
    await using master = await MasterLives.start("--client_ttl=3");
    await using _stable = await startNode(master.address, 256 * MIB);
    await using load = await Load.start(master.address, CLIENTS);
    const pausesMs: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      const victim = await startNode(master.address, 64 * MIB);
      const began = performance.now();
      const had = load.acknowledged.length;
      load.begin();
      await pause(500 + random() * 500);
      load.wasBusy(began, had);
      const from = load.acknowledged.length;
      const struckMs = performance.now();
      await victim.stop("SIGKILL");
      await until(() => load.acknowledged.length > from + CLIENTS * 100, LONGEST_WAIT_MS);
      pausesMs.push(load.lastMs - struckMs);
      await load.pause();
      await load.check(0, true);
      progress(`node-kill: round ${round} of ${rounds}, ${from} acknowledged puts`);
    }
    return { rounds, pausesMs, ...load.counts };
  },
};

export const scenarios: readonly Scenario[] = [
  masterFault("kill", "the master is killed and started again", revived),
  masterFault("kill-fsync", "the same with --durability=fsync", revived, ["--durability=fsync"]),
  masterFault("torn", "the master is killed and half a group lies behind its journal", torn),
  masterFault("freeze", "the master is stopped for up to 2 s and continued", frozen),
  nodeKill,
];

async function startNodes(address: string): Promise<AsyncDisposable> {
  const nodes = await Promise.all(
    Array.from({ length: NODES }, () => startNode(address, 256 * MIB)),
  );
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}
