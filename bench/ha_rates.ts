/**
 * `deno run -A bench/ha_rates.ts`: what a change costs when its reply waits for a shared log, and how
 * many changes a second go through one. Metadata only: puts are begun and ended, no bytes are moved.
 */
import { MasterClient } from "../client/master_client.ts";
import { RpcClient } from "../client/rpc_client.ts";
import { parseHostPort } from "../client/transfer/address.ts";
import { systemClock } from "../client/transfer/clock.ts";
import { startMaster } from "../examples/local_cluster.ts";
import { EngineServer, etcdAbsent, redisAbsent } from "../tests/support/engine_servers.ts";
import { HaMasters } from "../tests/support/ha_masters.ts";
import { ReplicaType } from "../proto/types.ts";
import { replicateConfig } from "../tests/support/core_driver.ts";
import { printTable, short } from "./table.ts";

const SEGMENT_BYTES = 2 ** 36;
const SECONDS = 2;
const encoder = new TextEncoder();
const tenantId = encoder.encode("default");

/** One connection that puts; each with a segment of its own, which nobody reads. */
class Putter {
  readonly #rpc: RpcClient;
  readonly #master: MasterClient;
  readonly #clientId: string;
  #next = 0;

  constructor(address: string, readonly index: number) {
    const { host, port } = parseHostPort(address)!;
    this.#rpc = new RpcClient({ host, port: port!, clock: systemClock, requestTimeoutMs: 20_000 });
    this.#master = new MasterClient(this.#rpc);
    this.#clientId = `${Date.now()}-${index + 1}`;
  }

  async mount(): Promise<void> {
    const clientId = this.#clientId;
    await this.#master.reMountSegment({ segments: [], clientId });
    const { code } = await this.#master.mountSegment({
      segment: {
        ...{ id: `77-${this.index + 1}`, name: `10.0.0.${this.index}:1`, base: 2n ** 40n },
        ...{ size: SEGMENT_BYTES, teEndpoint: `10.0.0.${this.index}:1`, protocol: "tcp" },
        hostId: "",
      },
      clientId,
    });
    if (code !== 0) throw new Error(`Cannot mount a segment: ${code}`);
  }

  /** Begins and ends `count` puts; both calls wait for the log. */
  async put(count: number): Promise<void> {
    const clientId = this.#clientId;
    const keys = Array.from(
      { length: count },
      () => encoder.encode(`bench/${this.index}/${this.#next++}`.padEnd(62, "x")),
    );
    const started = await this.#master.batchPutStart({
      ...{ clientId, keys, tenantId, config: replicateConfig() },
      sliceLengths: keys.map(() => 4096),
    });
    const ended = await this.#master.batchPutEnd({
      ...{ clientId, tenantId, replicaType: ReplicaType.ALL },
      objectMetas: keys.map((key) => ({ key, objectChecksum: null })),
    });
    const failed = [...started, ...ended].find(({ code }) => code !== 0);
    if (failed !== undefined) throw new Error(`A put failed: ${failed.code}`);
  }

  async exists(): Promise<void> {
    await this.#master.existKey({ key: encoder.encode("bench/none"), tenantId });
  }

  close(): Promise<void> {
    return this.#rpc.close();
  }
}

interface Measured {
  perSecond: number;
  p50: number;
  p99: number;
}

/** Runs `call` on every putter for a while; latencies in milliseconds. */
async function measure(
  putters: readonly Putter[],
  call: (putter: Putter) => Promise<void>,
): Promise<Measured> {
  const latencies: number[] = [];
  const startedMs = performance.now();
  const untilMs = startedMs + SECONDS * 1000;
  await Promise.all(putters.map(async (putter) => {
    while (performance.now() < untilMs) {
      const sentMs = performance.now();
      await call(putter);
      latencies.push(performance.now() - sentMs);
    }
  }));
  const seconds = (performance.now() - startedMs) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))];
  return { perSecond: latencies.length / seconds, p50: at(0.5), p99: at(0.99) };
}

async function rowOf(mode: string, address: string): Promise<string[]> {
  const putters = Array.from({ length: 16 }, (_, i) => new Putter(address, i));
  for (const putter of putters) await putter.mount();
  const [first] = putters;
  await measure([first], (putter) => putter.put(1));
  const alone = await measure([first], (putter) => putter.put(1));
  const many = await measure(putters, (putter) => putter.put(1));
  const batches = await measure(putters, (putter) => putter.put(128));
  const reads = await measure(putters.slice(1), (putter) => putter.exists());
  await Promise.all(putters.map((putter) => putter.close()));
  return [
    mode,
    ...[alone.p50, alone.p99].map((ms) => ms.toFixed(2)),
    ...[many.perSecond, batches.perSecond * 128].map(short),
    reads.p50.toFixed(2),
  ];
}

async function report(): Promise<void> {
  const rows: string[][] = [];
  for (const durability of ["none", "batch", "fsync"]) {
    const directory = Deno.makeTempDirSync({ prefix: "snowskin-bench-" });
    const kept = durability === "none" ? [] : [`--data_dir=${directory}`];
    const { process, address } = await startMaster([`--durability=${durability}`, ...kept]);
    rows.push(await rowOf(`alone, ${durability}`, address));
    await process.stop();
    Deno.removeSync(directory, { recursive: true });
  }
  const engines: [string, string | null, () => Promise<EngineServer>, string][] = [
    ["etcd", etcdAbsent, () => EngineServer.etcd(), "--etcd_endpoints="],
    ["redis, fsync always", redisAbsent, () => EngineServer.redis(), redisFlag],
    [
      "redis, everysec",
      redisAbsent,
      () => EngineServer.redis("--appendfsync", "everysec"),
      redisFlag,
    ],
  ];
  for (const [mode, missing, start, flag] of engines) {
    if (missing !== null) continue;
    await using server = await start();
    const type = flag === redisFlag ? "redis" : "etcd";
    await using masters = await HaMasters.start(2, [
      ...[`--ha_backend_type=${type}`, flag + server.address],
    ]);
    await masters.standbys();
    rows.push(await rowOf(`${mode}, 2 masters`, (await masters.leader()).address));
  }
  printTable(
    ["mode", "put p50 ms", "p99 ms", "puts/s of 16", "puts/s, 16 x 128", "exist p50 ms"],
    rows,
  );
}

const redisFlag = "--ha_backend_connstring=redis://";
await report();
