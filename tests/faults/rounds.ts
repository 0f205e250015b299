/**
 * Right bytes or a miss: readers and writers that stand still for longer than their lease or their
 * time-outs, while others remove, evict, replace and use the same memory.
 */
import type { StoreOptions } from "../../client/setup.ts";
import { StoreClient } from "../../client/store_client.ts";
import { TransferCode } from "../../client/transfer/engine.ts";
import { LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { StoreError } from "../../proto/error.ts";
import { bytesRead, HeldClient, type Hold, holdPoints } from "./held_client.ts";
import type { Scenario, ScenarioResult } from "./scenarios.ts";
import { Ledger, STAMP_BYTES, stamped, versionIn } from "./stamps.ts";
import type { StoppedClientResult, StoppedClientTask } from "./stopped_client.ts";

const MIB = 1 << 20;
const POOL_BYTES = 48 * MIB;
const KEYS = 400;
const SMALLEST = 4 << 10;
const LARGEST = 128 << 10;
const LEASE_MS = 40;
const DISCARD_S = 1;
const RELEASE_S = 4;
/** Rounds that stand still at once. */
const READERS = 32;
const WRITERS = 160;
const CHURNERS = 4;
const STOPPED_CLIENTS = 2;
/**
 * The longest that a write is held. With checksums it outlasts the time after which memory is given
 * out without asking; what is left without them is promised within that time only.
 */
const LONGEST_MS = (RELEASE_S + 1) * 1000;
const LONGEST_UNCHECKED_MS = 2500;
/** One in so many writers outlasts the time-outs, and one in so many stops the client's session. */
const LONG_WRITES = 3;
const LONG_STOPS = 12;
/** Versions of a process, so that two never give the same. */
const VERSIONS = 1 << 24;

const MASTER_FLAGS = [
  `--default_kv_lease_ttl=${LEASE_MS}`,
  `--put_start_discard_timeout_sec=${DISCARD_S}`,
  `--put_start_release_timeout_sec=${RELEASE_S}`,
  ...["--client_ttl=2", "--put_wait_ms=20", "--durability=none"],
];

/** How the bytes travel. */
export interface Way {
  readonly name: "tcp" | "typescript" | "shm" | "rdma";
  readonly what: string;
  readonly engine: "native" | "typescript";
  readonly forceTcp: boolean;
  readonly protocol: "tcp" | "rdma";
  /** Why it cannot be had here, or `null`. */
  readonly missing: string | null;
}

function nativeAbsent(): string | null {
  const library = openLibrary();
  if ("unavailable" in library) return `the C shim: ${library.unavailable}`;
  library.close();
  return null;
}

function rdmaAbsent(): string | null {
  try {
    if (Array.from(Deno.readDirSync("/sys/class/infiniband")).length > 0) return noShim;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return "there is no RDMA device";
}

const noShim = nativeAbsent();
const tcp = { engine: "native", forceTcp: true, protocol: "tcp", missing: noShim } as const;

export const ways: readonly Way[] = [
  { ...tcp, name: "tcp", what: "TCP, the C shim" },
  { ...tcp, name: "typescript", what: "TCP, TypeScript", engine: "typescript", missing: null },
  { ...tcp, name: "shm", what: "memory of one host", forceTcp: false },
  { ...tcp, name: "rdma", what: "RDMA", forceTcp: false, protocol: "rdma", missing: rdmaAbsent() },
];

/** What the test saw that clients must not show. */
interface Dangers {
  heldReads: number;
  heldWrites: number;
  /** Reads that had brought bytes of others when they arrived. */
  overtaken: number;
  /** Writes that came late and were refused by the node, or that the master did not take. */
  refusedByNode: number;
  late: number;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A master, a node with little memory, and the clients of one run. */
class Arena implements AsyncDisposable {
  readonly ledger = new Ledger(0);
  readonly dangers: Dangers = {
    ...{ heldReads: 0, heldWrites: 0, overtaken: 0, refusedByNode: 0, late: 0 },
  };
  readonly node: LocalProcess;
  readonly #stack = new AsyncDisposableStack();
  readonly #options: StoreOptions;
  readonly #random: () => number;
  readonly #longestMs: number;
  readonly #held: HeldClient;
  readonly #churn: StoreClient;
  readonly #adminUrl: string;

  private constructor(
    parts: {
      options: StoreOptions;
      adminUrl: string;
      node: LocalProcess;
      held: HeldClient;
      churn: StoreClient;
      random: () => number;
    },
  ) {
    this.#options = parts.options;
    this.#adminUrl = parts.adminUrl;
    this.node = parts.node;
    this.#held = parts.held;
    this.#churn = parts.churn;
    this.#random = parts.random;
    this.#longestMs = parts.options.storeChecksum ? LONGEST_MS : LONGEST_UNCHECKED_MS;
  }

  static async start(way: Way, storeChecksum: boolean, random: () => number): Promise<Arena> {
    const { engine, forceTcp, protocol } = way;
    await using stack = new AsyncDisposableStack();
    const { process, address, adminUrl } = await startMaster(MASTER_FLAGS);
    stack.use(process);
    const env: Record<string, string> = forceTcp ? { MC_FORCE_TCP: "1" } : {};
    if (engine === "typescript") env.SNOWSKIN_NATIVE = "off";
    const node = stack.use(
      await startNode(address, POOL_BYTES, { env, flags: [`--protocol=${protocol}`] }),
    );
    const options: StoreOptions = {
      ...{ masterServerAddress: address, engine, forceTcp, protocol, storeChecksum },
      earlyReads: "on",
    };
    const held = stack.use(await HeldClient.connect(options));
    // From here on it has the memory mapped where it can: who was kept out once stays out for long.
    await held.upsert("first", stamped(0, 0, SMALLEST), { point: "before", ms: 0, done() {} });
    const churn = stack.use(await StoreClient.connect(options));
    const arena = new Arena({ options, adminUrl, node, held, churn, random });
    arena.#stack.use(stack.move());
    return arena;
  }

  get mismatches(): number {
    return this.#held.mismatches + this.#churn.checksumMismatches;
  }

  below(limit: number): number {
    return this.#random() * limit | 0;
  }

  value(key: number, version: number): Uint8Array {
    const stamps = (SMALLEST + this.below(LARGEST - SMALLEST)) / STAMP_BYTES | 0;
    return stamped(key, version, stamps * STAMP_BYTES);
  }

  hold(ms: number, done: Hold["done"]): Hold {
    return { point: holdPoints[this.below(holdPoints.length)], ms, done };
  }

  /** A read that stands still for up to four leases. */
  async readRound(): Promise<void> {
    const key = this.below(KEYS);
    const hold = this.hold(LEASE_MS * (0.5 + 3.5 * this.#random()), (codes, ops) => {
      this.dangers.heldReads++;
      const bytes = bytesRead(ops);
      if (bytes === null || codes.some((code) => code !== TransferCode.OK)) return;
      if (versionIn(key, bytes) === null) this.dangers.overtaken++;
    });
    await this.ledger.read(key, () => this.#held.get(`rounds/${key}`, hold));
  }

  /** A write that stands still, one in three for longer than the first time-out. */
  async writeRound(): Promise<void> {
    const key = this.below(KEYS);
    const ms = this.below(LONG_WRITES) === 0
      ? DISCARD_S * 1000 + (this.#longestMs - DISCARD_S * 1000) * this.#random()
      : LEASE_MS * 3 * this.#random();
    let arrived = false;
    const hold = this.hold(ms, (codes) => {
      this.dangers.heldWrites++;
      arrived = codes.every((code) => code === TransferCode.OK);
      if (codes.includes(TransferCode.ADDRESS_NOT_REGISTERED)) this.dangers.refusedByNode++;
    });
    const ended = await this.ledger.write((version) =>
      this.#held.upsert(`rounds/${key}`, this.value(key, version), hold)
    );
    if (arrived && !ended) this.dangers.late++;
  }

  /** What others do meanwhile. */
  async churn(): Promise<void> {
    const key = this.below(KEYS);
    const name = `rounds/${key}`;
    const chance = this.below(20);
    if (chance < 3) {
      await this.#churn.remove(name, { force: chance < 2 }).catch((error) => {
        if (!(error instanceof StoreError)) throw error;
      });
    } else if (chance < 15) {
      await this.ledger.write((version) => this.#churn.upsert(name, this.value(key, version)));
    } else {
      await this.ledger.read(key, () => this.#churn.get(name));
    }
  }

  /** A client as a process of its own, number `index` from 1. */
  async client(index: number): Promise<LocalProcess> {
    const task: StoppedClientTask = {
      ...{ options: this.#options, first: index * VERSIONS, keys: KEYS },
    };
    const script = new URL("stopped_client.ts", import.meta.url).pathname;
    const args = ["run", "-A", script, JSON.stringify(task)];
    const process = new LocalProcess(`client ${index}`, Deno.execPath(), args);
    await process.ready(/^running$/);
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
async function lanes(
  count: number,
  isEnough: () => boolean,
  work: () => Promise<void>,
): Promise<void> {
  const lane = async () => {
    while (!isEnough()) await work();
  };
  await Promise.all(Array.from({ length: count }, lane));
}

/** Stops a node again and again until `isOver`: what was sent to it comes in late. */
async function stumble(
  node: LocalProcess,
  random: () => number,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    await pause(500 + 1500 * random());
    node.kill("SIGSTOP");
    await pause(LEASE_MS * (1 + 4 * random()));
    node.kill("SIGCONT");
  }
}

/** Stops a client again and again until `isOver`, then has it end and takes its result. */
async function stopAndGo(
  process: LocalProcess,
  random: () => number,
  isOver: () => boolean,
): Promise<StoppedClientResult> {
  for (let stops = 1; !isOver() || stops < 4; stops++) {
    await pause(20 + 60 * random());
    process.kill("SIGSTOP");
    await pause(stops % LONG_STOPS === 3 ? 2600 : LEASE_MS * (1 + 3 * random()));
    process.kill("SIGCONT");
  }
  process.kill("SIGTERM");
  const line = await process.line(/^result /, 60_000);
  await process.stop();
  return JSON.parse(line.slice("result ".length));
}

/** What one run has shown. */
export interface RoundsResult extends ScenarioResult {
  readonly dangers: Dangers;
  /** Reads that gave the bytes of one write that ended. */
  readonly right: number;
  /** Replicas with other bytes than were written, which the checksum has found. */
  readonly mismatches: number;
  /** Operations during which their process was stopped. */
  readonly stopped: number;
  readonly complaints: readonly string[];
}

/** `rounds` held reads and as many held writes, while clients and the node are stopped at times. */
export async function runRounds(
  way: Way,
  storeChecksum: boolean,
  rounds: number,
  random: () => number,
  progress: (line: string) => void,
): Promise<RoundsResult> {
  await using arena = await Arena.start(way, storeChecksum, random);
  const { ledger, dangers } = arena;
  const clients = await Promise.all(
    Array.from({ length: STOPPED_CLIENTS }, (_, i) => arena.client(i + 1)),
  );
  const startedMs = performance.now();
  const told = setInterval(() => {
    progress(`${way.name}: ${dangers.heldReads} reads and ${dangers.heldWrites} writes were held`);
  }, 10_000);
  let over = false;
  const others = lanes(CHURNERS, () => over, () => arena.churn());
  const stumbling = stumble(arena.node, random, () => over);
  const stopping = clients.map((client) => stopAndGo(client, random, () => over));
  try {
    await Promise.all([
      lanes(READERS, () => dangers.heldReads >= rounds, () => arena.readRound()),
      lanes(WRITERS, () => dangers.heldWrites >= rounds, () => arena.writeRound()),
    ]);
  } finally {
    over = true;
    clearInterval(told);
    await Promise.all([others, stumbling]);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const results = await Promise.all(stopping);
  const sum = (of: (result: StoppedClientResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const stopped = sum(({ stoppedReads, stoppedWrites }) => stoppedReads + stoppedWrites);
  const right = ledger.right + sum((result) => result.right);
  const missing = ledger.missing + sum((result) => result.missing);
  const errors = ledger.errors + sum((result) => result.errors);
  const wrong = ledger.wrong + sum((result) => result.wrong);
  const mismatches = arena.mismatches + sum((result) => result.mismatches);
  const acknowledged = ledger.ended + sum((result) => result.ended);
  const confirmed = await arena.metric("snowskin_fences_confirmed_total");
  const refused = await arena.metric("snowskin_fences_refused_total");
  const complaints = [...ledger.complaints, ...results.flatMap((result) => result.complaints)];
  const summary = [
    `${dangers.heldReads} held reads and ${dangers.heldWrites} held writes, ${stopped} more stood`,
    `still with their process; of ${right + missing + errors + wrong} reads ${right} right,`,
    `${missing} misses, ${errors} errors, ${wrong} WRONG; ${dangers.overtaken} held reads had`,
    `brought bytes of others, ${mismatches} replicas did not have the right checksum;`,
    `${dangers.refusedByNode} late writes were refused by the node (${confirmed} fences, and ${refused}`,
    `that it could not promise), ${dangers.late}`,
    `arrived and were not ended; ${acknowledged} writes in ${seconds.toFixed(0)} s`,
    ...complaints,
  ].join(" ");
  return {
    ...{ rounds, acknowledged, rate: acknowledged / seconds, lost: 0, wrong, pausesMs: [0] },
    ...{ checked: right + missing + errors + wrong, summary },
    ...{ dangers, right, mismatches, stopped, complaints },
  };
}

function scenarioOf(way: Way, storeChecksum: boolean): Scenario {
  return {
    name: `rounds-${way.name}${storeChecksum ? "" : "-unchecked"}`,
    what: `held and stopped clients, ${way.what}${storeChecksum ? "" : ", without checksums"}`,
    missing: way.missing,
    short: true,
    judged: storeChecksum,
    run: (rounds, random, progress) => runRounds(way, storeChecksum, rounds, random, progress),
  };
}

/** Each transport as it is by default, and without checksums, where the count is told, not judged. */
export const roundScenarios: readonly Scenario[] = [true, false].flatMap((storeChecksum) =>
  ways.map((way) => scenarioOf(way, storeChecksum))
);
