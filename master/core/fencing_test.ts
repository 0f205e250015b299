// Goal: memory of a writer that fell silent is back as soon as its owner keeps the writer out, in
// addresses that the writer does not have; where the owner cannot, it waits for the release time-out.
import assert from "node:assert/strict";
import { WINDOW_BYTES, WINDOWS } from "../../proto/address_window.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { readFencePayload } from "../../proto/fence_payload.ts";
import { type TaskAssignment, TaskStatus, TaskType } from "../../proto/types.ts";
import { assertCode, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { durableState } from "./digest.ts";
import { MAX_READ_HOLD_MS } from "./holds.ts";

const OWNER = 1;
const WRITER = 2;
const OTHER = 3;
const RELEASE_MS = 600_000;
const CONFIG: Partial<CoreConfig> = {
  ...{
    clientTtlMs: 10_000,
    putStartReleaseTimeoutMs: RELEASE_MS,
    putStartDiscardTimeoutMs: 30_000,
  },
};

/** A pool of one segment of 1 MiB whose owner can keep writers out. */
class Pool extends CoreDriver {
  readonly facts: Uint8Array[] = [];
  readonly segment;

  constructor(fences = true) {
    super(CONFIG);
    this.core.attachFacts(this);
    this.segment = this.mount(1, MIB, { client: OWNER });
    this.fetch(fences);
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    this.facts.push(bytes.slice(start, end));
  }

  fetch(fences = true): TaskAssignment[] {
    return this.core.movement.fetchTasks(clientId(OWNER), 16, this.nowMs, fences);
  }

  report(task: TaskAssignment, status: TaskStatus, client = OWNER): number {
    const request = { id: task.id, status, message: "" };
    return this.core.movement.markTaskToComplete(clientId(client), request, this.nowMs);
  }

  /** A client begins a put and is not heard of again, until it has expired. */
  crash(key: string, size: number): void {
    this.ping(WRITER);
    this.ok(this.start(key, size, { client: WRITER }));
    this.pass(11_000, [OWNER]);
  }

  /** The owner does everything that it is told. */
  fence(): TaskAssignment[] {
    const tasks = this.fetch();
    for (const task of tasks) this.ok(this.report(task, TaskStatus.SUCCESS));
    this.settle();
    return tasks;
  }

  /** The core that takes over from the facts, or from a snapshot. */
  next(fromSnapshot: boolean): CoreDriver {
    if (fromSnapshot) {
      this.facts.length = 0;
      this.core.tellSnapshot(this);
    }
    const next = new CoreDriver(CONFIG);
    next.nowMs = this.nowMs;
    for (const fact of this.facts) next.core.replay(fact);
    checkCore(next.core.state);
    assert.deepEqual(
      Array.from(durableState(next.core.state)).sort(),
      Array.from(durableState(this.core.state)).sort(),
    );
    next.core.finishReplay(next.nowMs);
    next.mount(1, MIB, { client: OWNER });
    return next;
  }
}

Deno.test("the owner is told which writer to keep out of what, and the memory is back at once", () => {
  const pool = new Pool();
  pool.crash("lost", MIB);
  assertCode(pool.start("next", MIB, { client: OTHER }), ErrorCode.NO_AVAILABLE_HANDLE);
  const [task, ...more] = pool.fetch();
  assert.equal(more.length, 0);
  assert.equal(task.type, TaskType.WRITER_FENCE);
  assert.deepEqual(readFencePayload(task.payload), {
    ...{ address: pool.segment.base, length: MIB, keepMs: RELEASE_MS, writer: clientId(WRITER) },
  });
  assertCode(pool.start("next", MIB, { client: OTHER }), ErrorCode.NO_AVAILABLE_HANDLE);
  pool.ok(pool.report(task, TaskStatus.SUCCESS));
  const [replica] = pool.put("next", MIB, { client: OTHER });
  assert.equal(replica.offset, WINDOW_BYTES);
  pool.ok(pool.get("next"));
  assert.equal(pool.sink.replicas[0].offset, WINDOW_BYTES);
  assertCode(pool.end("lost", WRITER), ErrorCode.OBJECT_NOT_FOUND);
  checkCore(pool.core.state);
});

Deno.test("memory that overlaps what is fenced comes in the next window, other memory in the first", () => {
  const pool = new Pool();
  pool.put("before", MIB / 4);
  pool.crash("lost", MIB / 4);
  pool.fence();
  const offsets = ["a", "b", "c"].map((key) => pool.put(key, MIB / 4)[0].offset);
  assert.deepEqual(offsets.sort((a, b) => a - b), [
    ...[MIB / 2, 3 * MIB / 4, WINDOW_BYTES + MIB / 4],
  ]);
});

Deno.test("a writer of a write that another replaced is kept out, too", () => {
  const pool = new Pool();
  pool.ok(pool.start("key", MIB / 2, { client: WRITER, writeId: 1 }));
  pool.pass(31_000, [OWNER, OTHER]);
  pool.ok(pool.start("key", MIB / 2, { client: OTHER, writeId: 1 }));
  assert.equal(pool.fence().length, 1);
  assert.equal(pool.put("more", MIB / 2, { client: OTHER })[0].offset >= WINDOW_BYTES, true);
});

Deno.test("an owner that cannot, or does not say that it can, leaves the memory to its time-out", () => {
  for (const fences of [true, false]) {
    const pool = new Pool(fences);
    pool.crash("lost", MIB);
    const tasks = pool.fetch(fences);
    assert.equal(tasks.length, fences ? 1 : 0);
    for (const task of tasks) pool.ok(pool.report(task, TaskStatus.FAILED));
    assertCode(pool.start("next", MIB, { client: OTHER }), ErrorCode.NO_AVAILABLE_HANDLE);
    pool.pass(RELEASE_MS, [OWNER, OTHER]);
    assert.equal(pool.put("next", MIB, { client: OTHER })[0].offset, 0);
  }
});

Deno.test("a report of another client, of a wrong status or for what is free by now changes nothing", () => {
  const pool = new Pool();
  pool.crash("lost", MIB);
  const [task] = pool.fetch();
  assertCode(pool.report(task, TaskStatus.SUCCESS, OTHER), ErrorCode.ILLEGAL_CLIENT);
  assertCode(pool.report(task, TaskStatus.PROCESSING), ErrorCode.INVALID_PARAMS);
  pool.pass(RELEASE_MS, [OWNER, OTHER]);
  assert.equal(pool.put("next", MIB, { client: OTHER })[0].offset, 0);
  pool.ok(pool.report(task, TaskStatus.SUCCESS));
  assertCode(pool.report(task, TaskStatus.SUCCESS), ErrorCode.TASK_NOT_FOUND);
  pool.ok(pool.get("next"));
  checkCore(pool.core.state);
});

Deno.test("when all windows are used up memory waits, and the first is good again after its time", () => {
  const pool = new Pool();
  for (let window = 0; window + 1 < WINDOWS; window++) {
    pool.crash(`lost-${window}`, MIB);
    assert.equal(pool.fence().length, 1, `window ${window}`);
  }
  pool.ping(WRITER);
  pool.ok(pool.start("last", MIB, { client: WRITER }));
  assert.equal(pool.sink.replicas[0].offset, (WINDOWS - 1) * WINDOW_BYTES);
  pool.pass(11_000, [OWNER]);
  assert.equal(pool.fence().length, 0);
  assertCode(pool.start("next", MIB, { client: OTHER }), ErrorCode.NO_AVAILABLE_HANDLE);
  pool.pass(RELEASE_MS * 1.02, [OWNER, OTHER]);
  assert.equal(pool.put("next", MIB, { client: OTHER })[0].offset, 0);
});

Deno.test("windows and fences outlive the master, as facts and in a snapshot", () => {
  for (const fromSnapshot of [false, true]) {
    const pool = new Pool();
    pool.crash("lost", MIB / 2);
    pool.fence();
    const [kept] = pool.put("kept", MIB / 2, { client: OTHER });
    assert.equal(kept.offset, WINDOW_BYTES);
    pool.crash("again", MIB / 4);
    const next = pool.next(fromSnapshot);
    next.ok(next.get("kept"));
    assert.equal(next.sink.replicas[0].offset, WINDOW_BYTES);
    next.pass(MAX_READ_HOLD_MS, [OWNER, OTHER]);
    next.ok(next.remove("kept", true));
    next.pass(10_000, [OWNER, OTHER]);
    assert.equal(next.put("later", MIB / 2, { client: OTHER })[0].offset, WINDOW_BYTES);
  }
});

Deno.test("fenced memory that leaves the pool and returns is given to nobody before its time", () => {
  const pool = new Pool();
  pool.crash("lost", MIB);
  pool.fence();
  pool.ok(pool.core.cluster.unmountSegment(pool.segment.id, clientId(OWNER), pool.nowMs));
  pool.settle();
  const again = { ...pool.segment, id: "9-9" };
  pool.ok(pool.core.cluster.mountSegment(again, clientId(OWNER)));
  assertCode(pool.start("next", MIB, { client: OTHER }), ErrorCode.NO_AVAILABLE_HANDLE);
  pool.pass(RELEASE_MS * 1.02, [OWNER, OTHER]);
  assert.equal(pool.put("next", MIB, { client: OTHER })[0].offset, 0);
});

Deno.test("a client that does not ping is given the discard time-out", () => {
  const pool = new Pool();
  pool.ok(pool.start("slow", MIB, { client: WRITER }));
  pool.pass(20_000, [OWNER]);
  assert.deepEqual(pool.fetch(), []);
  pool.ok(pool.end("slow", WRITER));
});
