/**
 * What checksums cost: gets and puts of one client with and without them, in turns, one at a time,
 * from a store node in another process. `deno run -A bench/value_checks.ts [--rounds=N] [--shm]`: with
 * `--shm` the node's memory is reached as memory of the same host, else over TCP.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import type { StoreBuffer } from "../client/buffer_pool.ts";
import { StoreClient } from "../client/store_client.ts";
import { LocalCluster } from "../examples/local_cluster.ts";
import { machineLine } from "./process_stat.ts";
import { median, printTable, short } from "./table.ts";

const MIB = 1 << 20;
const SIZES = [4096, 64 * 1024, MIB, 16 * MIB];
/** Bytes moved in one turn, and operations in it at most. */
const TURN_BYTES = 128 * MIB;
const MAX_OPERATIONS = 1000;
const WARM_UP = 20;

interface Sample {
  /** Median of the turn. */
  us: number;
  /** Processor time of this process for one operation. */
  cpuUs: number;
}

async function turn(count: number, once: (i: number) => Promise<unknown>): Promise<Sample> {
  const times: number[] = [];
  const cpu = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    await once(i);
    times.push((performance.now() - begun) * 1000);
  }
  const { user, system } = process.cpuUsage(cpu);
  return { us: median(times), cpuUs: (user + system) / count };
}

async function compare(
  clients: readonly { client: StoreClient; buffer: StoreBuffer }[],
  size: number,
  rounds: number,
): Promise<string[][]> {
  const count = Math.min(MAX_OPERATIONS, TURN_BYTES / size);
  const key = `value-${size}`;
  const gets: Sample[][] = clients.map(() => []);
  const puts: Sample[][] = clients.map(() => []);
  await clients[1].client.put(key, clients[1].buffer.slice(0, size));
  for (let round = -1; round < rounds; round++) {
    for (const [i, { client, buffer }] of clients.entries()) {
      const target = buffer.slice(0, size);
      const get = () => client.getInto(key, target);
      const put = (at: number) => client.upsert(`put-${at % 4}`, target);
      if (round < 0) {
        await turn(WARM_UP, get);
        await turn(WARM_UP, put);
      } else {
        gets[i].push(await turn(count, get));
        puts[i].push(await turn(count, put));
      }
    }
  }
  return [["get", gets], ["put", puts]].map(([name, samples]) => {
    const [off, on] = (samples as Sample[][]).map((all) => ({
      us: median(all.map(({ us }) => us)),
      cpuUs: median(all.map(({ cpuUs }) => cpuUs)),
    }));
    const percent = (a: number, b: number) => `${((b / a - 1) * 100).toFixed(1)} %`;
    return [
      ...[`${name} ${size}`, short(off.us), short(on.us), percent(off.us, on.us)],
      ...[short(off.cpuUs), short(on.cpuUs), percent(off.cpuUs, on.cpuUs)],
    ];
  });
}

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "7" }, shm: { type: "boolean", default: false } },
});
await using cluster = await LocalCluster.start({ nodes: 1, nodeBytes: 512 * MIB });
const options = {
  ...{ masterServerAddress: cluster.masterAddress, localBufferSize: 64 * MIB },
  forceTcp: !values.shm,
};
await using without = await StoreClient.connect({ ...options, storeChecksum: false });
await using checking = await StoreClient.connect(options);
const clients = [without, checking].map((client) => {
  const buffer = client.allocateBuffer(16 * MIB);
  crypto.getRandomValues(buffer.bytes.subarray(0, 65_536));
  return { client, buffer };
});
console.log(machineLine());
const rows: string[][] = [];
for (const size of SIZES) rows.push(...await compare(clients, size, Number(values.rounds)));
printTable(["bytes", "us without", "us with", "", "CPU us without", "CPU us with", ""], rows);
