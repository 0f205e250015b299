/** Processor time of engines that have nothing to do, and of one that waits for a stopped peer. */
import { cpuMicroseconds } from "../process_stat.ts";
import { EnginePair, type EngineProcess, startOurs, startWheel } from "./engine_pair.ts";
import { type Figure, figure, type Scale } from "./figure.ts";
import type { InstalledWheel, Section } from "./section.ts";

const LENGTH = 16 << 20;
const ORDER = { op: "read", length: LENGTH, batch: 1, callers: 1, seconds: 0 } as const;
/** How long after the last transfer idling begins, and how long a transfer has waited. */
const SETTLE_MS = 200;
const IDLE_LIMIT = 0.5;
const WAITING_LIMIT = 5;
const WAITING_SECONDS = 1;

const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Percent of one core that a process took during `seconds`. */
async function percent(pid: number, seconds: number): Promise<number> {
  const cpu = cpuMicroseconds(pid);
  const begun = performance.now();
  await pass(seconds * 1000);
  return (cpuMicroseconds(pid) - cpu) / (performance.now() - begun) / 10;
}

interface Shares {
  client: number[];
  server: number[];
  waiting: number[];
}

/** Adds the shares of a pair that has nothing to do. */
async function idle({ client, server }: EnginePair, into: Shares, seconds: number): Promise<void> {
  const pids = [client.peer.pid, server.peer.pid];
  const [one, other] = await Promise.all(pids.map((pid) => percent(pid, seconds)));
  into.client.push(one);
  into.server.push(other);
}

/** Adds the share of a client whose server is stopped in the middle. */
async function waiting(pair: EnginePair, into: Shares): Promise<void> {
  Deno.kill(pair.server.peer.pid, "SIGSTOP");
  let moved;
  try {
    moved = pair.turn(ORDER);
    moved.catch(() => {}); // rejects below
    await pass(SETTLE_MS);
    into.waiting.push(await percent(pair.client.peer.pid, WAITING_SECONDS));
  } finally {
    Deno.kill(pair.server.peer.pid, "SIGCONT");
  }
  await moved;
}

/** The figures of idle and waiting engines; those of the wheel, where it is, for information. */
export async function measureIdle(wheel: InstalledWheel | null, scale: Scale): Promise<Section> {
  await using processes = new AsyncDisposableStack();
  const pairs: { pair: EnginePair; found: Shares }[] = [];
  const open = async (name: string, start: () => Promise<EngineProcess>) => {
    const [client, server] = [processes.use(await start()), processes.use(await start())];
    const pair = new EnginePair(name, client, server);
    await pair.turn(ORDER);
    pairs.push({ pair, found: { client: [], server: [], waiting: [] } });
  };
  await open("ours to ours over TCP", () => startOurs("tcp"));
  if (wheel !== null) await open("wheel to wheel", () => startWheel(wheel));
  for (let round = 0; round < scale.rounds; round++) {
    await pass(SETTLE_MS);
    await Promise.all(pairs.map(({ pair, found }) => idle(pair, found, scale.seconds)));
    for (const { pair, found } of pairs) await waiting(pair, found);
  }
  const [{ found: ours }, theirs = undefined] = pairs;
  const figures: Figure[] = [];
  const add = (name: string, part: keyof Shares, limit: number) => {
    const asked = { compare: "<", limit } as const;
    figures.push(figure(name, "% of a core", ours[part], { asked }));
    if (theirs === undefined) return;
    figures.push(figure(`(wheel) ${name}`, "% of a core", theirs.found[part]));
  };
  add("idle engine that has read", "client", IDLE_LIMIT);
  add("idle engine that has served", "server", IDLE_LIMIT);
  add("reader of a stopped peer", "waiting", WAITING_LIMIT);
  const notes = [
    `Processor time of all threads of a process over ${scale.seconds} s, connections open. The reader:`,
    `over ${WAITING_SECONDS} s, a read of 16 MiB over TCP is under way whose server is stopped (SIGSTOP);`,
    `it ends well once the server goes on. Spinning would be 100 %; ${WAITING_LIMIT} % is this bench's own limit.`,
  ];
  return { notes, figures };
}
