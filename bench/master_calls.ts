/**
 * The published wheel's client against the reference master and against ours, interleaved: same
 * client programs, same keys, one round on one master, then the same round on the other. Each client
 * is a process with a segment of its own.
 */
import { freePort, startMaster } from "../examples/local_cluster.ts";
import { JsonPeer, startReferenceMaster } from "./json_peer.ts";
import { cpuMicroseconds, residentBytes } from "./process_stat.ts";
import { median, printTable, short } from "./table.ts";
import type { Wheel } from "../tests/support/wheel.ts";

const SEGMENT_BYTES = 1 << 30;
/** After which a master has let go of what it used for the load itself, such as a checkpoint. */
const SETTLED_MS = 20_000;

const measurements: { kind: string; n: number }[] = [
  { kind: "exist", n: 1 },
  { kind: "get", n: 1 },
  { kind: "put", n: 1 },
  { kind: "put_get", n: 1 },
  ...[1, 16, 128, 1024].map((n) => ({ kind: "batch_is_exist", n })),
  ...[1, 16, 128, 1024].map((n) => ({ kind: "get_batch", n })),
  ...[1, 16, 128, 1024].map((n) => ({ kind: "put_batch", n })),
];

interface Measured {
  calls: number;
  keys: number;
  failed: number;
  reason: string;
  seconds: number;
  p50_us: number;
  p99_us: number;
  cpu_us: number;
}

interface Sample {
  keysPerSecond: number;
  p50: number;
  p99: number;
  masterCpuPerCall: number;
}

/** A master and its clients. */
class Contestant implements AsyncDisposable {
  private constructor(readonly name: string, readonly pid: number, readonly clients: JsonPeer[]) {}

  static async start(
    name: string,
    pid: number,
    address: string,
    python: string,
    count: number,
  ): Promise<Contestant> {
    const script = new URL("wheel_client.py", import.meta.url).pathname;
    const contestant = new Contestant(name, pid, []);
    for (let i = 0; i < count; i++) {
      const args = [script, address, String(SEGMENT_BYTES / count), String(i)];
      contestant.clients.push((await JsonPeer.start(python, args)).peer);
    }
    return contestant;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.clients.map((client) => client[Symbol.asyncDispose]()));
  }
}

async function measure(
  { name, pid, clients }: Contestant,
  kind: string,
  n: number,
  seconds: number,
): Promise<Sample> {
  const before = cpuMicroseconds(pid);
  const results = await Promise.all(
    clients.map((client) => client.ask<Measured>({ kind, n, seconds })),
  );
  const cpu = cpuMicroseconds(pid) - before;
  const calls = results.reduce((sum, result) => sum + result.calls, 0);
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  if (failed > 0) {
    const reason = results.find((result) => result.failed > 0)?.reason;
    throw new Error(`${failed} of ${calls} calls of ${kind} ${n} failed, ${name}: ${reason}`);
  }
  return {
    keysPerSecond: results.reduce((sum, { keys, seconds }) => sum + keys / seconds, 0),
    p50: median(results.map((result) => result.p50_us)),
    p99: Math.max(...results.map((result) => result.p99_us)),
    masterCpuPerCall: cpu / calls,
  };
}

/** Runs the comparison with so many clients at a time and prints its tables. */
export async function compareMasters(
  wheel: Extract<Wheel, { python: string }>,
  options: { rounds: number; seconds: number; fill: number; clients: number },
): Promise<void> {
  const { clients } = options;
  // Sixteen clients of the wheel on two cores have taken nine seconds for their first batch of 1024.
  const flags = ["--default_kv_lease_ttl=60000", "--eviction_high_watermark_ratio=0.95"];
  const port = await freePort();
  await using reference = await startReferenceMaster(wheel.master, port, await freePort(), flags);
  const { process: master, address } = await startMaster(flags);
  await using _master = master;
  const start = (name: string, pid: number, at: string) =>
    Contestant.start(name, pid, at, wheel.python, clients);
  await using theirs = await start("reference", reference.pid, `127.0.0.1:${port}`);
  await using ours = await start("ours", master.pid, address);
  for (const contestant of [theirs, ours]) await measure(contestant, "put_get", 1, 1);

  const rows: string[][] = [];
  for (const { kind, n } of measurements) {
    const samples: Record<string, Sample[]> = { reference: [], ours: [] };
    // What is compiled or allocated by the first calls of a kind is no part of the comparison.
    for (const contestant of [theirs, ours]) await measure(contestant, kind, n, options.seconds);
    for (let round = 0; round < options.rounds; round++) {
      const order = round % 2 === 0 ? [theirs, ours] : [ours, theirs];
      for (const contestant of order) {
        samples[contestant.name].push(await measure(contestant, kind, n, options.seconds));
      }
    }
    const of = (name: string, pick: (sample: Sample) => number) => median(samples[name].map(pick));
    const rate = (name: string) => of(name, (sample) => sample.keysPerSecond);
    const ratios = samples.ours.map((sample, i) =>
      sample.keysPerSecond / samples.reference[i].keysPerSecond
    );
    rows.push([
      `${kind} ${n}`,
      short(rate("reference")),
      short(rate("ours")),
      median(ratios).toFixed(2),
      ...["reference", "ours"].map((name) => short(of(name, (sample) => sample.p50))),
      ...["reference", "ours"].map((name) => short(of(name, (sample) => sample.p99))),
      ...["reference", "ours"].map((name) => short(of(name, (sample) => sample.masterCpuPerCall))),
    ]);
    console.log(`  ${kind} ${n}: ratio ${median(ratios).toFixed(2)}`);
  }
  const who = clients === 1 ? "One client" : `${clients} clients at the same time`;
  console.log(`\n${who} of the wheel, each with a segment; ref = reference master\n`);
  printTable(
    [
      "call, keys",
      "ref keys/s",
      "our keys/s",
      "ratio",
      "ref p50 us",
      "our p50 us",
      "ref p99 us",
      "our p99 us",
      "ref CPU us/call",
      "our CPU us/call",
    ],
    rows,
  );
  if (options.fill > 0) await compareMemory([theirs, ours], options.fill);
}

async function compareMemory(contestants: Contestant[], fill: number): Promise<void> {
  const rows: string[][] = [];
  for (const { name, pid, clients: [client] } of contestants) {
    const before = residentBytes(pid);
    const { keys } = await client.ask<{ keys: number }>({ kind: "fill", n: fill });
    const grown = residentBytes(pid) - before;
    await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
    const settled = residentBytes(pid) - before;
    rows.push([
      name,
      short(before / 2 ** 20),
      short(keys),
      short(grown / keys),
      short(settled / keys),
      short(settled / keys * 1e6 / 2 ** 20),
    ]);
  }
  console.log("\nMemory of the master with 61-byte keys and one replica each\n");
  printTable(
    [
      "master",
      "RSS MiB before",
      "new keys",
      "bytes per key",
      `${SETTLED_MS / 1000} s later`,
      "MiB per million keys then",
    ],
    rows,
  );
}
