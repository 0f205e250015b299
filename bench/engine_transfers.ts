/**
 * Transfers between two processes: the reference's engine to its own, ours to the reference's, ours
 * to ours, over TCP and through the memory of one host. Single operations, one caller, interleaved; the reference through its synchronous Python
 * call, ours through the public asynchronous one.
 */
import { systemClock } from "../client/transfer/clock.ts";
import { requestDocument } from "../client/transfer/handshake_client.ts";
import { JsonPeer } from "./json_peer.ts";
import { cpuMicroseconds } from "./process_stat.ts";
import { median, printTable, short } from "./table.ts";
import type { Wheel } from "../tests/support/wheel.ts";

const MEMORY_BYTES = 32 << 20;
const sizes = [
  { bytes: 4 << 10, count: 2000 },
  { bytes: 64 << 10, count: 1000 },
  { bytes: 1 << 20, count: 200 },
  { bytes: 16 << 20, count: 20 },
];
const pairs = ["ref->ref", "ours->ref", "ours->ours", "same host"] as const;
type Pair = (typeof pairs)[number];

interface Measured {
  error?: string;
  p50_us: number;
  p99_us: number;
  cpu_us: number;
  loop_delay_ms?: number;
}

interface Sample {
  p50: number;
  clientCpu: number;
  serverCpu: number;
  loopDelay: number;
}

interface Contestant {
  client: JsonPeer;
  server: JsonPeer;
  /** Members of an order that name the target. */
  target: Record<string, unknown>;
}

async function measure(
  { client, server, target }: Contestant,
  op: string,
  length: number,
  count: number,
): Promise<Sample> {
  const before = cpuMicroseconds(server.pid);
  const result = await client.ask<Measured>({ op, length, count, ...target });
  if (result.error !== undefined) throw new Error(result.error);
  // The reference warms up with one transfer, ours with a tenth of them.
  const served = target.peer === undefined ? count * 1.1 : count + 1;
  return {
    p50: result.p50_us,
    clientCpu: result.cpu_us,
    serverCpu: (cpuMicroseconds(server.pid) - before) / served,
    loopDelay: result.loop_delay_ms ?? 0,
  };
}

function startOurs(): Promise<
  { peer: JsonPeer; hello: { port: number; address: string; local: string } }
> {
  const script = new URL("transfer_latency.ts", import.meta.url).pathname;
  return JsonPeer.start(Deno.execPath(), ["run", "-A", "--no-check", script, String(MEMORY_BYTES)]);
}

function startReference(
  wheel: Extract<Wheel, { python: string }>,
): Promise<{ peer: JsonPeer; hello: { name: string; address: number } }> {
  const script = new URL("wheel_engine.py", import.meta.url).pathname;
  return JsonPeer.start(wheel.python, ["-B", script, String(MEMORY_BYTES)], {
    MC_TCP_BIND_ADDRESS: "127.0.0.1",
  });
}

/** Runs the comparison and prints its table. */
export async function compareEngines(
  wheel: Extract<Wheel, { python: string }>,
  options: { rounds: number; scale: number },
): Promise<void> {
  const referenceTarget = await startReference(wheel);
  await using theirServer = referenceTarget.peer;
  const { peer: theirClient } = await startReference(wheel);
  await using _theirClient = theirClient;
  const ourTarget = await startOurs();
  await using ourServer = ourTarget.peer;
  const { peer: ourClient } = await startOurs();
  await using _ourClient = ourClient;

  const { name, address } = referenceTarget.hello;
  const [host, port] = name.split(":");
  const handshake = { clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 };
  const document = await requestDocument(host, Number(port), handshake);
  if (document === null) throw new Error(`${name} answers no segment document`);
  const contestants: Record<Pair, Contestant> = {
    "ref->ref": { client: theirClient, server: theirServer, target: { peer: name, address } },
    "ours->ref": {
      client: ourClient,
      server: theirServer,
      target: {
        ...{ host, port: document.tcpDataPort, version: document.tcpProtoVersion },
        address: String(address),
      },
    },
    "ours->ours": {
      client: ourClient,
      server: ourServer,
      target: {
        ...{ host: "127.0.0.1", port: ourTarget.hello.port, version: 2 },
        address: ourTarget.hello.address,
      },
    },
    "same host": {
      client: ourClient,
      server: ourServer,
      target: {
        ...{ host: "127.0.0.1", port: ourTarget.hello.port, version: 2 },
        ...{ address: ourTarget.hello.address, local: ourTarget.hello.local },
      },
    },
  };

  const rows: string[][] = [];
  let loopDelay = 0;
  for (const op of ["read", "write"]) {
    for (const { bytes, count } of sizes) {
      const samples = new Map<Pair, Sample[]>(pairs.map((pair) => [pair, []]));
      for (let round = 0; round < options.rounds; round++) {
        for (const pair of round % 2 === 0 ? pairs : pairs.toReversed()) {
          const rounds = Math.max(10, Math.round(count * options.scale));
          samples.get(pair)!.push(await measure(contestants[pair], op, bytes, rounds));
        }
      }
      const of = (pair: Pair, pick: (sample: Sample) => number) =>
        median(samples.get(pair)!.map(pick));
      loopDelay = Math.max(loopDelay, of("ours->ours", (sample) => sample.loopDelay));
      const ratio = (pair: Pair, pick: (sample: Sample) => number) =>
        (of(pair, pick) / of("ref->ref", pick)).toFixed(2);
      const label = `${op} ${bytes >= 1 << 20 ? `${bytes >> 20} MiB` : `${bytes >> 10} KiB`}`;
      rows.push([
        label,
        ...pairs.map((pair) => short(of(pair, (sample) => sample.p50))),
        ratio("ours->ref", (sample) => sample.p50),
        ratio("ours->ours", (sample) => sample.p50),
        ratio("same host", (sample) => sample.p50),
        ...pairs.map((pair) => short(of(pair, (sample) => sample.clientCpu))),
        ratio("ours->ours", (sample) => sample.clientCpu),
        ...pairs.map((pair) => short(of(pair, (sample) => sample.serverCpu))),
      ]);
      const [tcp, direct] = (["ours->ours", "same host"] as const).map((pair) =>
        ratio(pair, (sample) => sample.p50)
      );
      console.log(`  ${label}: ${tcp} of the latency, ${direct} through the memory of one host`);
    }
  }
  console.log("\nLatency p50 and CPU per operation, microseconds; ratios to ref->ref\n");
  printTable(
    [
      "transfer",
      ...pairs.map((pair) => `${pair} p50`),
      "ours->ref ratio",
      "ours->ours ratio",
      "same host ratio",
      ...pairs.map((pair) => `${pair} CPU`),
      "ours->ours ratio",
      ...pairs.map((pair) => `${pair} server CPU`),
    ],
    rows,
  );
  console.log(
    `\nLatest that a timer of our client fired (median of rounds): ${loopDelay.toFixed(1)} ms`,
  );
}
