import assert from "node:assert/strict";
import { type CoreStats, MetricsRegistry } from "./registry.ts";
import { BatchCount, familyStart, RPC_COUNTERS, SingleCount } from "./rpc_counters.ts";

const idle: CoreStats = {
  ...{ core: new Float64Array(40), keyCount: 0, activeClients: 0, segments: [] },
  server: {
    ...{ connections: 0, waitingWrites: 0, writeWaits: 0 },
    ...{ heldWaits: 0, readHolds: 0, loopLagSeconds: 0 },
    ...{ snapshots: 0, snapshotFailures: 0, lastSnapshotSeconds: 0 },
  },
};

Deno.test("a single call counts as one request, and an upsert as a put", () => {
  const registry = new MetricsRegistry();
  registry.meter("PutStart")!.served(1, 0);
  registry.meter("UpsertStart")!.served(1, 1);
  const { rpc } = registry.snapshot(0, idle);
  const start = familyStart("put_start");
  assert.equal(rpc[start + SingleCount.REQUESTS], 2);
  assert.equal(rpc[start + SingleCount.FAILURES], 1);
});

Deno.test("a batch of removes counts one Remove per key", () => {
  const registry = new MetricsRegistry();
  registry.meter("BatchRemove")!.served(3, 2);
  const { rpc } = registry.snapshot(0, idle);
  const start = familyStart("remove");
  assert.deepEqual([...rpc.slice(start, start + 2)], [3, 2]);
});

Deno.test("a batch call fails, succeeds or succeeds in part", () => {
  const registry = new MetricsRegistry();
  const meter = registry.meter("BatchPutStart")!;
  meter.served(4, 0);
  meter.served(4, 1);
  meter.served(4, 4);
  meter.served(0, 0);
  const { rpc } = registry.snapshot(0, idle);
  const at = (count: number) => rpc[familyStart("batch_put_start") + count];
  assert.equal(at(BatchCount.REQUESTS), 4);
  assert.equal(at(BatchCount.FAILURES), 1);
  assert.equal(at(BatchCount.PARTIAL_SUCCESSES), 1);
  assert.equal(at(BatchCount.ITEMS), 12);
  assert.equal(at(BatchCount.FAILED_ITEMS), 5);
});

Deno.test("a call without a family is not counted", () => {
  assert.equal(new MetricsRegistry().meter("ServiceReady"), null);
});

Deno.test("families do not share numbers", () => {
  const registry = new MetricsRegistry();
  for (const rpc of ["FetchTasks", "BatchExistKey", "BatchPutRevoke", "ExistKey"]) {
    registry.meter(rpc)!.served(1, 1);
  }
  const { rpc } = registry.snapshot(0, idle);
  assert.equal(rpc.length, RPC_COUNTERS);
  assert.equal(rpc.reduce((a, b) => a + b), 2 * 2 + 2 * 4);
});

Deno.test("object sizes fall into the bucket whose bound they do not exceed", () => {
  const registry = new MetricsRegistry();
  for (const bytes of [1, 4096, 4097, 67_108_864, 67_108_865]) registry.observeValueSize(bytes);
  const { valueSizeCounts, valueSizeSum } = registry.snapshot(0, idle);
  assert.deepEqual([...valueSizeCounts], [2, 1, 0, 0, 0, 0, 1, 1]);
  assert.equal(valueSizeSum, 1 + 4096 + 4097 + 67_108_864 + 67_108_865);
});

Deno.test("a snapshot stays as it is while counting goes on, and can be cloned", () => {
  const registry = new MetricsRegistry();
  const snapshot = registry.snapshot(7, idle);
  registry.meter("Ping")!.served(1, 0);
  registry.observeValueSize(5);
  assert.ok(snapshot.rpc.every((count) => count === 0));
  assert.equal(snapshot.valueSizeSum, 0);
  assert.deepEqual(structuredClone(snapshot), snapshot);
});
