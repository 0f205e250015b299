// Goal: a drain empties segments without losing what can be read, a rebalance levels them, both
// within their limits, and both go on after a restart. Clients carry the moves out by the calls that
// real ones make.
import assert from "node:assert/strict";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { JobCluster } from "../../tests/support/job_cluster.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { SegmentStatus, type TaskAssignment, TaskStatus } from "../../proto/types.ts";
import { Blocker, JobStatus } from "./job_table.ts";

const KIB = 1024;

Deno.test("a drain moves everything away, holds what is read, and then the node may leave", () => {
  const c = new JobCluster(3);
  const keys = c.fill("a", 30, 1);
  const { id } = c.drain(["segment-1"]).value!;
  assert.equal(c.segmentStatus(1), SegmentStatus.DRAINING);
  assertCode(c.drain(["segment-1"]).code, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  c.put("new", 10 * KIB, { preferredSegment: "segment-1" });
  c.ok(c.get(keys[0]));
  const leaseEndMs = c.nowMs + c.core.state.config.defaultKvLeaseTtlMs;
  const job = c.finish(id);
  assert(c.nowMs >= leaseEndMs, "a reader of before had the time that it was promised");
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert.deepEqual([job.movedObjects, job.movedBytes], [30, 300 * KIB]);
  assert.deepEqual([job.remainingBytes, job.activeMoves, job.blocked], [0, 0, {}]);
  assert.equal(c.segmentStatus(1), SegmentStatus.DRAINED);
  assert.equal(c.used(1), 0);
  const graceful = c.core.cluster.gracefulUnmountSegment("1-1", clientId(1), 1, c.nowMs);
  assertCode(graceful, ErrorCode.OK);
  c.nowMs += 10;
  while (c.core.tick(c.nowMs) === 0);
  assert.equal(c.core.segments.count, 2);
  for (const key of keys) assert.equal(c.exist(key), 1, key);
  checkCore(c.core.state);
});

Deno.test("a drain of a client takes all of its segments", () => {
  const c = new JobCluster(2);
  c.mount(7, MIB, { client: 1 });
  c.fill("a", 5, 1);
  c.fill("b", 5, 7);
  const { id, segments } = c.drain([], { client: clientId(1) }).value!;
  assert.deepEqual(segments, ["segment-1", "segment-7"]);
  assert.equal(c.finish(id).movedObjects, 10);
  assertCode(c.drain([], { client: clientId(9) }).code, ErrorCode.SEGMENT_NOT_FOUND);
});

Deno.test("no more moves are under way than asked for, and no more bytes a second", () => {
  const c = new JobCluster(2);
  c.fill("a", 40, 1);
  const limits = { maxConcurrency: 2, bytesPerSecond: 20 * KIB };
  const { id } = c.drain(["segment-1"], limits).value!;
  const startMs = c.nowMs;
  for (let i = 0; i < 200; i++) {
    c.core.tick(c.nowMs);
    const { activeMoves, movedBytes } = c.job(id);
    assert(activeMoves <= 2);
    const allowed = 20 * KIB * (c.nowMs - startMs) / 1000 + 2 * 10 * KIB + 20 * KIB;
    assert(movedBytes <= allowed, `${movedBytes} bytes after ${c.nowMs - startMs} ms`);
    c.work();
    c.nowMs += 50;
  }
  const { movedBytes } = c.job(id);
  assert(movedBytes >= 150 * KIB, `only ${movedBytes} bytes in 10 s`);
  assert.equal(c.finish(id).movedObjects, 40);
});

Deno.test("without room a drain waits, tells why, and gives its segments back", () => {
  const c = new JobCluster(2, 100 * KIB, { evictionHighWatermarkRatio: 1 });
  c.fill("a", 5, 1);
  c.fill("b", 9, 2);
  const { id } = c.drain(["segment-1"], { giveUpMs: 5000 }).value!;
  const job = c.finish(id);
  assert.equal(job.status, JobStatus.FAILED);
  assert.match(job.message, /no progress for 5 s; left behind: no_room: 4/);
  assert.deepEqual([job.movedObjects, job.blocked], [1, { [Blocker.NO_ROOM]: 4 }]);
  assert.equal(c.segmentStatus(1), SegmentStatus.OK);
  for (let i = 0; i < 5; i++) assert.equal(c.exist(`a/${i}`), 1);
});

Deno.test("what has no room is dropped when asked, but nothing pinned and nothing being read", () => {
  const c = new JobCluster(2, 100 * KIB, { evictionHighWatermarkRatio: 1 });
  const pinned = { preferredSegment: "segment-1", withHardPin: true };
  c.put("pinned", 10 * KIB, pinned);
  c.fill("a", 4, 1);
  c.fill("b", 10, 2);
  c.ok(c.get("a/0"));
  const readAtMs = c.nowMs;
  const changes = { dropUnplaced: true, giveUpMs: 20_000 };
  const { id } = c.drain(["segment-1"], changes).value!;
  while (c.core.tick(c.nowMs) === 0);
  assert.equal(c.job(id).droppedObjects, 3);
  assert.notEqual(c.peek("a/0"), null);
  const job = c.finish(id);
  assert.equal(job.status, JobStatus.FAILED);
  assert.deepEqual(job.blocked, { [Blocker.PINNED]: 1 });
  assert.deepEqual([job.droppedObjects, job.droppedBytes], [4, 40 * KIB]);
  assert(c.nowMs > readAtMs + c.core.state.config.defaultKvLeaseTtlMs);
  assert.equal(c.exist("pinned"), 1);
  checkCore(c.core.state);
});

Deno.test("a copy that has another beside it needs no room", () => {
  const c = new JobCluster(2);
  const keys = Array.from({ length: 6 }, (_, i) => `r/${i}`);
  for (const key of keys) c.put(key, 10 * KIB, { replicaNum: 2 });
  const { id } = c.drain(["segment-1"]).value!;
  const job = c.finish(id);
  assert.deepEqual([job.status, job.thinnedObjects, job.movedObjects], [JobStatus.SUCCEEDED, 6, 0]);
  for (const key of keys) assert.equal(c.exist(key), 1);
  checkCore(c.core.state);
});

Deno.test("a write that is under way is waited for", () => {
  const c = new JobCluster(2);
  c.ok(c.start("slow", 10 * KIB, { preferredSegment: "segment-1" }));
  const { id } = c.drain(["segment-1"]).value!;
  for (let i = 0; i < 20; i++) {
    c.core.tick(c.nowMs);
    c.work();
    c.nowMs += 100;
  }
  assert.equal(c.job(id).status, JobStatus.RUNNING);
  assert.deepEqual(c.job(id).blocked, { [Blocker.BUSY]: 1 });
  c.ok(c.end("slow"));
  assert.equal(c.finish(id).status, JobStatus.SUCCEEDED);
  assert.equal(c.exist("slow"), 1);
});

Deno.test("failed moves are counted and tried again", () => {
  const c = new JobCluster(2);
  c.fill("a", 3, 1);
  const { id } = c.drain(["segment-1"]).value!;
  c.core.tick(c.nowMs);
  for (const { id: task } of c.fetch(1)) {
    const request = { id: task, status: TaskStatus.FAILED, message: "TRANSFER_FAIL" };
    c.ok(c.core.movement.markTaskToComplete(clientId(1), request, c.nowMs));
  }
  const job = c.finish(id);
  assert.deepEqual([job.failedMoves, job.movedObjects], [3, 3]);
  assert.equal(job.status, JobStatus.SUCCEEDED);
});

Deno.test("moves that always fail end the job with their reason", () => {
  const c = new JobCluster(2);
  c.fill("a", 3, 1);
  const { id } = c.drain(["segment-1"], { giveUpMs: 3000 }).value!;
  for (let i = 0; i < 100 && c.job(id).status < JobStatus.SUCCEEDED; i++) {
    c.core.tick(c.nowMs);
    for (const { id: task } of c.fetch(1)) {
      const request = { id: task, status: TaskStatus.FAILED, message: "TRANSFER_FAIL" };
      c.ok(c.core.movement.markTaskToComplete(clientId(1), request, c.nowMs));
    }
    c.nowMs += 100;
    c.core.cluster.ping(clientId(1));
    c.core.cluster.ping(clientId(2));
  }
  assert.equal(c.job(id).status, JobStatus.FAILED);
  assert.match(c.job(id).message, /the last move failed with TRANSFER_FAIL/);
});

Deno.test("a canceled job takes its waiting moves back and opens its segments", () => {
  const c = new JobCluster(2);
  c.fill("a", 10, 1);
  const { id } = c.drain(["segment-1"]).value!;
  c.core.tick(c.nowMs);
  assert.equal(c.job(id).activeMoves, 4);
  c.ok(c.core.jobs.cancel(id, c.nowMs));
  assert.equal(c.job(id).status, JobStatus.CANCELED);
  assert.deepEqual(c.fetch(1), []);
  assert.equal(c.segmentStatus(1), SegmentStatus.OK);
  assertCode(c.core.jobs.cancel(id, c.nowMs), ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  assertCode(c.core.jobs.cancel("1-2", c.nowMs), ErrorCode.JOB_NOT_FOUND);
  assertCode(c.core.jobs.query("1-2").code, ErrorCode.JOB_NOT_FOUND);
});

Deno.test("a segment that leaves too early fails the drain", () => {
  const c = new JobCluster(2);
  c.fill("a", 10, 1);
  const { id } = c.drain(["segment-1"]).value!;
  c.core.tick(c.nowMs);
  c.ok(c.core.cluster.unmountSegment("1-1", clientId(1), c.nowMs));
  while (c.core.tick(c.nowMs) === 0);
  assert.equal(c.job(id).status, JobStatus.FAILED);
  assert.match(c.job(id).message, /"segment-1" left the pool before it was empty/);
});

Deno.test("a restarted master goes on with a drain, the moves under way included", () => {
  const c = new JobCluster(2);
  const keys = c.fill("a", 20, 1);
  const { id } = c.drain(["segment-1"]).value!;
  c.core.tick(c.nowMs);
  c.work();
  const fetched = c.fetch(1);
  assert.equal(fetched.length, 4);
  const next = c.restart();
  assert.equal(next.segmentStatus(1), SegmentStatus.DRAINING);
  next.core.tick(next.nowMs);
  assert.equal(next.job(id).activeMoves, 4);
  for (const task of fetched) next.carryOut(1, task);
  const job = next.finish(id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert.equal(next.used(1), 0);
  for (const key of keys) assert.equal(next.exist(key), 1);
});

Deno.test("moves whose client lost them with the old master are ordered again", () => {
  const c = new JobCluster(2);
  const keys = c.fill("a", 6, 1);
  const { id } = c.drain(["segment-1"]).value!;
  c.core.tick(c.nowMs);
  const [begun, ended, ...rest] = c.fetch(1);
  assert.equal(rest.length, 2);
  const key = (task: TaskAssignment) => bytesOf(JSON.parse(task.payload).key);
  for (const task of [begun, ended]) {
    const { movement } = c.core;
    const { code } = movement.moveStart(
      ...[clientId(1), 0, key(task), "segment-1", "segment-2", c.nowMs] as const,
    );
    c.ok(code);
  }
  c.ok(c.core.movement.moveEnd(clientId(1), 0, key(ended), c.nowMs));
  const next = c.restart();
  const job = next.finish(id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert.deepEqual([job.movedObjects, job.failedMoves], [6, 3]);
  for (const name of keys) assert.equal(next.exist(name), 1);
  checkCore(next.core.state);
});

Deno.test("a snapshot carries jobs", () => {
  const c = new JobCluster(2);
  c.fill("a", 5, 1);
  c.drain(["segment-1"]);
  c.core.tick(c.nowMs);
  const told: Uint8Array[] = [];
  c.core.tellSnapshot({ append: (bytes, start, end) => void told.push(bytes.slice(start, end)) });
  const copy = new CoreDriver(c.core.state.config).core;
  for (const fact of told) copy.replay(fact);
  assert.equal(copy.digest(), c.core.digest());
  assert.deepEqual(copy.jobs.list().map(({ status }) => status), [JobStatus.RUNNING]);
});

Deno.test("a rebalance levels segments until they are alike enough", () => {
  const c = new JobCluster(3);
  const keys = c.fill("a", 60, 1);
  c.fill("b", 6, 2);
  const { id } = c.rebalance(0.1).value!;
  assertCode(c.rebalance(0.1).code, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  const job = c.finish(id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  const used = [1, 2, 3].map((segment) => c.used(segment) / MIB);
  assert(Math.max(...used) - Math.min(...used) <= 0.1, `${used}`);
  assert(job.movedObjects < 45, `${job.movedObjects} moves for 40 that were needed`);
  for (const key of keys) assert.equal(c.exist(key), 1);
  checkCore(c.core.state);
});

Deno.test("a rebalance that cannot get there says how far it came", () => {
  const c = new JobCluster(2);
  c.fill("big", 1, 1, 600 * KIB);
  const job = c.finish(c.rebalance(0.05).value!.id);
  assert.equal(job.status, JobStatus.FAILED);
  assert.match(job.message, /nothing more could be moved; .* differ by 0\.586/);
  const even = c.finish(c.rebalance(0.9).value!.id);
  assert.deepEqual([even.status, even.movedObjects], [JobStatus.SUCCEEDED, 0]);
});

Deno.test("what makes no sense is refused", () => {
  const c = new JobCluster(2);
  const { INVALID_PARAMS, SEGMENT_NOT_FOUND } = ErrorCode;
  assertCode(c.drain([]).code, INVALID_PARAMS);
  assertCode(c.drain(["segment-1", "segment-1"]).code, INVALID_PARAMS);
  assertCode(c.drain(["segment-1"], { targets: ["segment-1"] }).code, INVALID_PARAMS);
  assertCode(c.drain(["segment-1"], { maxConcurrency: 0 }).code, INVALID_PARAMS);
  assertCode(c.drain(["segment-1"], { maxConcurrency: 1025 }).code, INVALID_PARAMS);
  assertCode(c.drain(["nope"]).code, SEGMENT_NOT_FOUND);
  assertCode(c.drain(["segment-1"], { targets: ["nope"] }).code, SEGMENT_NOT_FOUND);
  for (const threshold of [0, 1, NaN, -1]) assertCode(c.rebalance(threshold).code, INVALID_PARAMS);
  c.core.readOnly = true;
  assertCode(c.drain(["segment-1"]).code, ErrorCode.PERSISTENT_FAIL);
  assert.equal(c.segmentStatus(1), SegmentStatus.OK);
});

Deno.test("old finished jobs are forgotten, and so many at a time are enough", () => {
  const c = new JobCluster(1);
  for (let i = 0; i < 80; i++) {
    c.ok(c.core.jobs.cancel(c.drain(["segment-1"]).value!.id, c.nowMs));
  }
  assert.equal(c.core.jobs.list().length, 64);
  const many = new JobCluster(20);
  for (let i = 1; i <= 16; i++) many.ok(many.drain([`segment-${i}`]).code);
  assertCode(many.drain(["segment-17"]).code, ErrorCode.TASK_PENDING_LIMIT_EXCEEDED);
});
