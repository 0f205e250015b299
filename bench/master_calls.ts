/**
 * The published wheel's client against the reference master and against ours, interleaved: same
 * client program, same keys, one round on one master, then the same round on the other.
 */
import { freePort, startMaster } from "../examples/local_cluster.ts";
import { JsonPeer, startReferenceMaster } from "./json_peer.ts";
import { cpuMicroseconds, residentBytes } from "./process_stat.ts";
import { median, printTable, short } from "./table.ts";
import type { Wheel } from "../tests/support/wheel.ts";

const SEGMENT_BYTES = 1 << 30;

const measurements: { kind: string; n: number }[] = [
  { kind: "exist", n: 1 },
  { kind: "get", n: 1 },
  { kind: "put", n: 1 },
  { kind: "put_get", n: 1 },
  ...[1, 16, 128, 1024].map((n) => ({ kind: "batch_is_exist", n })),
  ...[1, 16, 128, 1024].map((n) => ({ kind: "get_batch", n })),
  ...[1, 16, 128].map((n) => ({ kind: "put_batch", n })),
];

interface Measured {
  calls: number;
  keys: number;
  failed: number;
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

interface Contestant {
  name: string;
  pid: number;
  client: JsonPeer;
}

async function measure(
  { pid, client }: Contestant,
  kind: string,
  n: number,
  seconds: number,
): Promise<Sample> {
  const before = cpuMicroseconds(pid);
  const result = await client.ask<Measured>({ kind, n, seconds });
  const cpu = cpuMicroseconds(pid) - before;
  if (result.failed > 0) {
    throw new Error(`${result.failed} of ${result.calls} ${kind} calls failed`);
  }
  return {
    keysPerSecond: result.keys / result.seconds,
    p50: result.p50_us,
    p99: result.p99_us,
    masterCpuPerCall: cpu / result.calls,
  };
}

/** Runs the comparison and prints its tables. */
export async function compareMasters(
  wheel: Extract<Wheel, { python: string }>,
  options: { rounds: number; seconds: number; fill: number },
): Promise<void> {
  const flags = ["--default_kv_lease_ttl=1000", "--eviction_high_watermark_ratio=0.95"];
  const port = await freePort();
  await using reference = await startReferenceMaster(wheel.master, port, await freePort(), flags);
  const { process: master, address } = await startMaster(flags);
  await using _master = master;
  const start = async (name: string, pid: number, at: string): Promise<Contestant> => {
    const script = new URL("wheel_client.py", import.meta.url).pathname;
    const { peer } = await JsonPeer.start(wheel.python, [script, at, String(SEGMENT_BYTES)]);
    return { name, pid, client: peer };
  };
  const theirs = await start("reference", reference.pid, `127.0.0.1:${port}`);
  await using _theirs = theirs.client;
  const ours = await start("ours", master.pid, address);
  await using _ours = ours.client;
  for (const contestant of [theirs, ours]) await measure(contestant, "put_get", 1, 1);

  const rows: string[][] = [];
  for (const { kind, n } of measurements) {
    const samples: Record<string, Sample[]> = { reference: [], ours: [] };
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
  console.log("\nThe wheel's client, its own segment, one caller; ref = reference master\n");
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
  await compareMemory([theirs, ours], options.fill);
}

async function compareMemory(contestants: Contestant[], fill: number): Promise<void> {
  const rows: string[][] = [];
  for (const { name, pid, client } of contestants) {
    const before = residentBytes(pid);
    const { keys } = await client.ask<{ keys: number }>({ kind: "fill", n: fill });
    const grown = residentBytes(pid) - before;
    rows.push([
      name,
      short(before / 2 ** 20),
      short(keys),
      short(grown / keys),
      short(grown / keys * 1e6 / 2 ** 20),
    ]);
  }
  console.log("\nMemory of the master with 61-byte keys and one replica each\n");
  printTable(
    ["master", "RSS MiB before", "new keys", "bytes per key", "MiB per million keys"],
    rows,
  );
}
