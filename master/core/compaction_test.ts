// Goal: a compaction opens a long free piece by moving as few bytes as it can, keeps new data out of
// it meanwhile, makes way for whoever needs the memory, and stops when there is nothing to gain.
// Clients carry the moves out by the calls that real ones make.
import assert from "node:assert/strict";
import { assertCode, bytesOf, clientId, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { JobCluster } from "../../tests/support/job_cluster.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { TaskStatus } from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import { JobKind, JobStatus } from "./job_table.ts";

const KIB = 1024;
const CALM = { evictionHighWatermarkRatio: 1, autoCompaction: false };

/** Segments full of objects of 16 KiB, of which every second one is gone. */
function fragmented(segments: number, changes = {}): JobCluster {
  const c = new JobCluster(segments, MIB, { ...CALM, ...changes });
  for (let segment = 1; segment <= segments; segment++) {
    for (const [i, key] of c.fill(`s${segment}`, 64, segment, 16 * KIB).entries()) {
      if (i % 2 === 1) c.ok(c.remove(key));
    }
  }
  return c;
}

function keep(c: JobCluster): string[] {
  return c.keys();
}

Deno.test("a compaction opens a piece within one segment, and every object stays readable", () => {
  const c = fragmented(1);
  const keys = keep(c);
  assert.equal(c.longestFree(), 16 * KIB);
  const { id } = c.compact({ goalBytes: 256 * KIB, leastBytes: 256 * KIB }).value!;
  const job = c.finish(id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert(c.longestFree() >= 256 * KIB, `${c.longestFree()} in a row`);
  assert(job.movedBytes <= 128 * KIB, `${job.movedBytes} bytes moved, half of the goal would do`);
  for (const key of keys) assert.equal(c.exist(key), 1, key);
  checkCore(c.core.state);
  c.put("large", 256 * KIB);
  assert.equal(c.core.counters.get(Counter.EVICTED_KEYS), 0);
  for (const key of keys) assert.equal(c.exist(key), 1, key);
});

Deno.test("without a goal it opens what it can, and says how long the longest piece is", () => {
  const c = fragmented(1);
  const job = c.finish(c.compact().value!.id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert.match(job.message, /the longest free piece has \d+ bytes of 524288 that are free/);
  assert(c.longestFree() >= 384 * KIB, `${c.longestFree()} of ${512 * KIB} in a row`);
  checkCore(c.core.state);
});

Deno.test("the fewest bytes are moved: a part that is nearly free goes first", () => {
  const c = new JobCluster(1, MIB, CALM);
  const keys = c.fill("k", 64, 1, 16 * KIB);
  // Half of the first half is free, and all but one of a stretch in the second.
  for (let i = 0; i < 32; i += 2) c.ok(c.remove(keys[i]));
  for (let i = 40; i < 48; i++) if (i !== 44) c.ok(c.remove(keys[i]));
  const job = c.finish(c.compact({ goalBytes: 128 * KIB, leastBytes: 128 * KIB }).value!.id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert.deepEqual([job.movedObjects, job.movedBytes], [1, 16 * KIB]);
});

Deno.test("objects go to another node when theirs has no hole for them", () => {
  const c = new JobCluster(2, MIB, CALM);
  const small = c.fill("small", 64, 1, 16 * KIB);
  for (const i of [10, 12]) c.ok(c.remove(small[i]));
  c.fill("other", 2, 2, 16 * KIB);
  const request = { segments: ["segment-1"], goalBytes: 48 * KIB, leastBytes: 48 * KIB };
  const near = c.finish(c.compact({ ...request, targets: ["segment-1"] }).value!.id);
  assert.equal(near.status, JobStatus.FAILED);
  assert.match(near.message, /no objects can be moved so that 49152 bytes in a row become free/);
  const job = c.finish(c.compact(request).value!.id);
  assert.deepEqual([job.status, job.movedObjects], [JobStatus.SUCCEEDED, 1], job.message);
  assert.equal(c.used(2), 48 * KIB);
  c.put("large", 48 * KIB, { preferredSegment: "segment-1" });
  assert.equal(c.exist(small[11]), 1);
  checkCore(c.core.state);
});

Deno.test("what is being written is not moved", () => {
  const c = new JobCluster(1, 128 * KIB, CALM);
  const keys = c.fill("k", 8, 1, 16 * KIB);
  for (const i of [0, 2, 4, 6]) c.ok(c.remove(keys[i]));
  for (const i of [1, 3, 5, 7]) c.ok(c.start(keys[i], 1, { upsert: true, client: 1 }));
  const job = c.finish(c.compact({ goalBytes: 32 * KIB, leastBytes: 32 * KIB }).value!.id);
  assert.deepEqual([job.status, job.movedObjects], [JobStatus.FAILED, 0], job.message);
});

Deno.test("memory that may still be read is waited for, not given to others", () => {
  const c = fragmented(1);
  const lease = c.core.state.config.defaultKvLeaseTtlMs;
  for (const key of keep(c)) c.ok(c.get(key));
  const startMs = c.nowMs;
  const job = c.finish(c.compact({ goalBytes: 256 * KIB, leastBytes: 256 * KIB }).value!.id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert(c.nowMs - startMs >= lease, "readers of before had the time that they were promised");
});

Deno.test("nothing new is placed in the part that is emptied, until somebody finds no other room", () => {
  const c = fragmented(1);
  c.ok(c.compact({ goalBytes: 256 * KIB, leastBytes: 256 * KIB }).code);
  c.settle();
  const { start, end } = c.core.state.aside!;
  const inside = (offset: number) => offset >= start * 64 && offset < end * 64;
  let placed = 0;
  while (c.core.state.aside !== null) {
    const [{ offset }] = c.put(`new-${placed++}`, 16 * KIB);
    if (c.core.state.aside !== null) assert(!inside(offset), `${offset} is being emptied`);
  }
  assert(placed > 10, `after ${placed} puts`);
  assert.equal(c.core.counters.get(Counter.EVICTED_KEYS), 0, "the part goes before any object");
  checkCore(c.core.state);
  for (let i = 0; i < 20; i++) {
    c.work();
    c.pass(100);
  }
  checkCore(c.core.state);
});

Deno.test("moves keep to the limits of their number and bytes a second", () => {
  const c = fragmented(1);
  const limits = { maxConcurrency: 2, bytesPerSecond: 32 * KIB };
  const { id } = c.compact({ goalBytes: 256 * KIB, leastBytes: 256 * KIB, ...limits }).value!;
  const startMs = c.nowMs;
  for (let i = 0; c.job(id).status < JobStatus.SUCCEEDED; i++) {
    assert(i < 1000, "it is not over");
    c.settle();
    const { activeMoves, movedBytes } = c.job(id);
    assert(activeMoves <= 2);
    assert(movedBytes <= 32 * KIB * ((c.nowMs - startMs) / 1000 + 1) + 32 * KIB);
    c.work();
    c.nowMs += 50;
  }
  assert.equal(c.job(id).status, JobStatus.SUCCEEDED, c.job(id).message);
});

Deno.test("a compaction does not wake eviction: near the watermark it waits, then gives up", () => {
  const c = fragmented(1, { evictionHighWatermarkRatio: 0.5 });
  const request = { goalBytes: 256 * KIB, leastBytes: 256 * KIB, giveUpMs: 3000 };
  const job = c.finish(c.compact(request).value!.id);
  assert.deepEqual([job.status, job.movedObjects], [JobStatus.FAILED, 0]);
  assert.match(job.message, /no progress for 3 s/);
  assert.equal(c.core.counters.get(Counter.EVICTED_KEYS), 0);
  assert.equal(c.core.state.aside, null);
});

Deno.test("one at a time, cancelable, and what makes no sense is refused", () => {
  const c = fragmented(2);
  const { INVALID_PARAMS, SEGMENT_NOT_FOUND, UNAVAILABLE_IN_CURRENT_STATUS } = ErrorCode;
  assertCode(c.compact({ goalBytes: 1, leastBytes: 2 }).code, INVALID_PARAMS);
  assertCode(c.compact({ goalBytes: 0.5 }).code, INVALID_PARAMS);
  assertCode(c.compact({ segments: ["segment-1", "segment-1"] }).code, INVALID_PARAMS);
  assertCode(c.compact({ segments: ["nope"] }).code, SEGMENT_NOT_FOUND);
  assertCode(c.compact({ targets: ["nope"] }).code, SEGMENT_NOT_FOUND);
  const { id } = c.compact().value!;
  assertCode(c.compact().code, UNAVAILABLE_IN_CURRENT_STATUS);
  c.settle();
  assert.notEqual(c.core.state.aside, null);
  c.ok(c.core.jobs.cancel(id, c.nowMs));
  assert.equal(c.core.state.aside, null);
  assert.equal(c.core.state.tasks.pendingCount, 0);
  checkCore(c.core.state);
  c.ok(c.drain(["segment-1"]).code);
  assertCode(c.compact({ segments: ["segment-1"] }).code, UNAVAILABLE_IN_CURRENT_STATUS);
});

Deno.test("a restarted master goes on with a compaction, the moves under way included", () => {
  const c = fragmented(1);
  const keys = keep(c);
  const { id } = c.compact({ goalBytes: 256 * KIB, leastBytes: 256 * KIB }).value!;
  c.settle();
  const fetched = c.fetch(1);
  assert.equal(fetched.length, 4);
  const next = c.restart();
  next.settle();
  assert.equal(next.job(id).activeMoves, 4);
  for (const task of fetched) next.carryOut(1, task);
  const job = next.finish(id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert(next.longestFree() >= 256 * KIB);
  for (const key of keys) assert.equal(next.exist(key), 1, key);
  checkCore(next.core.state);
});

Deno.test("others meet a move of a compaction as something that passes", () => {
  const c = fragmented(2);
  c.ok(c.compact({ goalBytes: 256 * KIB, leastBytes: 256 * KIB }).code);
  c.settle();
  const client = c.core.state.aside!.entry.index + 1;
  const [task] = c.fetch(client);
  const { key, source, target } = JSON.parse(task.payload);
  assert.equal(source, target, "a move within the node comes first");
  const { movement } = c.core;
  const who = clientId(client);
  c.ok(movement.moveStart(who, 0, bytesOf(key), source, target, c.nowMs).code);
  const other = source === "segment-1" ? "segment-2" : "segment-1";
  const copy = movement.copyStart(who, 0, bytesOf(key), source, [other], "0-0", c.nowMs);
  assertCode(copy.code, ErrorCode.NO_AVAILABLE_HANDLE);
  assertCode(c.start(key, 16 * KIB, { upsert: true }), ErrorCode.OBJECT_REPLICA_BUSY);
  c.ok(movement.moveEnd(who, 0, bytesOf(key), c.nowMs));
  c.ok(movement.markTaskToComplete(
    ...[who, { id: task.id, status: TaskStatus.SUCCESS, message: "" }, c.nowMs] as const,
  ));
  c.ok(movement.copyStart(who, 0, bytesOf(key), source, [other], "0-0", c.nowMs).code);
  const stray = movement.moveStart(who, 0, bytesOf(key), source, source, c.nowMs);
  assertCode(stray.code, ErrorCode.INVALID_PARAMS);
});

Deno.test("a put that finds no piece, though there are enough of them, starts a compaction", () => {
  const c = fragmented(1, { autoCompaction: true });
  c.ok(c.start("large", 100 * KIB));
  c.ok(c.end("large"));
  assert(c.core.counters.get(Counter.EVICTED_KEYS) > 0, "the put itself does not wait for it");
  const evicted = c.core.counters.get(Counter.EVICTED_KEYS);
  assert(c.core.counters.get(Counter.COMPACTION_NO_PIECE) > 0);
  const { id, automatic, kind } = c.untilOwnJob();
  assert(automatic && kind === JobKind.COMPACTION);
  const job = c.finish(id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert(c.longestFree() >= 200 * KIB, "and more than one piece is opened");
  c.put("second", 100 * KIB);
  c.put("third", 100 * KIB);
  assert.equal(c.core.counters.get(Counter.EVICTED_KEYS), evicted);
  for (let i = 0; i < 30; i++) c.pass(100);
  assert.equal(c.core.jobs.list().length, 1, "it is content");
});

Deno.test("with a free ratio it compacts before any put is refused", () => {
  const c = fragmented(1, { autoCompaction: true, autoCompactionFreeRatio: 0.25 });
  const job = c.finish(c.untilOwnJob().id);
  assert.equal(job.status, JobStatus.SUCCEEDED, job.message);
  assert(c.longestFree() >= 128 * KIB);
});

Deno.test("what comes to nothing is tried again less and less often", () => {
  const c = new JobCluster(1, 128 * KIB, { ...CALM, autoCompaction: true });
  const keys = c.fill("k", 8, 1, 16 * KIB);
  for (const i of [0, 2, 4, 6]) c.ok(c.remove(keys[i]));
  for (const i of [1, 3, 5, 7]) c.ok(c.start(keys[i], 1, { upsert: true, client: 1 }));
  const begun = new Set<string>();
  for (let i = 0; i < 1200; i++) {
    c.start("large", 25 * KIB);
    c.pass(100);
    for (const { id, status } of c.core.jobs.list()) {
      begun.add(id);
      assert.notEqual(status, JobStatus.SUCCEEDED);
    }
  }
  assert(begun.size >= 2 && begun.size <= 4, `${begun.size} compactions in two minutes`);
});

Deno.test("a compaction of the master's own makes way for a job that somebody asks for", () => {
  const c = fragmented(2, { autoCompaction: true, autoCompactionFreeRatio: 0.25 });
  const { id } = c.untilOwnJob();
  const drain = c.drain(["segment-1"]);
  c.ok(drain.code);
  const { status, message } = c.job(id);
  assert.deepEqual([status, message], [JobStatus.CANCELED, "it made way for another job"]);
  assert.equal(c.core.state.aside, null);
  assert.equal(c.finish(drain.value!.id).status, JobStatus.SUCCEEDED);
});

Deno.test("turned off while it goes on, it ends", () => {
  const c = fragmented(1, { autoCompaction: true, autoCompactionFreeRatio: 0.25 });
  const { id } = c.untilOwnJob();
  c.core.reconfigure({ ...c.core.state.config, autoCompaction: false }, 0);
  c.pass(1000);
  assert.equal(c.job(id).status, JobStatus.CANCELED);
  assert.equal(c.core.state.aside, null);
});
