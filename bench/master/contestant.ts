/** A master that is measured, with the segments and objects that the load needs. */
import { freePort, type LocalProcess, startMaster } from "../../examples/local_cluster.ts";
import { MasterClient } from "../../client/master_client.ts";
import { RpcClient } from "../../client/rpc_client.ts";
import { parseHostPort } from "../../client/transfer/address.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { findWheel } from "../../tests/support/wheel.ts";
import { startReferenceMaster } from "../json_peer.ts";
import { cpuMicroseconds, residentBytes } from "../process_stat.ts";
import type { LoadOrder, LoadResult } from "./load_worker.ts";
import type { MasterBenchOptions, Operation } from "./options.ts";

const CLIENT_ID = "77-77";
const BASE = 0x7f00_0000_0000n;
const FLAGS = ["--default_kv_lease_ttl=1000", "--eviction_high_watermark_ratio=0.95"];
const BEAT_MS = 1000;

/** What one operation came to. */
export interface Measurement extends LoadResult {
  operation: Operation;
  batch: number;
  keysPerSecond: number;
  callsPerSecond: number;
  /** Microseconds of the master's threads for each key, `null` for a master that was running. */
  cpuPerKeyUs: number | null;
}

export class Contestant implements AsyncDisposable {
  readonly #rpc: RpcClient;
  readonly #master: MasterClient;
  #beat: ReturnType<typeof setInterval> | undefined;

  private constructor(
    readonly name: string,
    readonly address: { host: string; port: number },
    readonly process: LocalProcess | null,
  ) {
    this.#rpc = new RpcClient({ ...address, clock: systemClock });
    this.#master = new MasterClient(this.#rpc);
  }

  /** The masters that the options ask for. */
  static async all(options: MasterBenchOptions): Promise<Contestant[]> {
    if (options.master !== "") {
      const parsed = parseHostPort(options.master);
      if (parsed === null || parsed.port === null) {
        console.error(`--master=${options.master}: allowed is host:port`);
        Deno.exit(2);
      }
      const { host, port } = parsed;
      return [new Contestant(options.master, { host, port }, null)];
    }
    const { process, address } = await startMaster(FLAGS);
    const contestants = [new Contestant("snowskin", parseHostPort(address) as never, process)];
    if (!options.compare) return contestants;
    const wheel = await findWheel({ install: true });
    if (!("master" in wheel)) {
      console.error(`--compare: there is no reference here: ${wheel.reason}`);
      Deno.exit(1);
    }
    const port = await freePort();
    const reference = await startReferenceMaster(wheel.master, port, await freePort(), FLAGS);
    contestants.unshift(new Contestant("reference", { host: "127.0.0.1", port }, reference));
    return contestants;
  }

  /** Resident bytes of the master, 0 when it was running already. */
  get residentBytes(): number {
    return this.process === null ? 0 : residentBytes(this.process.pid);
  }

  /** Announces the segments and puts the objects that are there at the beginning. */
  async prepare(options: MasterBenchOptions): Promise<void> {
    const segments = Array.from({ length: options.segments }, (_, i) => ({
      id: `9000-${i + 1}`,
      name: `bench-${i}:1`,
      base: BASE + BigInt(i) * BigInt(options.segmentBytes),
      size: options.segmentBytes,
      teEndpoint: `bench-${i}:1`,
      protocol: "tcp",
      hostId: "",
    }));
    for (const segment of segments) {
      const { code } = await this.#master.mountSegment({ segment, clientId: CLIENT_ID });
      if (code !== ErrorCode.OK) throw new Error(`${this.name} refuses a segment: ${code}`);
    }
    await this.#master.reMountSegment({ segments, clientId: CLIENT_ID });
    this.#beat = setInterval(() => {
      void this.#master.ping({ clientId: CLIENT_ID }).catch(() => {});
    }, BEAT_MS);
    const fill = { from: 0, to: options.keys };
    const { failed } = await this.#load({
      ...this.#order(options, "batch_put", 0),
      ...{ batch: 1024, clients: 1, fill },
    });
    if (failed > 0) throw new Error(`${failed} of ${options.keys} keys could not be put`);
  }

  async measure(options: MasterBenchOptions, operation: Operation): Promise<Measurement> {
    const before = this.process === null ? 0 : cpuMicroseconds(this.process.pid);
    const results = await Promise.all(
      Array.from(
        { length: options.threads },
        (_, thread) => this.#load(this.#order(options, operation, thread)),
      ),
    );
    const cpu = this.process === null ? null : cpuMicroseconds(this.process.pid) - before;
    const sum = (of: (result: LoadResult) => number) =>
      results.reduce((total, one) => total + of(one), 0);
    const seconds = Math.max(...results.map((one) => one.seconds));
    const keys = sum((one) => one.keys);
    const calls = sum((one) => one.calls);
    return {
      ...{ operation, batch: operation.startsWith("batch_") ? options.batch : 1 },
      ...{ calls, keys, seconds, failed: sum((one) => one.failed) },
      // Threads are alike; the slowest at each percentile is shown.
      percentiles: results[0].percentiles.map((_, i) =>
        Math.max(...results.map(({ percentiles }) => percentiles[i]))
      ),
      maxUs: Math.max(...results.map(({ maxUs }) => maxUs)),
      keysPerSecond: keys / seconds,
      callsPerSecond: calls / seconds,
      cpuPerKeyUs: cpu === null ? null : cpu / keys,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beat);
    await this.#rpc.close();
    await this.process?.stop();
  }

  #order(options: MasterBenchOptions, operation: Operation, thread: number): LoadOrder {
    const { clients, batch, valueBytes, keys, duration: seconds } = options;
    const rate = options.rate / options.threads;
    return {
      ...{ ...this.address, clientId: CLIENT_ID, thread, operation },
      ...{ clients, batch, valueBytes, keys, seconds, rate },
    };
  }

  #load(order: LoadOrder): Promise<LoadResult> {
    const worker = new Worker(new URL("./load_worker.ts", import.meta.url).href, {
      type: "module",
    });
    return new Promise<LoadResult>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<LoadResult>) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      worker.postMessage(order);
    }).finally(() => worker.terminate());
  }
}
