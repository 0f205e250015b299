/**
 * The set-ups in which the wheel meets our master and our store nodes, and what each must answer.
 */
import {
  freePort,
  type LocalProcess,
  startMaster,
  startNode,
} from "../../examples/local_cluster.ts";
import { startReferenceMaster } from "../../bench/json_peer.ts";
import { EngineServer, etcdAbsent } from "../support/engine_servers.ts";
import { HaMasters } from "../support/ha_masters.ts";
import type { Wheel } from "../support/wheel.ts";
import { ourClientSteps, startWheelPeer } from "./our_client.ts";
import { compareSteps, type Comparison, LEASE_MS, runSteps, type Step } from "./steps.ts";

type Installed = Extract<Wheel, { python: string }>;

const MIB = 1 << 20;
const SEGMENT_BYTES = 64 * MIB;
const POOL_BYTES = 128 * MIB;

/** A master under test, ours or the reference's, with its HTTP metadata server on. */
export interface MasterUnderTest extends AsyncDisposable {
  readonly address: string;
  readonly metadataUrl: string;
  /** Kills it with SIGKILL and starts it again on the same ports. */
  restart(): Promise<void>;
}

interface Ports {
  rpc: number;
  metrics: number;
  metadata: number;
}

async function underTest(start: (ports: Ports) => Promise<LocalProcess>): Promise<MasterUnderTest> {
  const ports = { rpc: await freePort(), metrics: await freePort(), metadata: await freePort() };
  let process = await start(ports);
  return {
    address: `127.0.0.1:${ports.rpc}`,
    metadataUrl: `http://127.0.0.1:${ports.metadata}/metadata`,
    async restart() {
      await process.stop("SIGKILL");
      process = await start(ports);
    },
    [Symbol.asyncDispose]: async () => void await process.stop(),
  };
}

const commonFlags = ({ metadata }: Ports) => [
  `--default_kv_lease_ttl=${LEASE_MS}`,
  "--enable_http_metadata_server=true",
  "--http_metadata_server_host=127.0.0.1",
  `--http_metadata_server_port=${metadata}`,
];

export function referenceUnderTest(wheel: Installed): Promise<MasterUnderTest> {
  return underTest((ports) =>
    startReferenceMaster(wheel.master, ports.rpc, ports.metrics, commonFlags(ports))
  );
}

export async function oursUnderTest(env: Record<string, string> = {}): Promise<MasterUnderTest> {
  const directory = await Deno.makeTempDir({ prefix: "snowskin-interop-" });
  const master = await underTest(async (ports) =>
    (await startMaster([...commonFlags(ports), `--data_dir=${directory}`], {
      rpcPort: ports.rpc,
      metricsPort: ports.metrics,
      env,
    })).process
  );
  return {
    ...master,
    async [Symbol.asyncDispose]() {
      await master[Symbol.asyncDispose]();
      await Deno.remove(directory, { recursive: true });
    },
  };
}

/** Lends memory to a pool; ours or the reference's store node. */
type Lender = (master: string, metadata: string) => Promise<AsyncDisposable>;

/** One process of the published wheel that lends memory. */
async function startReferenceNode(
  wheel: Installed,
  master: string,
  metadata: string,
  bytes: number,
): Promise<AsyncDisposable> {
  const { peer, hello } = await startWheelPeer(wheel, master, metadata, bytes);
  if (hello.code !== 0) throw new Error(`The reference's node did not start: ${hello.code}`);
  return peer;
}

export interface Scenario {
  name: string;
  /** Why it cannot run here. */
  missing?: string | null;
  run(wheel: Installed): Promise<Comparison>;
}

async function compare(
  wheel: Installed,
  steps: (master: MasterUnderTest, ours: boolean) => Promise<Step[]>,
  intended?: ReadonlyMap<string, string>,
  env: Record<string, string> = {},
): Promise<Comparison> {
  await using reference = await referenceUnderTest(wheel);
  await using ours = await oursUnderTest(env);
  const [expected, answered] = await Promise.all([steps(reference, false), steps(ours, true)]);
  return compareSteps(expected, answered, intended);
}

function withOwnSegments(metadata: (master: MasterUnderTest) => string) {
  return (wheel: Installed, env: Record<string, string> = {}) =>
    compare(
      wheel,
      (master) =>
        runSteps(wheel, {
          master: master.address,
          metadata: metadata(master),
          segmentBytes: SEGMENT_BYTES,
        }),
      undefined,
      env,
    );
}

function withNode(metadata: (master: MasterUnderTest) => string) {
  return (wheel: Installed, env: Record<string, string> = {}) =>
    compare(
      wheel,
      async (master, ours) => {
        const lend: Lender = ours
          ? (address, where) =>
            startNode(address, POOL_BYTES, { flags: [`--metadata_server=${where}`], env })
          : (address, where) => startReferenceNode(wheel, address, where, POOL_BYTES);
        await using _node = await lend(master.address, metadata(master));
        return await runSteps(wheel, {
          master: master.address,
          metadata: metadata(master),
          segmentBytes: 0,
          poolBytes: POOL_BYTES,
        });
      },
      undefined,
      env,
    );
}

const p2p = () => "P2PHANDSHAKE";
const http = (master: MasterUnderTest) => master.metadataUrl;
const withoutShim = { SNOWSKIN_NATIVE: "off" };

/** What the steps after a restart must answer on our master, which has everything back. */
const afterRestart: Record<string, unknown> = {
  "after restart: put works again": 0,
  "after restart: get": { bytes: 4, sum: 401, head: "6261636b" },
  "after restart: the other client too": 0,
  "after restart: old keys": [1, 1, 1, 1, 1, 1, 1, 0],
  "after restart: old values": [true, true, true, true, true, true, true, false],
  "after restart: old values, the other client": [true, true, true, true, true, true, true, false],
  "after restart: remove an old key": 0,
  "after restart: upsert an old key": 0,
  "after restart: its value": { bytes: 3, sum: 330, head: "6e6577" },
  "after restart: batch": [1, 1, 0, 0],
};

/** Masters of a cluster that is found in etcd; a restart is the death of the one that leads. */
async function clusterUnderTest(): Promise<MasterUnderTest> {
  const etcd = await EngineServer.etcd();
  const masters = await HaMasters.start(2, [
    ...[`--etcd_endpoints=${etcd.address}`, `--default_kv_lease_ttl=${LEASE_MS}`],
  ]);
  await masters.standbys();
  return {
    address: `etcd://${etcd.address}`,
    metadataUrl: "",
    async restart() {
      await masters.standbys();
      await (await masters.leader()).process.stop("SIGKILL");
    },
    async [Symbol.asyncDispose]() {
      await masters[Symbol.asyncDispose]();
      await etcd[Symbol.asyncDispose]();
    },
  };
}

/**
 * The steps before and after the death of a master. What the reference can do, too, must be equal; it
 * has lost every key after a restart, so there our own promise is what counts.
 */
async function across(
  wheel: Installed,
  open: () => Promise<MasterUnderTest>,
): Promise<Comparison> {
  const options = { metadata: "P2PHANDSHAKE", segmentBytes: SEGMENT_BYTES };
  await using reference = await referenceUnderTest(wheel);
  await using ours = await open();
  const [expected, steps] = await Promise.all([
    runSteps(wheel, { ...options, master: reference.address }),
    runSteps(wheel, { ...options, master: ours.address, restart: () => ours.restart() }),
  ]);
  const around = ({ step }: Step) => /^(before|after) restart: /.test(step);
  const equal = compareSteps(expected, steps.filter((step) => !around(step)));
  const promised = Object.entries(afterRestart).map(([step, result]) => ({ step, result }));
  const kept = compareSteps(promised, steps.filter(({ step }) => step in afterRestart));
  const lost = {
    ...{ step: "keys of before", reference: "lost", ours: "all there" },
    reason: "a restarted master of the reference has lost every key",
  };
  return {
    equal: equal.equal + kept.equal,
    intended: [...equal.intended, lost],
    wrong: [...equal.wrong, ...kept.wrong],
  };
}

/** Our client and the wheel's, side by side, on the reference's cluster and on ours. */
function ourClient(metadata: (master: MasterUnderTest) => string) {
  return (wheel: Installed) =>
    compare(wheel, (master) =>
      ourClientSteps(wheel, {
        master: master.address,
        metadata: metadata(master),
        segmentBytes: SEGMENT_BYTES,
      }));
}

export const scenarios: Scenario[] = [
  { name: "our client beside the wheel, on its segments, P2P handshake", run: ourClient(p2p) },
  { name: "our client beside the wheel, on its segments, HTTP metadata", run: ourClient(http) },
  { name: "wheel clients and their segments, P2P handshake", run: withOwnSegments(p2p) },
  { name: "wheel clients and their segments, HTTP metadata", run: withOwnSegments(http) },
  { name: "wheel clients on a store node, P2P handshake", run: withNode(p2p) },
  { name: "wheel clients on a store node, HTTP metadata", run: withNode(http) },
  {
    name: "wheel clients on a store node, no C shim",
    run: (wheel) => withNode(p2p)(wheel, withoutShim),
  },
  {
    name: "wheel clients across a killed and restarted master",
    run: (wheel) => across(wheel, oursUnderTest),
  },
  {
    name: "wheel clients across a failover, etcd",
    missing: etcdAbsent,
    run: (wheel) => across(wheel, clusterUnderTest),
  },
];
