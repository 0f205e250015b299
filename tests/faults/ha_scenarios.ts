/** What befalls the leader of several masters while writers never stop. */
import { LocalProcess, startNode } from "../../examples/local_cluster.ts";
import { MasterClient } from "../../client/master_client.ts";
import { RpcClient } from "../../client/rpc_client.ts";
import { parseHostPort } from "../../client/transfer/address.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { StoreError } from "../../proto/error.ts";
import { CuttableProxy } from "../support/cuttable_proxy.ts";
import { EngineServer, etcdAbsent, redisAbsent } from "../support/engine_servers.ts";
import { type HaMaster, HaMasters } from "../support/ha_masters.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";
import { Load } from "./load.ts";
import { Namespace, namespacesAbsent } from "./namespaces.ts";
import type { Scenario, ScenarioResult } from "./scenarios.ts";

const MIB = 1 << 20;
const CLIENTS = 4;
/** Puts under way in each client; every one waits for the log twice. */
const CONCURRENCY = 8;
const LONGEST_WAIT_MS = 60_000;
const SAMPLE = 97;
/** What is acknowledged later than this after a fault was not on its way before it. */
const UNDER_WAY_MS = 100;
const ASK_MS = 4000;

interface Cluster extends AsyncDisposable {
  readonly masters: HaMasters;
  /** As clients are told. */
  readonly address: string;
  /** Cuts a master off from the engine, or connects it again. */
  cut(master: HaMaster, off: boolean): Promise<void>;
}

async function clusterOn(kind: "etcd" | "redis", count = 2): Promise<Cluster> {
  const engine = await EngineServer[kind]();
  const flags = kind === "etcd"
    ? [`--etcd_endpoints=${engine.address}`]
    : ["--ha_backend_type=redis", `--ha_backend_connstring=redis://${engine.address}`];
  const masters = await HaMasters.start(count, flags);
  return {
    masters,
    address: `${kind}://${engine.address}`,
    cut: () => Promise.reject(new Error("This cluster has no namespaces")),
    async [Symbol.asyncDispose]() {
      await masters[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** Masters that can be cut off from etcd: in namespaces, or behind proxies where there are none. */
async function divisibleCluster(inNamespaces: boolean): Promise<Cluster> {
  const everywhere = ["--listen-client-urls", "http://0.0.0.0:{port}"];
  const engine = await EngineServer.etcd(...(inNamespaces ? everywhere : []));
  const masters = await HaMasters.start(0, []);
  const spaces = new Map<HaMaster, Namespace>();
  const proxies = new Map<HaMaster, CuttableProxy>();
  for (let i = 0; i < 2; i++) {
    if (inNamespaces) {
      const space = await Namespace.create(i);
      const flag = `--etcd_endpoints=${space.engineHost}:${engine.port}`;
      spaces.set(await masters.add([flag], space.place), space);
    } else {
      const proxy = await CuttableProxy.to(engine.port);
      proxies.set(await masters.add([`--etcd_endpoints=${proxy.address}`]), proxy);
    }
  }
  return {
    masters,
    address: `etcd://${engine.address}`,
    async cut(master, off) {
      const space = spaces.get(master);
      if (space !== undefined) return await (off ? space.cut() : space.mend());
      const proxy = proxies.get(master)!;
      off ? proxy.cut() : proxy.mend();
    },
    async [Symbol.asyncDispose]() {
      await masters[Symbol.asyncDispose]();
      for (const proxy of proxies.values()) await proxy[Symbol.asyncDispose]();
      for (const space of spaces.values()) await space[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** Asks one master, over and over, what it should not answer once another one leads. */
class Asker {
  readonly answers: number[] = [];
  readonly #done: Promise<void>;
  #asking = true;

  constructor(master: HaMaster, key: string) {
    this.#done = this.#ask(master.address, key);
  }

  /** Answers that came after a time. */
  async stop(afterMs: number): Promise<number> {
    this.#asking = false;
    await this.#done;
    return this.answers.filter((atMs) => atMs > afterMs).length;
  }

  async #ask(address: string, text: string): Promise<void> {
    const { host, port } = parseHostPort(address)!;
    const encoder = new TextEncoder();
    const [key, tenantId] = [text, "default"].map((word) => encoder.encode(word));
    await using rpc = new RpcClient({
      ...{ host, port: port!, clock: systemClock, connectTimeoutMs: 500, requestTimeoutMs: ASK_MS },
    });
    const client = new MasterClient(rpc);
    while (this.#asking) {
      try {
        await client.getReplicaList({ key, tenantId });
        this.answers.push(performance.now());
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
      }
      await pause(20);
    }
  }
}

interface Fault {
  /** Ends the leader's leading. */
  strike(leader: HaMaster, cluster: Cluster): Promise<void> | void;
  /** Brings it back, once another one leads. */
  mend(leader: HaMaster, cluster: Cluster): Promise<void> | void;
  /** Whether the old leader lives all the time, and might answer. */
  lives: boolean;
}

const killed: Fault = {
  strike: (leader) => leader.process.stop("SIGKILL").then(() => {}),
  mend: (leader) => leader.start(),
  lives: false,
};

const frozen: Fault = {
  strike: (leader) => leader.process.kill("SIGSTOP"),
  mend: (leader) => leader.process.kill("SIGCONT"),
  lives: true,
};

const cutOff: Fault = {
  strike: (leader, cluster) => cluster.cut(leader, true),
  mend: (leader, cluster) => cluster.cut(leader, false),
  lives: true,
};

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function leaderFault(
  name: string,
  what: string,
  missing: string | null,
  fault: Fault,
  open: () => Promise<Cluster>,
  segmentBytes = 256 * MIB,
  full = false,
): Scenario {
  return {
    ...{ name, what, missing },
    async run(rounds, random, progress): Promise<ScenarioResult> {
      await using cluster = await open();
      const { masters, address } = cluster;
      await using _first = await startNode(address, segmentBytes);
      await using _second = await startNode(address, segmentBytes);
      await using load = await Load.start(address, CLIENTS, CONCURRENCY);
      if (full) await until(() => load.acknowledged.length * 1024 > 3 * segmentBytes, 120_000);
      const pausesMs: number[] = [];
      let checked = 0;
      let stale = 0;
      for (let round = 1; round <= rounds; round++) {
        await masters.standbys();
        const began = performance.now();
        const had = load.acknowledged.length;
        load.begin();
        await pause(500 + random() * 1000);
        load.wasBusy(began, had);
        const leader = await masters.leader();
        const asker = fault.lives ? new Asker(leader, load.acknowledged.at(-1)!) : null;
        const struckMs = performance.now();
        await fault.strike(leader, cluster);
        await until(() => load.lastMs > struckMs + UNDER_WAY_MS, LONGEST_WAIT_MS);
        const backMs = load.lastMs;
        pausesMs.push(backMs - struckMs);
        await fault.mend(leader, cluster);
        await until(() => leader.canLead(), LONGEST_WAIT_MS);
        stale += await asker?.stop(backMs) ?? 0;
        await load.pause();
        if (!full) await until(() => load.areAllThere(SAMPLE), LONGEST_WAIT_MS);
        const from = checked;
        checked = load.acknowledged.length;
        await load.check(from, full);
        const seconds = (pausesMs.at(-1)! / 1000).toFixed(2);
        progress(
          `${name}: round ${round} of ${rounds}, ${checked} acknowledged puts, ${seconds} s`,
        );
      }
      await load.check(0, full);
      return { rounds, pausesMs, ...load.counts, ...(fault.lives && { stale }) };
    },
  };
}

const wheel = await findWheel();
const noWheel = "reason" in wheel ? `the reference wheel: ${wheel.reason}` : null;

/** The published wheel's client: what it stores, and how long it is without a leader. */
const wheelKill: Scenario = {
  name: "ha-wheel",
  what: "the leader in etcd is killed under a client of the published wheel",
  missing: etcdAbsent ?? noWheel,
  async run(rounds, _random, progress): Promise<ScenarioResult> {
    if ("reason" in wheel) throw new Error(wheel.reason);
    const script = new URL("../ha/wheel_client.py", import.meta.url).pathname;
    const pausesMs: number[] = [];
    const counts = { acknowledged: 0, checked: 0, lost: 0, wrong: 0, rate: 0 };
    for (let round = 1; round <= rounds; round++) {
      // The memory of a wheel that is gone would stay in the pool for a while.
      await using cluster = await clusterOn("etcd");
      await cluster.masters.standbys();
      const began = performance.now();
      await using client = new LocalProcess("wheel", wheel.python, [script, cluster.address]);
      await client.line(/^stored enough/, LONGEST_WAIT_MS);
      counts.rate += 200_000 / (performance.now() - began) / rounds;
      const leader = await cluster.masters.leader();
      const struckMs = performance.now();
      await killed.strike(leader, cluster);
      await client.line(/^back/, LONGEST_WAIT_MS);
      pausesMs.push(performance.now() - struckMs);
      const line = await client.line(/^result /, LONGEST_WAIT_MS);
      const { stored, missing, wrong } = JSON.parse(line.slice("result ".length));
      counts.acknowledged += stored;
      counts.checked += stored;
      counts.lost += missing;
      counts.wrong += wrong;
      progress(`ha-wheel: round ${round} of ${rounds}, ${(pausesMs.at(-1)! / 1000).toFixed(2)} s`);
    }
    return { rounds, pausesMs, ...counts };
  },
};

const noNamespaces = await namespacesAbsent();
const cutBy = noNamespaces === null
  ? "the leader is cut off from etcd (network namespaces)"
  : `the leader is cut off from etcd (a proxy that stops; ${noNamespaces})`;

export const haScenarios: readonly Scenario[] = [
  leaderFault(
    "ha-kill",
    "the leader in etcd is killed",
    etcdAbsent,
    killed,
    () => clusterOn("etcd"),
  ),
  leaderFault(
    "ha-freeze",
    "the leader in etcd is stopped, and continued when another one leads",
    etcdAbsent,
    frozen,
    () => clusterOn("etcd"),
  ),
  leaderFault(
    ...["ha-cut", cutBy, etcdAbsent, cutOff] as const,
    () => divisibleCluster(noNamespaces === null),
  ),
  leaderFault(
    "ha-full",
    "the leader in etcd is killed, and the pool is full: it evicts all the time",
    etcdAbsent,
    killed,
    () => clusterOn("etcd"),
    16 * MIB,
    true,
  ),
  leaderFault(
    "ha-redis",
    "the leader in Redis is killed",
    redisAbsent,
    killed,
    () => clusterOn("redis"),
  ),
  wheelKill,
];
