// Goal: a store node leaves the pool without one failed read, and no byte is lost with it.
// Method: three nodes as processes, readers that never stop and check every byte, a drain over HTTP
// (once with the master killed in the middle of it), then the node ends for good.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { type LocalProcess, startNode } from "../../examples/local_cluster.ts";
import { MasterLives } from "../support/master_lives.ts";
import { PoolReader } from "../support/pool_reader.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;
const OBJECTS = 300;
const READERS = 3;
/** Two TLS records and a bit: moves of whole extents that are not a round number of units. */
const VALUE_BYTES = 40_001;

interface Job {
  status_name: string;
  message: string;
  succeeded_units: number;
  failed_units: number;
  migrated_bytes: number;
  remaining_bytes: number;
}

function valueOf(index: number): Uint8Array {
  const value = new Uint8Array(VALUE_BYTES);
  for (let i = 0; i < value.length; i++) value[i] = Math.imul(index + 1, i + 7) >>> 5;
  return value;
}

async function nameOf(node: LocalProcess): Promise<string> {
  return /segment (\S+),/.exec(await node.line(/^store node ready/))![1];
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

async function allocatedBytes(master: MasterLives): Promise<number> {
  const { segments } = await call(master, "GET", "/get_segments_detail");
  return (segments as { allocator_used_bytes: number }[]).reduce(
    (sum, { allocator_used_bytes }) => sum + allocator_used_bytes,
    0,
  );
}

for (const killed of [false, true]) {
  const name = killed ? ", while its master is killed and comes back" : "";
  Deno.test(`a drained node leaves without a failed read${name}`, async () => {
    await using master = await MasterLives.start();
    await using leaving = await startNode(master.address, 64 * MIB);
    const stay = [
      await startNode(master.address, 64 * MIB),
      await startNode(master.address, 64 * MIB),
    ];
    await using _first = stay[0];
    await using _second = stay[1];
    const segment = await nameOf(leaving);
    const connect = () =>
      StoreClient.connect({
        ...{ masterServerAddress: master.address, globalSegmentSize: 0 },
        // Bytes are counted while the writer may have memory reserved.
        ...{ rpcConnectTimeoutMs: 300, reservedPuts: "off" },
      });
    const writer = await connect();
    const values = Array.from({ length: OBJECTS }, (_, i) => valueOf(i));
    for (const [i, value] of values.entries()) {
      const options = i % 2 === 0 ? { preferredSegment: segment } : {};
      assert.equal(await writer.put(`k/${i}`, value, options), "stored");
    }
    const before = await allocatedBytes(master);
    let away = false;
    const clients = await Promise.all(Array.from({ length: READERS }, connect));
    const byKey = new Map(values.map((value, i) => [`k/${i}`, value]));
    const readers = clients.map((client) => new PoolReader(client, byKey, () => away));
    const readCount = () => readers.reduce((sum, { reads }) => sum + reads, 0);
    await until(() => readCount() > 50);

    const limits = killed ? { bytes_per_second: 4 * MIB } : {};
    const { job_id } = await call(master, "POST", "/api/v1/drain_jobs", {
      ...{ segments: [segment], max_concurrency: 8 },
      ...limits,
    });
    const job = (): Promise<Job> => call(master, "GET", `/api/v1/jobs/query?job_id=${job_id}`);
    if (killed) {
      await until(async () => (await job()).succeeded_units > 5);
      away = true;
      await master.kill();
      await master.revive();
      await until(async () =>
        (await writer.batchIsExist(values.map((_, i) => `k/${i}`)))
          .every(({ value }) => value === true), 20_000);
      away = false;
    }
    await until(async () => !["CREATED", "RUNNING"].includes((await job()).status_name), 60_000);
    const { status_name, message, succeeded_units, remaining_bytes } = await job();
    assert.deepEqual([status_name, remaining_bytes], ["SUCCEEDED", 0], message);
    assert(succeeded_units >= (killed ? 1 : OBJECTS / 2), `${succeeded_units} moves`);
    const path = `/api/v1/segments/status?segment=${segment}`;
    assert.equal((await call(master, "GET", path)).status_name, "DRAINED");
    assert.equal(await allocatedBytes(master), before, "bytes are conserved");

    assert.equal((await leaving.stop()).code, 0);
    const left = readCount();
    await until(() => readCount() > left + 2 * OBJECTS);
    await Promise.all(readers.map((reader) => reader.stop()));
    for (const { failures } of readers) assert.deepEqual(failures, []);
    for (const [i, value] of values.entries()) {
      assert.deepEqual(await writer.get(`k/${i}`), value);
    }
    await Promise.all([writer, ...clients].map((client) => client.close()));
  });
}

Deno.test("a node that joined late gets its share by a rebalance", async () => {
  await using master = await MasterLives.start();
  await using full = await startNode(master.address, 32 * MIB);
  const segment = await nameOf(full);
  const writer = await StoreClient.connect({
    ...{ masterServerAddress: master.address, globalSegmentSize: 0 },
  });
  const values = Array.from({ length: OBJECTS }, (_, i) => valueOf(i));
  for (const [i, value] of values.entries()) await writer.put(`k/${i}`, value);
  await using late = await startNode(master.address, 32 * MIB);
  await nameOf(late);
  const { job_id } = await call(master, "POST", "/api/v1/jobs/rebalance", { threshold: 0.02 });
  const job = (): Promise<Job> => call(master, "GET", `/api/v1/jobs/query?job_id=${job_id}`);
  await until(async () => !["CREATED", "RUNNING"].includes((await job()).status_name), 60_000);
  const { status_name, message, migrated_bytes } = await job();
  assert.equal(status_name, "SUCCEEDED", message);
  const share = migrated_bytes / (OBJECTS * VALUE_BYTES);
  assert(share > 0.4 && share < 0.55, `${share} of all bytes moved`);
  for (const [i, value] of values.entries()) assert.deepEqual(await writer.get(`k/${i}`), value);
  const use = await (await fetch(`${master.adminUrl}/query_segment?segment=${segment}`)).text();
  assert.match(use, /Used\(bytes\): [5-6]\d{6}\n/);
  await writer.close();
});
