/**
 * `deno task test:rdma measure`: 1 MiB put and get in the machine, ours beside the published wheel's,
 * each with a client and a node of its own kind and a master of ours. Medians, one JSON line.
 */
import { findWheel } from "../support/wheel.ts";
import { cpuMs, GuestMaster, pattern, WheelPeer } from "./guest.ts";

const SIZE = 1 << 20;
const SEGMENT = 64 << 20;
const COUNT = 12;

interface Measured {
  putMs: number;
  getMs: number;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

async function ours(): Promise<Measured & { cpuShare: number }> {
  await using master = await GuestMaster.start();
  const node = await master.client("rxe1", { globalSegmentSize: SEGMENT, localBufferSize: 0 });
  const client = await master.client("rxe0");
  try {
    const value = pattern(SIZE);
    const puts: number[] = [], gets: number[] = [];
    const cpu = cpuMs(), begun = performance.now();
    for (let i = 0; i < COUNT; i++) {
      let start = performance.now();
      await client.put(`ours-${i}`, value);
      puts.push(performance.now() - start);
      start = performance.now();
      await client.get(`ours-${i}`);
      gets.push(performance.now() - start);
    }
    const cpuShare = (cpuMs() - cpu) / (performance.now() - begun);
    return { putMs: median(puts), getMs: median(gets), cpuShare };
  } finally {
    await client.close();
    await node.close();
  }
}

async function theirs(python: string): Promise<Measured> {
  await using master = await GuestMaster.start();
  await using _node = await WheelPeer.start(python, master.address, SEGMENT, "rxe1");
  await using client = await WheelPeer.start(python, master.address, 0, "rxe0");
  const { put, get } = await client.ask({ do: "time", size: SIZE, count: COUNT });
  return { putMs: 1000 * Number(put), getMs: 1000 * Number(get) };
}

const wheel = await findWheel();
const result = {
  ours: await ours(),
  wheel: "python" in wheel ? await theirs(wheel.python) : wheel.reason,
};
console.log(JSON.stringify(result));
