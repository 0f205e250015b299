// Goal: in a pool whose free memory lies in pieces a large put gets room without an eviction once it
// was compacted, and readers see neither a failed read nor a wrong byte meanwhile.
// Method: one or two nodes as processes, small objects of which every second one is removed, readers
// that never stop and check every byte, a compaction that is asked for, or that the master begins.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { LocalProcess, startNode } from "../../examples/local_cluster.ts";
import { MasterLives } from "../support/master_lives.ts";
import { PoolReader } from "../support/pool_reader.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";

const MIB = 1 << 20;
const NODE_BYTES = 16 * MIB;
const SMALL = 65_536;
const LARGE = 3 * MIB;
const READERS = 2;
/** Nothing is evicted before a put needs its space. */
const NO_WATERMARK = "--eviction_high_watermark_ratio=1";

interface Job {
  status_name: string;
  type_name: string;
  automatic: boolean;
  message: string;
  succeeded_units: number;
  migrated_bytes: number;
}

function valueOf(index: number, bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) value[i] = Math.imul(index + 1, i + 7) >>> 5;
  return value;
}

async function call(master: MasterLives, method: string, path: string, body?: unknown) {
  const response = await fetch(`${master.adminUrl}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

async function metric(master: MasterLives, name: string): Promise<number> {
  const text = await (await fetch(`${master.adminUrl}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  assert(line !== undefined, `${name} is not among the metrics`);
  return Number(line.split(" ")[1]);
}

function connect(master: MasterLives): Promise<StoreClient> {
  return StoreClient.connect({ masterServerAddress: master.address, globalSegmentSize: 0 });
}

/** Fills the pool with small objects and removes every second one; what is left, by key. */
async function fragment(client: StoreClient, nodes: number): Promise<Map<string, Uint8Array>> {
  const values = new Map<string, Uint8Array>();
  const count = nodes * NODE_BYTES / SMALL;
  for (let i = 0; i < count; i++) {
    const value = valueOf(i, SMALL);
    assert.equal(await client.put(`k/${i}`, value), "stored");
    values.set(`k/${i}`, value);
  }
  for (let i = 1; i < count; i += 2) {
    await client.remove(`k/${i}`);
    values.delete(`k/${i}`);
  }
  return values;
}

async function finished(master: MasterLives, id: string): Promise<Job> {
  const job = (): Promise<Job> => call(master, "GET", `/api/v1/jobs/query?job_id=${id}`);
  await until(async () => !["CREATED", "RUNNING"].includes((await job()).status_name), 60_000);
  return await job();
}

for (const nodes of [1, 2]) {
  const where = nodes === 1 ? "a node" : "two nodes";
  Deno.test(`${where} compacted under load: no failed read, no eviction for a large put`, async () => {
    await using master = await MasterLives.start(NO_WATERMARK, "--auto_compaction=false");
    await using first = await startNode(master.address, NODE_BYTES);
    await first.line(/^store node ready/);
    await using second = nodes === 1 ? null : await startNode(master.address, NODE_BYTES);
    await second?.line(/^store node ready/);
    const writer = await connect(master);
    const values = await fragment(writer, nodes);
    const clients = await Promise.all(Array.from({ length: READERS }, () => connect(master)));
    const readers = clients.map((client) => new PoolReader(client, values));
    const readCount = () => readers.reduce((sum, { reads }) => sum + reads, 0);
    await until(() => readCount() > 50);

    const { job_id } = await call(master, "POST", "/api/v1/jobs/compact", {
      ...{ largest_free_bytes: LARGE, max_concurrency: 8 },
    });
    const job = await finished(master, job_id);
    assert.deepEqual([job.type_name, job.status_name], ["COMPACTION", "SUCCEEDED"], job.message);
    assert(job.succeeded_units >= 10, `${job.succeeded_units} moves`);
    assert(job.migrated_bytes <= LARGE, `${job.migrated_bytes} bytes moved for ${LARGE}`);
    const large = valueOf(1_000_000, LARGE);
    assert.equal(await writer.put("large", large), "stored");
    assert.deepEqual(await writer.get("large"), large);

    const before = readCount();
    await until(() => readCount() > before + 2 * values.size);
    await Promise.all(readers.map((reader) => reader.stop()));
    for (const { failures } of readers) assert.deepEqual(failures, []);
    for (const [key, value] of values) assert.deepEqual(await writer.get(key), value);
    assert.equal(await metric(master, "master_evicted_key_count"), 0);
    assert.equal(await metric(master, "snowskin_compaction_opened_pieces_total"), 1);
    await Promise.all([writer, ...clients].map((client) => client.close()));
  });
}

Deno.test("the master compacts by itself after a put that found no piece", async () => {
  await using master = await MasterLives.start(NO_WATERMARK);
  await using node = await startNode(master.address, NODE_BYTES);
  await node.line(/^store node ready/);
  const client = await connect(master);
  const values = await fragment(client, 1);
  assert.equal(await client.put("first", valueOf(1, MIB)), "stored");
  const evicted = await metric(master, "master_evicted_key_count");
  assert(evicted > 0, "the first one had to evict");
  const jobs = async (): Promise<Job[]> => (await call(master, "GET", "/api/v1/jobs")).jobs;
  await until(async () => (await jobs())[0]?.status_name === "SUCCEEDED", 60_000);
  assert((await jobs())[0].automatic);
  for (const [i, key] of ["second", "third", "fourth"].entries()) {
    assert.equal(await client.put(key, valueOf(i + 2, MIB)), "stored");
    assert.deepEqual(await client.get(key), valueOf(i + 2, MIB));
  }
  assert.equal(await metric(master, "master_evicted_key_count"), evicted, "none of these evicted");
  assert(await metric(master, "snowskin_compaction_no_piece_total") > 0);
  for (const [key, value] of values) {
    const found = await client.get(key);
    if (found !== null) assert.deepEqual(found, value);
  }
  await client.close();
});

const wheel = await findWheel();
const absent = "reason" in wheel ? ` (skipped: ${wheel.reason})` : "";

Deno.test({
  name: `a node of the wheel moves objects within its own segment, too${absent}`,
  ignore: absent !== "",
  fn: async () => {
    if ("reason" in wheel) return;
    await using master = await MasterLives.start(NO_WATERMARK, "--auto_compaction=false");
    const count = NODE_BYTES / SMALL - 8;
    const script = new URL("wheel_node.py", import.meta.url).pathname;
    const args = [script, master.address, `${count}`, `${SMALL}`];
    await using node = new LocalProcess("wheel", wheel.python, args);
    await node.line(/^fragmented/, 60_000);
    const request = { largest_free_bytes: LARGE, max_concurrency: 64 };
    const { job_id } = await call(master, "POST", "/api/v1/jobs/compact", request);
    const job = await finished(master, job_id);
    assert.equal(job.status_name, "SUCCEEDED", job.message);
    assert(job.succeeded_units >= 10, `${job.succeeded_units} moves`);
    const client = await connect(master);
    assert.equal(await client.put("large", valueOf(1, LARGE)), "stored");
    assert.deepEqual(await client.get("large"), valueOf(1, LARGE));
    for (let i = 0; i < count; i += 2) {
      assert.deepEqual(await client.get(`k/${i}`), new Uint8Array(SMALL).fill(i % 251), `k/${i}`);
    }
    assert.equal(await metric(master, "master_evicted_key_count"), 0);
    await client.close();
  },
});
