import assert from "node:assert/strict";
import { Counter } from "../core/counters.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { formatBytes, shortSummary, summaryFields, summaryText } from "./summary_line.ts";

const GB = 2 ** 30;
const status = new MemoryAdminCore().masterStatus;

Deno.test("an idle master's line is the reference's, byte for byte", () => {
  const idle = new MemoryAdminCore().metricsSnapshot();
  assert.equal(
    summaryText(null, idle, status),
    "role=leader, state=serving, service_ready=true, master={Mem Storage: 0 B / 0 B | " +
      "NVMe-oF SSD: 0 B / 0 B | SSD Storage: 0 B / 0 B | Keys: 0 (soft-pinned: 0) | Clients: 0 | " +
      "Requests (Success/Total per sec): PutStart=0.00/0.00, PutEnd=0.00/0.00, " +
      "PutRevoke=0.00/0.00, Get=0.00/0.00, Exist=0.00/0.00, Del=0.00/0.00, DelAll=0.00/0.00, " +
      "Ping=0.00/0.00, CopyStart=0.00/0.00, CopyEnd=0.00/0.00, CopyRevoke=0.00/0.00, " +
      "MoveStart=0.00/0.00, MoveEnd=0.00/0.00, MoveRevoke=0.00/0.00, " +
      "EvictDiskReplica=0.00/0.00 | Batch Requests (per sec, Req=Success/PartialSuccess/Total, " +
      "Item=Success/Total): PutStart:(Req=0.00/0.00/0.00, Item=0.00/0.00), " +
      "PutEnd:(Req=0.00/0.00/0.00, Item=0.00/0.00), " +
      "PutRevoke:(Req=0.00/0.00/0.00, Item=0.00/0.00), " +
      "Get:(Req=0.00/0.00/0.00, Item=0.00/0.00), ExistKey:(Req=0.00/0.00/0.00, " +
      "Item=0.00/0.00), QueryIp:(Req=0.00/0.00/0.00, Item=0.00/0.00), " +
      "Clear:(Req=0.00/0.00/0.00, Item=0.00/0.00), CreateMoveTask:(Req=0.00/0.00), " +
      "CreateCopyTask:(Req=0.00/0.00), QueryTask:(Req=0.00/0.00), FetchTasks:(Req=0.00/0.00), " +
      "MarkTaskToComplete:(Req=0.00/0.00) | Eviction: Success/Attempts=0/0, AllocFail=0, " +
      "PartialAlloc=0, keys=0, size=0 B | Mem Eviction: Success/Attempts=0/0, keys=0, size=0 B | " +
      "NoF Eviction: Success/Attempts=0/0, keys=0, size=0 B | Discard: Released/Total=0/0, " +
      "StagingSize=0 B | Promotion: in_flight=0, admitted=0, completed=0, failed=0, " +
      "cancelled=0, expired=0, bytes=0 B, rejected(freq/wm/cap)=0/0/0 | Snapshots: Success=0, " +
      "Fail=0}, ha={HA Metrics Summary: last_seq=0, applied_seq=0, lag=0, pending=0, " +
      "mutation_queue=0, batch_commits=0, sync_commits=0, skipped=0, checksum_fail=0, " +
      "etcd_fail=0, watch_disconn=0, state=0}",
  );
});

Deno.test("rates are per second between two snapshots", () => {
  const core = new MemoryAdminCore();
  const before = core.metricsSnapshot();
  for (let i = 0; i < 20; i++) core.registry.meter("PutStart")!.served(1, i < 5 ? 1 : 0);
  core.registry.meter("BatchExistKey")!.served(100, 10);
  core.registry.meter("BatchExistKey")!.served(100, 0);
  core.registry.meter("FetchTasks")!.served(3, 0);
  core.nowMs = 10_000;
  const after = core.metricsSnapshot();
  const text = summaryText(before, after, status);
  assert.match(text, /: PutStart=1\.50\/2\.00, PutEnd=0\.00\/0\.00,/);
  assert.match(text, / ExistKey:\(Req=0\.10\/0\.10\/0\.20, Item=19\.00\/20\.00\),/);
  assert.match(text, / FetchTasks:\(Req=0\.30\/0\.30\),/);
  assert.deepEqual(summaryFields(before, after, status).requests.PutStart, {
    ...{ success: 1.5, total: 2 },
  });
  assert.match(summaryText(after, after, status), /: PutStart=0\.00\/0\.00,/);
});

Deno.test("amounts, percentage, evictions, discards and promotions come from the core", () => {
  const core = new MemoryAdminCore();
  const set = (counter: Counter, value: number) => core.core[counter] = value;
  set(Counter.ALLOCATED_BYTES, 0.8987 * 30 * GB);
  set(Counter.CAPACITY_BYTES, 30 * GB);
  set(Counter.DISK_BYTES, GB);
  set(Counter.DISK_CAPACITY_BYTES, 4 * GB);
  set(Counter.SOFT_PINNED, 2);
  set(Counter.EVICTIONS_SUCCESSFUL, 3);
  set(Counter.EVICTIONS_ATTEMPTED, 4);
  set(Counter.ALLOCATION_FAILURES, 5);
  set(Counter.PARTIAL_ALLOCATIONS, 6);
  set(Counter.EVICTED_KEYS, 7);
  set(Counter.EVICTED_BYTES, 2048);
  set(Counter.WRITES_DISCARDED, 9);
  set(Counter.DISCARDED_RELEASED, 8);
  set(Counter.DISCARDED_BYTES, 1536);
  set(Counter.PROMOTION_TOO_RARE, 1);
  set(Counter.PROMOTION_NO_SPACE, 2);
  set(Counter.PROMOTION_QUEUE_FULL, 3);
  const text = summaryText(null, core.metricsSnapshot(), {
    ...status,
    ...{ leaderAddress: "10.0.0.1:50051", viewVersion: 4 },
  });
  for (
    const part of [
      "master={Mem Storage: 26.96 GB / 30.00 GB (89.9%) | ",
      " | SSD Storage: 1.00 GB / 4.00 GB (25.0%) | Keys: 0 (soft-pinned: 2) | ",
      " | Eviction: Success/Attempts=3/4, AllocFail=5, PartialAlloc=6, keys=7, size=2.00 KB | ",
      " | Mem Eviction: Success/Attempts=3/4, keys=7, size=2.00 KB | ",
      " | Discard: Released/Total=8/9, StagingSize=1.50 KB | ",
      ", rejected(freq/wm/cap)=1/2/3 | ",
      "}, leader=10.0.0.1:50051, view_version=4",
    ]
  ) assert.ok(text.includes(part), part);
});

Deno.test("the short form has the shape of both lines of KEP-74, with the right percentage", () => {
  const core = new MemoryAdminCore();
  core.core[Counter.CAPACITY_BYTES] = 30 * GB;
  const shape =
    /^Master Metrics: Storage: (\d+ B|\d+\.\d\d [KMGT]B) \/ \d+\.\d\d GB \((\d+\.\d)%\) \| Keys: (\d+) \(soft-pinned: \d+\)$/;
  const empty = shortSummary(core.metricsSnapshot());
  assert.equal(
    empty,
    "Master Metrics: Storage: 0 B / 30.00 GB (0.0%) | Keys: 0 (soft-pinned: 0)",
  );
  assert.match(empty, shape);
  core.core[Counter.ALLOCATED_BYTES] = 26.96 * GB;
  const full = shortSummary({ ...core.metricsSnapshot(), keyCount: 219_474 });
  assert.deepEqual(shape.exec(full)?.slice(1), ["26.96 GB", "89.9", "219474"]);
});

Deno.test("bytes are printed with two decimals from 1024 on", () => {
  const expected: [number, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KB"],
    [19_002, "18.56 KB"],
    [1_198_188, "1.14 MB"],
    [64 * 2 ** 20, "64.00 MB"],
    [2 ** 30 - 1, "1024.00 MB"],
    [2 ** 50, "1024.00 TB"],
  ];
  for (const [bytes, text] of expected) assert.equal(formatBytes(bytes), text);
});
