/** Our admin server beside the reference's, on the same cluster as data. */
import assert from "node:assert/strict";
import {
  backendOf,
  MemoryAdminCore,
  memoryReplica,
} from "../../tests/support/memory_admin_core.ts";
import { until } from "../../tests/support/until.ts";
import { findWheel } from "../../tests/support/wheel.ts";
import { Counter } from "../core/counters.ts";
import { summaryText } from "../metrics/summary_line.ts";
import { adminApp } from "./admin_app.ts";
import { metadataApp } from "./metadata_app.ts";
import { MetadataStore } from "./metadata_store.ts";

const wheel = await findWheel();
const skipped = "reason" in wheel ? ` (skipped: no reference wheel, ${wheel.reason})` : "";

const CLIENT = `
import sys
from mooncake.store import MooncakeDistributedStore
store = MooncakeDistributedStore()
assert store.setup("127.0.0.1", "P2PHANDSHAKE", 100 << 20, 16 << 20, "tcp", "", sys.argv[1]) == 0
for key, size in (("k1", 1000), ("é漢😀", 1), ("a b", 10), ("10", 2), ("9", 3), ("big", 1 << 20)):
    assert store.put(key, b"x" * size) == 0
print("ready", flush=True)
sys.stdin.read()
store.close()
`;

interface Answer {
  status: number;
  type: string | null;
  text: string;
}

type Ask = (path: string, method?: string, body?: string) => Promise<Answer>;

function requestTo(base: string, path: string, method = "GET", body?: string): Request {
  return new Request(base + path, { method, ...(body !== undefined && { body }) });
}

async function answerOf(response: Response): Promise<Answer> {
  const type = response.headers.get("content-type");
  return { status: response.status, type, text: await response.text() };
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}

/** A reference master with one client that holds a segment and six keys. */
async function startReference(bin: { master: string; python: string }) {
  const rpcPort = freePort();
  const adminPort = freePort();
  const metadataPort = freePort();
  const master = new Deno.Command(bin.master, {
    args: [
      ...[`--rpc_port=${rpcPort}`, `--metrics_port=${adminPort}`, "--rpc_address=127.0.0.1"],
      ...["--enable_http_metadata_server=true", `--http_metadata_server_port=${metadataPort}`],
    ],
    ...{ stdin: "null", stdout: "null", stderr: "null" },
  }).spawn();
  const askAt = (port: number): Ask => async (path, method, body) =>
    answerOf(await fetch(requestTo(`http://127.0.0.1:${port}`, path, method, body)));
  await until(() => askAt(adminPort)("/role").then(() => true, () => false));
  const client = new Deno.Command(bin.python, {
    args: ["-c", CLIENT, `127.0.0.1:${rpcPort}`],
    ...{ stdin: "piped", stdout: "piped", stderr: "null" },
  }).spawn();
  const ready = new Uint8Array(5);
  const reader = client.stdout.getReader({ mode: "byob" });
  const { value } = await reader.read(ready, { min: 5 });
  assert.equal(new TextDecoder().decode(value), "ready");
  return {
    ask: askAt(adminPort),
    askMetadata: askAt(metadataPort),
    async stop(): Promise<void> {
      await reader.cancel();
      await client.stdin.close();
      await client.status;
      master.kill();
      await master.status;
    },
  };
}

type Reference = Awaited<ReturnType<typeof startReference>>;

/** Our app, with what the reference says its cluster holds. */
async function likeTheReference({ ask }: Reference): Promise<Ask> {
  const core = new MemoryAdminCore();
  for (const segment of JSON.parse((await ask("/get_segments_detail")).text).segments) {
    core.segments.push({
      ...{ name: segment.segment_name, id: segment.segment_id, clientId: segment.client_id },
      ...{ base: BigInt(segment.base_address), size: segment.size_bytes, status: 1 },
      ...{ teEndpoint: segment.te_endpoint, protocol: segment.protocol },
      allocatedBytes: segment.allocator_used_bytes,
      capacityBytes: segment.allocator_capacity_bytes,
    });
  }
  core.core[Counter.ALLOCATED_BYTES] = core.segments[0].allocatedBytes;
  core.core[Counter.CAPACITY_BYTES] = core.segments[0].capacityBytes;
  const keys = (await ask("/get_all_keys")).text.trimEnd().split("\n");
  const { data } = JSON.parse((await ask(`/batch_query_keys?keys=${encode(keys)}`)).text);
  for (const key of keys) {
    const [{ size_, buffer_address_, transport_endpoint_ }] = data[key].values;
    core.add(key, [memoryReplica(size_, BigInt(buffer_address_), transport_endpoint_)]);
  }
  const app = adminApp({
    ...{ backend: backendOf(core), insecure: false, version: "0", settings: null },
    onLogLevel() {},
    processInfo: () => ({ version: "0", clusterId: "c", rssBytes: 0, uptimeSeconds: 0 }),
    summary: (current, status) => summaryText(null, current, status),
    onFault: (error) => assert.fail(error),
  });
  return async (path, method, body) =>
    answerOf(await app.fetch(requestTo("http://h", path, method, body), { host: "127.0.0.1" }));
}

const encode = (keys: string[]) => encodeURIComponent(keys.join(","));

Deno.test({
  name: `admin, metrics and metadata answers are the reference's, byte for byte${skipped}`,
  ignore: "reason" in wheel,
  async fn(t) {
    if ("reason" in wheel) return;
    const reference = await startReference(wheel);
    try {
      const ours = await likeTheReference(reference);
      await t.step("every family of the reference is there, with its type and labels", async () => {
        const theirs = families((await reference.ask("/metrics")).text);
        const mine = families((await ours("/metrics")).text);
        assert.ok(theirs.size > 120);
        for (const [name, shape] of theirs) assert.equal(mine.get(name), shape, name);
        for (const name of mine.keys()) {
          if (theirs.has(name)) continue;
          assert.match(name, /^snowskin_|_mem$|^ha_state_transitions_total$|^master_snapshot_/);
        }
      });
      await t.step("the summary differs in numbers only", async () => {
        const shape = (text: string) => text.replace(/\d+(\.\d+)?( [KMGT]?B)?/g, "#");
        const theirs = (await reference.ask("/metrics/summary")).text;
        assert.equal(shape((await ours("/metrics/summary")).text), shape(theirs));
      });
      await t.step("keys are the same lines", async () => {
        const lines = async (ask: Ask) => (await ask("/get_all_keys")).text.split("\n").sort();
        assert.deepEqual(await lines(ours), await lines(reference.ask));
      });
      const segment = (await reference.ask("/get_all_segments")).text.trimEnd();
      for (const [path, method, body] of adminRequests(segment)) {
        await t.step(`${method ?? "GET"} ${path.replace(segment, "SEGMENT")}`, async () => {
          await compare(reference.ask, ours, path, method, body);
        });
      }
      await t.step("metadata", async () => {
        const app = metadataApp({ store: new MetadataStore(() => Promise.resolve(true)) });
        const ourMetadata: Ask = async (path, method, body) =>
          answerOf(await app.fetch(requestTo("http://h", path, method, body)));
        for (const [path, method, body] of metadataRequests) {
          await compare(reference.askMetadata, ourMetadata, path, method, body);
        }
      });
    } finally {
      await reference.stop();
    }
  },
});

type Case = [path: string, method?: string, body?: string];

function adminRequests(segment: string): Case[] {
  const quotas = "/api/v1/tenant_quotas";
  const jobs = "/api/v1/drain_jobs";
  return [
    ...[
      ...["/health", "/role", "/ha_status", "/leader", "/get_all_segments"],
      ...["/get_segments_detail", "/kv_events/status", "/"],
      ...["/query_key", "/query_key?key=", "/query_key?key=zz", "/query_key?key=k1"],
      ...["/query_key?key=k1&key=zz", "/query_key?x=1&key=big", "/query_key?key=a+b"],
      ...["/batch_query_keys", "/batch_query_keys?keys=", "/batch_query_keys?keys=,"],
      ...["/batch_query_keys?keys=zz,k1,,k1,10,9", "/batch_query_keys?keys=a+b,a%2Cb"],
      `/batch_query_keys?keys=${encode(["é漢😀", '\x01\x1f\b\f\r\t"\\/\x7f'])}`,
      ...["/query_segment", "/query_segment?segment=x", `/query_segment?segment=${segment}`],
      ...["/api/v1/segments/status", "/api/v1/segments/status?segment=x"],
      `/api/v1/segments/status?segment=${segment}`,
      ...[jobs, `${jobs}/query`, `${jobs}/query?job_id=1-2`, quotas, `${quotas}?tenant_id=x`],
    ].map((path): Case => [path]),
    [`${jobs}/cancel`, "POST"],
    [`${jobs}/cancel?job_id=1-2`, "POST"],
    [quotas, "PUT", '{"requested_quota_bytes":5}'],
    [`${quotas}?tenant_id=x`, "PUT", '{"requested_quota_bytes":5}'],
    [quotas, "DELETE"],
    [`${quotas}?tenant_id=x`, "DELETE"],
    ["/metrics", "POST"],
    ["/api/v1/remove_all?force=true", "POST"],
    ["/api/v1/remove_all", "POST"],
  ];
}

const metadataRequests: Case[] = [
  ["/health"],
  ["/"],
  ["/metadata"],
  ["/metadata?key="],
  ["/metadata", "PUT", "x"],
  ["/metadata", "DELETE"],
  ["/metadata?key=x"],
  ["/metadata?key=x", "PUT", '{"a":1}'],
  ["/metadata?key=x"],
  ["/metadata?key=x", "PUT"],
  ["/metadata?key=x"],
  ["/metadata?key=x", "DELETE"],
  ["/metadata?key=x", "DELETE"],
  ...[1, 1, 2].map((port): Case => [
    "/metadata?key=mooncake%2Frpc_meta%2Fz",
    "PUT",
    JSON.stringify({ ip_or_host_name: "h", rpc_port: port }),
  ]),
];

/** Asks both and compares; a type that the reference does not send is not compared. */
async function compare(theirs: Ask, ours: Ask, ...request: Case): Promise<void> {
  const expected = await theirs(...request);
  const answer = await ours(...request);
  if (expected.type === null) answer.type = null;
  assert.deepEqual(answer, expected);
}

/** Type and label names of every family. */
function families(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const sample = new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\}`, "m").exec(text);
    const labels = Array.from(sample?.[1].matchAll(/(\w+)="/g) ?? [], (match) => match[1]);
    found.set(name, [type, ...labels].join(" "));
  }
  return found;
}
