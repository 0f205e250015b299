/**
 * `deno task test:rdma measure`: what RDMA takes in the machine, in one run. 1 MiB put and get beside
 * the published wheel's, each with a client and a node of its own kind, both with one master of ours;
 * the same bytes with nothing but verbs; parts of a call; and the processor time of a client and a
 * node that have nothing to do. Rounds alternate, so that what else runs on the host disturbs both.
 * Options: `--warm`, `--rounds`, `--settle` (numbers), `--wheel-master`: the wheel has its own.
 */
import { parseArgs } from "node:util";
import { median, printTable, short } from "../../bench/table.ts";
import { TransferEngine } from "../../te.ts";
import { findWheel } from "../support/wheel.ts";
import { cpuMs, GuestMaster, pattern } from "./guest.ts";
import {
  type MeasuredStore,
  type OurStore,
  ourStore,
  timed,
  wheelsMaster,
  wheelStore,
} from "./measured_stores.ts";
import { verbsRateLibrary } from "./stand_ins.ts";
import { since, sumOf, threadTimes, type Times, workerTimes } from "./thread_times.ts";

const SIZE = 1 << 20;
const SMALL = 4096;
/** Of both, that are not counted. */
const WARM_ROUNDS = 3;
/** Small puts and gets of the wheel before that; it compiles nothing. */
const WHEEL_WARM = 50;
/** Between two rounds: threads of the wheel spin for 100 ms after a transfer. */
const BETWEEN_MS = 500;
/** Calls of a kind in one round. */
const COUNT = 6;
/** Times as fast as the wheel. */
const ASKED = 1.5;
const IDLE_MS = 20_000;
/** Share of a processor that is asked of who waits. */
const ASKED_IDLE = 0.05;
/** Bytes of a read that is waited for, and how many. */
const WAIT_SIZE = 32 << 20;
const WAITS = 4;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    // Small puts and gets of ours before the first round: an interpreted machine compiles for long.
    warm: { type: "string", default: "2000" },
    rounds: { type: "string", default: "8" },
    // Seconds without calls before an idle process is looked at: V8 collects garbage in them, twice.
    settle: { type: "string", default: "45" },
    "wheel-master": { type: "boolean", default: false },
  },
});
const number = (name: "warm" | "rounds" | "settle"): number => {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`--${name} is ${values[name]}; allowed: integers from 1`);
};
const warm = number("warm"), rounds = number("rounds"), settleMs = 1000 * number("settle");

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

function quartiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => short(sorted[Math.min(sorted.length - 1, sorted.length * part | 0)]);
  return `${short(median(sorted))} (${at(0.25)}-${at(0.75)})`;
}

/** What ran while something was done, by process and thread. */
async function watched(
  processes: Readonly<Record<string, number>>,
  work: () => Promise<unknown>,
): Promise<{ ms: number; times: Map<string, Times> }> {
  const look = () => {
    const all = new Map<string, Times>([["kernel", workerTimes()]]);
    for (const [name, pid] of Object.entries(processes)) all.set(name, threadTimes(pid));
    return all;
  };
  const before = look();
  const ms = await timed(work);
  const after = look();
  const times = new Map(
    Array.from(after, ([name, now]) => [name, since(before.get(name)!, now)]),
  );
  return { ms, times };
}

/** Rows of who ran, for each of `count` things that were done. */
function runRows(times: Map<string, Times>, count: number): string[][] {
  const row = (name: string, { runMs, turns }: { runMs: number; turns: number }) => [
    name,
    short(runMs / count),
    short(turns / count),
  ];
  const rows: string[][] = [];
  for (const [name, threads] of times) {
    rows.push(row(name, sumOf(threads)));
    if (threads.size === 1) continue;
    for (const [thread, time] of threads) rows.push(row(`  ${thread}`, time));
  }
  return rows;
}

/** Rounds of both, in turn; and what ran in ours for each pair of a put and a get. */
async function compare(ours: OurStore, wheel: MeasuredStore): Promise<Record<string, number>> {
  console.log(`warmed up in ${short(await timed(() => ours.warmUp(SMALL, warm)) / 1000)} s`);
  await wheel.round(SMALL, WHEEL_WARM);
  console.log("comparing");
  for (let i = 0; i < WARM_ROUNDS; i++) {
    await ours.round(SIZE, COUNT);
    await wheel.round(SIZE, COUNT);
  }
  const all = [ours, wheel].map(() => ({ putMs: [] as number[], getMs: [] as number[] }));
  const ran = new Map<string, Times>();
  for (let i = 0; i < rounds; i++) {
    for (const [at, store] of [ours, wheel].entries()) {
      await pause(BETWEEN_MS);
      const self = at === 0 ? { "client and node": Deno.pid } : {};
      const { times } = await watched({ ...self, ...store.processes }, async () => {
        const { putMs, getMs } = await store.round(SIZE, COUNT);
        all[at].putMs.push(...putMs);
        all[at].getMs.push(...getMs);
      });
      for (const [name, threads] of times) {
        const key = `${at === 0 ? "ours" : "wheel"}: ${name}`;
        const sum = ran.get(key) ?? new Map();
        ran.set(key, sum);
        for (const [thread, { runMs, turns }] of threads) {
          const old = sum.get(thread) ?? { runMs: 0, turns: 0 };
          sum.set(thread, { runMs: old.runMs + runMs, turns: old.turns + turns });
        }
      }
    }
  }
  const ratios: Record<string, number> = {};
  printTable(
    ["1 MiB", "ours, ms", "wheel, ms", "ours, MB/s", "wheel, MB/s", "times as fast", "asked"],
    (["putMs", "getMs"] as const).map((kind) => {
      const [mine, its] = all.map((times) => median(times[kind]));
      const name = kind.slice(0, 3);
      ratios[name] = its / mine;
      const rate = (ms: number) => short(SIZE / 1000 / ms);
      return [
        ...[name, quartiles(all[0][kind]), quartiles(all[1][kind]), rate(mine), rate(its)],
        ...[ratios[name].toFixed(2), ratios[name] >= ASKED ? `${ASKED}` : `${ASKED}: missed`],
      ];
    }),
  );
  console.log();
  printTable(["for a put and a get", "ran, ms", "turns"], runRows(ran, rounds * COUNT));
  return ratios;
}

/** 1 MiB between the devices with nothing but verbs; see `verbs_rate.c`. */
async function verbs(): Promise<void> {
  const library = Deno.dlopen(verbsRateLibrary(), {
    verbs_rate: {
      parameters: ["buffer", "buffer", "u32", "u32", "u32", "u32", "buffer"],
      result: "i32",
      nonblocking: true,
    },
  });
  const from = new TextEncoder().encode("rxe0\0"), to = new TextEncoder().encode("rxe1\0");
  const rows: string[][] = [];
  for (const [qps, slice] of [[1, 256], [2, 64], [2, 256], [2, 512], [4, 256]]) {
    const cells = [`${qps} queue pairs, ${slice} KiB`];
    for (const read of [0, 1]) {
      const ms = new Float64Array(rounds * COUNT);
      const { verbs_rate } = library.symbols;
      const result = await verbs_rate(from, to, qps, slice << 10, read, ms.length, ms);
      if (result !== 0) throw new Error(`verbs_rate ended with ${result}`);
      cells.push(quartiles([...ms]));
    }
    rows.push(cells);
  }
  library.close();
  console.log();
  printTable(["verbs alone, 1 MiB", "write, ms", "read, ms"], rows);
}

/** Parts of a call of ours, in turn. */
async function parts(ours: OurStore): Promise<void> {
  const { client, there } = ours;
  const value = pattern(SIZE), small = pattern(SMALL);
  await using plain = await ours.connect({ storeChecksum: false });
  using buffer = client.allocateBuffer(SIZE);
  using other = plain.allocateBuffer(SIZE);
  await client.removeAll({ force: true });
  let key = 0;
  const name = () => `part-${++key}`;
  await client.put("part", value, there);
  await client.put("small", small, there);
  const calls: [string, () => Promise<unknown>][] = [
    ["a call of the master", () => client.isExist("part")],
    ["put 4 KiB", () => client.put(name(), small, there)],
    ["get 4 KiB", () => client.get("small")],
    ["put 1 MiB", () => client.put(name(), value, there)],
    ["get 1 MiB", () => client.get("part")],
    ["put 1 MiB of registered memory", () => client.put(name(), buffer, there)],
    ["get 1 MiB into registered memory", () => client.getInto("part", buffer)],
    ["put 1 MiB of it, no checksum", () => plain.put(name(), other, there)],
    ["get 1 MiB into it, no checksum", () => plain.getInto("part", other)],
  ];
  const common = {
    protocol: "rdma" as const,
    ...{ transferTimeoutMs: 60_000, handshakeTimeoutMs: 60_000 },
  };
  await using owner = await TransferEngine.initialize({ ...common, deviceName: "rxe1" });
  const lent = await owner.registerMemory(new Uint8Array(SIZE));
  await using engines = new AsyncDisposableStack();
  for (const qpsPerLink of [1, 2, 4, 8]) {
    const engine = engines.use(
      await TransferEngine.initialize({ ...common, deviceName: "rxe0", rdma: { qpsPerLink } }),
    );
    const segment = await engine.openSegment(owner.localName);
    const local = await engine.registerMemory(new Uint8Array(SIZE));
    for (const opcode of ["write", "read"] as const) {
      const request = { segment, remoteAddress: lent.address, opcode };
      calls.push([
        `${opcode} 1 MiB, ${qpsPerLink} queue pairs`,
        () => engine.transferSync([{ ...request, local }]),
      ]);
      if (qpsPerLink !== 4) continue;
      calls.push([
        `${opcode} 1 MiB of an array`,
        () => engine.transferSync([{ ...request, local: value }]),
      ]);
    }
  }
  const times = calls.map((): number[] => []);
  for (let i = -2; i < rounds; i++) {
    for (const [at, [, call]] of calls.entries()) {
      for (let n = 0; n < COUNT; n++) {
        const ms = await timed(call);
        if (i >= 0) times[at].push(ms);
      }
    }
    for (; key > 0; key--) await client.remove(`part-${key}`, { force: true });
  }
  console.log();
  printTable(["ours", "ms"], calls.map(([name], at) => [name, quartiles(times[at])]));
}

/** Share of a processor of this process, while nothing is asked of it. */
async function idle(what: string): Promise<number> {
  console.log(`\n${what} has nothing to do`);
  await pause(settleMs);
  const cpu = cpuMs();
  const { ms, times } = await watched({ [what]: Deno.pid }, () => pause(IDLE_MS));
  const share = (cpuMs() - cpu) / ms;
  const verdict = share < ASKED_IDLE ? "" : `: missed, ${percent(ASKED_IDLE)} is asked`;
  console.log(`${what}, idle: ${percent(share)} of a processor${verdict}`);
  printTable(["for each second", "ran, ms", "turns"], runRows(times, ms / 1000));
  return share;
}

/** The same while reads into registered memory are waited for; without checksums, which are no waiting. */
async function waiting(ours: OurStore): Promise<number> {
  const options = { storeChecksum: false, localBufferSize: WAIT_SIZE };
  await using reader = await ours.connect(options);
  using buffer = reader.allocateBuffer(WAIT_SIZE);
  await reader.removeAll({ force: true });
  await reader.put("read", buffer, ours.there);
  const cpu = cpuMs();
  const ms = await timed(async () => {
    for (let i = 0; i < WAITS; i++) await reader.getInto("read", buffer);
  });
  return (cpuMs() - cpu) / ms;
}

const wheel = await findWheel();
if ("reason" in wheel) throw new Error(`There is nothing to compare with: ${wheel.reason}`);
console.log(`${navigator.hardwareConcurrency} processors, kernel ${Deno.osRelease()}`);
// One for both, so that its code is compiled as far for both.
await using master = await GuestMaster.start();
const ours = await ourStore(master);
const result: Record<string, unknown> = {};
{
  await using own = values["wheel-master"] ? await wheelsMaster() : null;
  await using theirs = await wheelStore(wheel.python, own ?? master);
  Object.assign(result, await compare(ours, theirs));
}
await verbs();
await parts(ours);
const readShare = await waiting(ours);
console.log(`\nreads of 32 MiB that are waited for: ${percent(readShare)} of a processor`);
const both = await idle("a client and a node in one process");
await ours.client.close();
const node = await idle("a node");
console.log(JSON.stringify({ ...result, readShare, idle: { both, node } }));
await ours[Symbol.asyncDispose]();
