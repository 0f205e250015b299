/**
 * `deno task demo`: a master and two store nodes as processes, a multi-turn workload on them, and a
 * table of what the cache did.
 */
import { parseArgs } from "node:util";
import { parseSize, StoreClient } from "../../mod.ts";
import { openLibrary } from "../../ffi/library.ts";
import { LocalCluster } from "../local_cluster.ts";
import { Replay } from "./replay.ts";
import { progress, report, size } from "./report.ts";
import { generateRequests, parseTrace, type Request } from "./request.ts";

const usage = `Usage: deno task demo [OPTIONS]

  --trace FILE       replay a JSONL request trace instead of the built-in workload
  --requests N       replay only the first N requests
  --block-size SIZE  bytes of a block (default 64kib)
  --node-size SIZE   memory that each of the two nodes lends (default 256mib)
  --lease-ms MS      how long a read protects a block from eviction (default 2000)
  --keep             leave the cluster running and say how to reach it

Example: deno task demo --trace requests.jsonl --node-size 1gib
`;

interface Options {
  trace: string | null;
  requests: number | null;
  blockBytes: number;
  nodeBytes: number;
  leaseMs: number;
  keep: boolean;
}

const NODES = 2;

function readOptions(args: string[]): Options | string {
  try {
    const { values } = parseArgs({
      args,
      options: {
        trace: { type: "string" },
        requests: { type: "string" },
        "block-size": { type: "string", default: "64kib" },
        "node-size": { type: "string", default: "256mib" },
        "lease-ms": { type: "string", default: "2000" },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return usage;
    const blockBytes = parseSize("--block-size", values["block-size"]);
    const nodeBytes = parseSize("--node-size", values["node-size"]);
    if (blockBytes < 4 || blockBytes % 4 !== 0) {
      throw new RangeError(`--block-size is ${blockBytes}; allowed: multiples of 4 bytes`);
    }
    if (nodeBytes < 64 * blockBytes) {
      throw new RangeError(`--node-size is ${nodeBytes}; allowed: 64 blocks or more`);
    }
    return {
      trace: values.trace ?? null,
      requests: values.requests === undefined ? null : whole("--requests", values.requests),
      ...{ blockBytes, nodeBytes, leaseMs: whole("--lease-ms", values["lease-ms"]) },
      keep: values.keep,
    };
  } catch (error) {
    throw new RangeError(error instanceof Error ? error.message : String(error));
  }
}

function whole(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new RangeError(`${name} is "${text}"; allowed: whole numbers from 1 to 999999999`);
  }
  return Number(text);
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new RangeError(`--trace is "${path}", which cannot be read: ${(error as Error).message}`);
  }
}

function loadRequests({ trace, requests }: Options): { name: string; requests: Request[] } {
  const all = trace === null ? generateRequests(2500) : parseTrace(readText(trace));
  const name = trace === null ? "multi-turn conversations, generated" : trace;
  return { name, requests: requests === null ? all : all.slice(0, requests) };
}

/** Replays everything, saying how far it is every half second. */
async function replayAll(replay: Replay, requests: Request[]): Promise<number> {
  const terminal = Deno.stdout.isTerminal();
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  const encoder = new TextEncoder();
  let shown = 0;
  for (const request of requests) {
    await replay.run(request);
    if (seconds() - shown < (terminal ? 0.5 : 5)) continue;
    shown = seconds();
    const line = progress(replay.tally, requests.length, shown);
    Deno.stdout.writeSync(encoder.encode(terminal ? `\r\x1b[K${line}` : `${line}\n`));
  }
  if (terminal) Deno.stdout.writeSync(encoder.encode("\r\x1b[K"));
  return seconds();
}

async function readMetric(adminUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? NaN);
}

function howToReach(masterAddress: string, adminUrl: string): string {
  return `
The cluster is up: master ${masterAddress}, admin ${adminUrl}. From Python, with the published wheel
(pip install mooncake-transfer-engine-non-cuda==0.3.13.post1):

  from mooncake.store import MooncakeDistributedStore
  store = MooncakeDistributedStore()
  store.setup("127.0.0.1", "P2PHANDSHAKE", 0, 64 << 20, "tcp", "", "${masterAddress}")
  store.put("hello", b"from the wheel")
  print(store.get("hello"))

Ctrl-C ends it.`;
}

async function run(
  options: Options,
  { name, requests }: { name: string; requests: Request[] },
): Promise<number> {
  const shim = openLibrary();
  if ("unavailable" in shim) {
    console.log(`Without the C shim, on the TypeScript engine: ${shim.unavailable}`);
  } else shim.close();
  console.log(
    `Starting a master and ${NODES} store nodes of ${size(options.nodeBytes)} on this machine ...`,
  );
  await using cluster = await LocalCluster.start({
    nodes: NODES,
    nodeBytes: options.nodeBytes,
    masterFlags: [
      `--default_kv_lease_ttl=${options.leaseMs}`,
      "--eviction_high_watermark_ratio=1.0",
    ],
  });
  await using store = await StoreClient.connect({
    masterServerAddress: cluster.masterAddress,
    localHostname: "127.0.0.1",
    localBufferSize: 64 * options.blockBytes,
  });
  console.log(`Replaying ${requests.length} requests: ${name}`);
  const replay = new Replay(store, options.blockBytes);
  const seconds = await replayAll(replay, requests);
  const lines = report({
    ...{ workload: name, requests, tally: replay.tally, seconds, engine: store.engine },
    ...{ blockBytes: options.blockBytes, leaseMs: options.leaseMs },
    poolBytes: NODES * options.nodeBytes,
    evictedKeys: await readMetric(cluster.adminUrl, "master_evicted_key_count"),
  });
  console.log("\n" + lines.join("\n"));
  if (options.keep) {
    console.log(howToReach(cluster.masterAddress, cluster.adminUrl));
    await new Promise<void>((resolve) => Deno.addSignalListener("SIGINT", resolve));
  }
  return replay.tally.wrongBytes === 0 ? 0 : 1;
}

async function main(args: string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (typeof options !== "string") return await run(options, loadRequests(options));
    console.log(options);
    return 0;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(`demo: ${error.message}. See --help`);
    return 2;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
