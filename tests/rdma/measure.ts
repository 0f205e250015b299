/**
 * `deno task test:rdma measure`: 1 MiB put and get in the machine, ours beside the published wheel's,
 * each with a client and a node of its own kind and a master of ours. Rounds alternate, so that what
 * else runs on the host disturbs both. A JSON line for each round, in milliseconds, and one at the end:
 * medians, ratios, and the processor time of a client and a node of ours, in one process, that have
 * nothing to do but to show the master that they live, and that wait for reads of registered memory.
 */
import { findWheel } from "../support/wheel.ts";
import { cpuMs, GuestMaster, pattern, WheelPeer } from "./guest.ts";

const SIZE = 1 << 20;
const SEGMENT = 128 << 20;
/** Not counted: an interpreted machine takes long until our code is compiled. */
const WARM_ROUNDS = 4;
const ROUNDS = 4;
/** Of one round. */
const COUNT = 6;
const IDLE_MS = 10_000;
/** Bytes of a read that is waited for, and how many. */
const WAIT_SIZE = 8 << 20;
const WAITS = 6;

interface Times {
  putMs: number[];
  getMs: number[];
}

interface Store extends AsyncDisposable {
  /** Puts and gets new keys, one after the other. */
  round(number: number): Promise<Times>;
}

interface OurStore extends Store {
  /**
   * Share of a processor taken while reads into registered memory, which the device writes, are
   * waited for; without checksums, which are no waiting.
   */
  readShare(): Promise<number>;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

async function ours(): Promise<OurStore> {
  const master = await GuestMaster.start();
  const node = await master.client("rxe1", { globalSegmentSize: SEGMENT, localBufferSize: 0 });
  const client = await master.client("rxe0");
  const value = pattern(SIZE);
  const timed = async (call: () => Promise<unknown>) => {
    const begun = performance.now();
    await call();
    return performance.now() - begun;
  };
  return {
    async round(number) {
      const times: Times = { putMs: [], getMs: [] };
      for (let i = 0; i < COUNT; i++) {
        times.putMs.push(await timed(() => client.put(`ours-${number}-${i}`, value)));
        times.getMs.push(await timed(() => client.get(`ours-${number}-${i}`)));
      }
      return times;
    },
    async readShare() {
      await using reader = await master.client("rxe0", { storeChecksum: false });
      using buffer = reader.allocateBuffer(WAIT_SIZE);
      await reader.put("read", buffer);
      return await cpuShare(async () => {
        for (let i = 0; i < WAITS; i++) await reader.getInto("read", buffer);
      });
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      await node.close();
      await master[Symbol.asyncDispose]();
    },
  };
}

async function theirs(python: string): Promise<Store> {
  const master = await GuestMaster.start();
  const node = await WheelPeer.start(python, master.address, SEGMENT, "rxe1");
  const client = await WheelPeer.start(python, master.address, 0, "rxe0");
  return {
    async round(number) {
      const answer = await client.ask({ do: "time", size: SIZE, count: COUNT, round: number });
      const { put, get } = answer as { put: number[]; get: number[] };
      const inMs = (seconds: number) => 1000 * seconds;
      return { putMs: put.map(inMs), getMs: get.map(inMs) };
    },
    async [Symbol.asyncDispose]() {
      for (const part of [client, node, master]) await part[Symbol.asyncDispose]();
    },
  };
}

/** Share of a processor that this process takes meanwhile. */
async function cpuShare(work: () => Promise<unknown>): Promise<number> {
  const cpu = cpuMs(), begun = performance.now();
  await work();
  return (cpuMs() - cpu) / (performance.now() - begun);
}

const wheel = await findWheel();
if ("reason" in wheel) throw new Error(`There is nothing to compare with: ${wheel.reason}`);
await using our = await ours();
await using their = await theirs(wheel.python);
const rounds: { ours: Times; wheel: Times }[] = [];
for (let i = -WARM_ROUNDS; i < ROUNDS; i++) {
  const round = { ours: await our.round(i), wheel: await their.round(i) };
  if (i >= 0) rounds.push(round);
  const medians = ({ putMs, getMs }: Times) => [median(putMs), median(getMs)];
  const line = { round: i, ours: medians(round.ours), wheel: medians(round.wheel) };
  console.log(JSON.stringify(line));
}
const summary = (kind: "putMs" | "getMs") => {
  const oursMs = median(rounds.flatMap(({ ours }) => ours[kind]));
  const wheelMs = median(rounds.flatMap(({ wheel }) => wheel[kind]));
  return { oursMs, wheelMs, ratio: wheelMs / oursMs };
};
console.log(JSON.stringify({
  put: summary("putMs"),
  get: summary("getMs"),
  idleShare: await cpuShare(() => new Promise((resolve) => setTimeout(resolve, IDLE_MS))),
  readShare: await our.readShare(),
}));
