/** A master, a node with little memory, and the clients of one run of rounds. */
import type { StoreOptions } from "../../client/setup.ts";
import { StoreClient } from "../../client/store_client.ts";
import { TransferCode } from "../../client/transfer/engine.ts";
import { LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { StoreError } from "../../proto/error.ts";
import { bytesRead, HeldClient, HeldMemory, type Hold, holdPoints } from "./held_client.ts";
import {
  LONG_WRITES,
  longestWriteMs,
  measureSpeed,
  type Pace,
  paceOf,
  READ_LEASES,
  type Speed,
  WRITE_LEASES,
} from "./pace.ts";
import { Ledger, type ReadResult, STAMP_BYTES, stamped, versionIn } from "./stamps.ts";
import type { StoppedClientTask } from "./stopped_client.ts";
import type { Way } from "./ways.ts";

/** Versions of a process, so that two never give the same. */
const VERSIONS = 1 << 24;
/** A process that is interpreted on a shared machine takes a minute to start. */
const START_MS = 300_000;

/** What the test saw that clients must not show. */
export interface Dangers {
  /** Reads and writes whose transfer stood still. */
  heldReads: number;
  heldWrites: number;
  /** What such reads gave in the end. */
  readonly held: Record<ReadResult, number>;
  /** Those that stood still for longer than their lease. */
  outlasting: number;
  /** Those whose memory was given to a write meanwhile. */
  reused: number;
  /** Those that had brought bytes of others when they arrived. */
  overtaken: number;
  /** Writes that came late and were refused by the node, or that the master did not take. */
  refusedByNode: number;
  late: number;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

interface Cluster {
  readonly address: string;
  readonly adminUrl: string;
  readonly node: LocalProcess;
  readonly stack: AsyncDisposableStack;
}

async function startCluster(way: Way, flags: string[], poolBytes: number): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const readyMs = START_MS;
  const { process, address, adminUrl } = await startMaster(
    [...flags, "--durability=none", "--warm_up=false"],
    { readyMs },
  );
  stack.use(process);
  const env: Record<string, string> = way.forceTcp ? { MC_FORCE_TCP: "1" } : {};
  if (way.engine === "typescript") env.SNOWSKIN_NATIVE = "off";
  const nodeFlags = [`--protocol=${way.protocol}`];
  const node = stack.use(
    await startNode(address, poolBytes, { env, flags: nodeFlags, readyMs }),
  );
  return { address, adminUrl, node, stack: stack.move() };
}

function patient(ms: number): Partial<StoreOptions> {
  return {
    ...{ rpcTimeoutMs: ms, rpcConnectTimeoutMs: ms, transferTimeoutMs: ms, handshakeTimeoutMs: ms },
    replicaPatienceMs: ms / 3,
  };
}

/** How fast calls are here, found on a cluster that is given up afterwards. */
async function measure(way: Way): Promise<Speed> {
  const flags = ["--default_kv_lease_ttl=60000", "--client_ttl=600"];
  const { address, stack } = await startCluster(way, flags, 64 << 20);
  await using _cluster = stack;
  const { engine, forceTcp, protocol } = way;
  await using client = await StoreClient.connect({
    ...{ masterServerAddress: address, engine, forceTcp, protocol },
    ...patient(START_MS),
  });
  return await measureSpeed(client);
}

function masterFlags({ leaseMs, discardS, releaseS, clientTtlS }: Pace): string[] {
  return [
    `--default_kv_lease_ttl=${leaseMs}`,
    `--put_start_discard_timeout_sec=${discardS}`,
    `--put_start_release_timeout_sec=${releaseS}`,
    ...[`--client_ttl=${clientTtlS}`, `--put_wait_ms=${leaseMs >> 1}`],
  ];
}

export class Arena implements AsyncDisposable {
  readonly ledger = new Ledger(0);
  readonly dangers: Dangers = {
    ...{ heldReads: 0, heldWrites: 0, outlasting: 0, reused: 0, overtaken: 0 },
    ...{ refusedByNode: 0, late: 0 },
    held: { right: 0, missing: 0, errors: 0, wrong: 0 },
  };
  readonly node: LocalProcess;
  readonly pace: Pace;
  readonly #stack: AsyncDisposableStack;
  readonly #options: StoreOptions;
  readonly #random: () => number;
  readonly #longestMs: number;
  readonly #held: HeldClient;
  readonly #churn: HeldClient;
  readonly #adminUrl: string;

  private constructor(
    parts: {
      options: StoreOptions;
      pace: Pace;
      cluster: Cluster;
      held: HeldClient;
      churn: HeldClient;
      random: () => number;
    },
  ) {
    this.#options = parts.options;
    this.#adminUrl = parts.cluster.adminUrl;
    this.#stack = parts.cluster.stack;
    this.node = parts.cluster.node;
    this.pace = parts.pace;
    this.#held = parts.held;
    this.#churn = parts.churn;
    this.#random = parts.random;
    this.#longestMs = longestWriteMs(parts.pace, parts.options.storeChecksum ?? true);
  }

  /** Measures the machine, then starts what fits it and fills the pool. */
  static async start(
    way: Way,
    storeChecksum: boolean,
    random: () => number,
    progress: (line: string) => void,
  ): Promise<Arena> {
    const { engine, forceTcp, protocol } = way;
    const speed = await measure(way);
    const pace = paceOf(speed);
    progress(
      `${way.name}: a call takes ${speed.callMs.toFixed(1)} ms, the bytes of a large one ` +
        `${speed.bytesMs.toFixed(1)} ms more: leases of ${pace.leaseMs} ms, time-outs of ` +
        `${pace.discardS} and ${pace.releaseS} s, ${pace.readers} readers and ${pace.writers} ` +
        `writers of up to ${pace.largest >> 10} KiB`,
    );
    const cluster = await startCluster(way, masterFlags(pace), pace.poolBytes);
    await using stack = cluster.stack;
    const options: StoreOptions = {
      ...{ masterServerAddress: cluster.address, engine, forceTcp, protocol, storeChecksum },
      ...(pace.patienceMs !== null && patient(pace.patienceMs)),
      earlyReads: "on",
    };
    const memory = new HeldMemory();
    const held = stack.use(await HeldClient.connect(options, memory));
    // From here on it has the memory mapped where it can: who was kept out once stays out for long.
    await held.upsert("first", stamped(0, 0, pace.smallest));
    const churn = stack.use(await HeldClient.connect(options, memory));
    const parts = { options, pace, held, churn, random };
    const arena = new Arena({ ...parts, cluster: { ...cluster, stack: stack.move() } });
    let key = 0;
    await lanes(4, () => key >= pace.keys, () => arena.#fill(key++));
    return arena;
  }

  get mismatches(): number {
    return this.#held.mismatches + this.#churn.mismatches;
  }

  #below(limit: number): number {
    return this.#random() * limit | 0;
  }

  #value(key: number, version: number): Uint8Array {
    const { smallest, largest } = this.pace;
    const stamps = (smallest + this.#below(largest - smallest)) / STAMP_BYTES | 0;
    return stamped(key, version, stamps * STAMP_BYTES);
  }

  #hold(ms: number, done: Hold["done"]): Hold {
    return { point: holdPoints[this.#below(holdPoints.length)], ms, done };
  }

  async #fill(key: number): Promise<void> {
    await this.ledger.write((version) =>
      this.#churn.upsert(`rounds/${key}`, this.#value(key, version))
    );
  }

  /** A read that stands still for up to four leases. */
  async readRound(): Promise<void> {
    const { pace: { keys, leaseMs }, dangers } = this;
    const key = this.#below(keys);
    const { least, most } = READ_LEASES;
    const ms = leaseMs * (least + (most - least) * this.#random());
    let isHeld = false;
    const hold = this.#hold(ms, (codes, ops, isReused) => {
      isHeld = true;
      dangers.heldReads++;
      if (ms >= leaseMs) dangers.outlasting++;
      if (isReused) dangers.reused++;
      const bytes = bytesRead(ops);
      if (bytes === null || codes.some((code) => code !== TransferCode.OK)) return;
      if (versionIn(key, bytes) === null) dangers.overtaken++;
    });
    const result = await this.ledger.read(key, () => this.#held.get(`rounds/${key}`, hold));
    if (isHeld) dangers.held[result]++;
  }

  /** A write that stands still, one in three for longer than the first time-out. */
  async writeRound(): Promise<void> {
    const { pace: { keys, leaseMs, discardS }, dangers } = this;
    const key = this.#below(keys);
    const ms = this.#below(LONG_WRITES) === 0
      ? discardS * 1000 + (this.#longestMs - discardS * 1000) * this.#random()
      : leaseMs * WRITE_LEASES * this.#random();
    let arrived = false;
    const hold = this.#hold(ms, (codes) => {
      dangers.heldWrites++;
      arrived = codes.every((code) => code === TransferCode.OK);
      if (codes.includes(TransferCode.ADDRESS_NOT_REGISTERED)) dangers.refusedByNode++;
    });
    const ended = await this.ledger.write((version) =>
      this.#held.upsert(`rounds/${key}`, this.#value(key, version), hold)
    );
    if (arrived && !ended) dangers.late++;
  }

  /** What others do meanwhile. */
  async churn(): Promise<void> {
    const { keys, restMs } = this.pace;
    const key = this.#below(keys);
    const name = `rounds/${key}`;
    const chance = this.#below(20);
    if (chance < 3) {
      await this.#churn.remove(name, chance < 2).catch((error) => {
        if (!(error instanceof StoreError)) throw error;
      });
    } else if (chance < 15) await this.#fill(key);
    else await this.ledger.read(key, () => this.#churn.get(name));
    if (restMs > 0) await pause(restMs);
  }

  /** A client as a process of its own, number `index` from 1. */
  async client(index: number): Promise<LocalProcess> {
    const { leaseMs, keys, largest, stoppedLargest, restMs } = this.pace;
    const task: StoppedClientTask = {
      ...{ options: this.#options, first: index * VERSIONS, keys, restMs },
      ...{ smallest: largest / 4, largest: stoppedLargest, stopMs: leaseMs * 0.75 },
    };
    const script = new URL("stopped_client.ts", import.meta.url).pathname;
    const args = ["run", "-A", script, JSON.stringify(task)];
    const process = new LocalProcess(`client ${index}`, Deno.execPath(), args);
    await process.ready(/^running$/, START_MS);
    return process;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.#adminUrl}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, "m").exec(text)?.[1] ?? NaN);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** Does `work` again and again, so many at once, until it is enough. */
export async function lanes(
  count: number,
  isEnough: () => boolean,
  work: () => Promise<void>,
): Promise<void> {
  const lane = async () => {
    while (!isEnough()) await work();
  };
  await Promise.all(Array.from({ length: count }, lane));
}
