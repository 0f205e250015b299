import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { TaskStatus, TaskType, type Uuid } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import type { CoreConfig } from "./api.ts";

class Orderer extends CoreDriver {
  constructor(changes: Partial<CoreConfig> = {}) {
    super(changes);
    for (let i = 1; i <= 2; i++) this.mount(i, MIB, { client: i });
    this.ok(this.start("k", 1000, { preferredSegment: "segment-1" }));
    this.ok(this.end("k"));
  }

  copy(targets: string[], key = "k") {
    return this.core.movement.createCopyTask(0, bytesOf(key), targets, this.nowMs);
  }

  move(source: string, target: string, key = "k") {
    return this.core.movement.createMoveTask(0, bytesOf(key), source, target, this.nowMs);
  }

  fetch(client: number, limit = 16) {
    return this.core.movement.fetchTasks(clientId(client), limit, this.nowMs);
  }

  complete(client: number, id: Uuid, status: number = TaskStatus.SUCCESS, message = "done") {
    const request = { id, status: status as TaskStatus, message };
    return this.core.movement.markTaskToComplete(clientId(client), request, this.nowMs);
  }

  status(id: Uuid): number {
    return this.core.movement.queryTask(id).value!.status;
  }
}

Deno.test("an order goes to the owner of the source, is fetched once and reported on", () => {
  const orderer = new Orderer();
  const id = orderer.copy(["segment-2"]).value!;
  assert.equal(orderer.status(id), TaskStatus.PENDING);
  assert.deepEqual(orderer.fetch(2), []);
  const [task] = orderer.fetch(1);
  const createdAtMsEpoch = orderer.nowMs + orderer.core.state.config.epochOffsetMs;
  const payload = '{"tenant_id":"default","key":"k","source":"segment-1",' +
    '"targets":["segment-2"],"dynamic_replication_lease_id_high":0,' +
    '"dynamic_replication_lease_id_low":0,"dynamic_replication_version_epoch":0}';
  const expected = { id, type: TaskType.REPLICA_COPY, payload, maxRetryAttempts: 10 };
  assert.deepEqual(task, { ...expected, createdAtMsEpoch });
  assert.equal(orderer.status(id), TaskStatus.PROCESSING);
  assert.deepEqual(orderer.fetch(1), []);
  assertCode(orderer.complete(2, id), ErrorCode.ILLEGAL_CLIENT);
  assertCode(orderer.complete(1, id, TaskStatus.PENDING), ErrorCode.INVALID_PARAMS);
  orderer.nowMs += 5;
  orderer.ok(orderer.complete(1, id));
  orderer.ok(orderer.complete(1, id, TaskStatus.FAILED, "late"));
  assert.deepEqual(orderer.core.movement.queryTask(id).value, {
    id,
    type: TaskType.REPLICA_COPY,
    status: TaskStatus.SUCCESS,
    createdAtMsEpoch,
    lastUpdatedAtMsEpoch: createdAtMsEpoch + 5,
    assignedClient: clientId(1),
    message: "done",
  });
});

Deno.test("a move's document names one target", () => {
  const orderer = new Orderer();
  orderer.ok(orderer.move("segment-1", "segment-2").code);
  const payload = '{"tenant_id":"default","key":"k","source":"segment-1","target":"segment-2"}';
  assert.equal(orderer.fetch(1)[0].payload, payload);
});

Deno.test("orders are refused with the reason", () => {
  const orderer = new Orderer();
  assertCode(orderer.copy([]).code, ErrorCode.INVALID_PARAMS);
  assertCode(orderer.copy(["segment-2"], "missing").code, ErrorCode.OBJECT_NOT_FOUND);
  assertCode(orderer.copy(["nowhere"]).code, ErrorCode.INVALID_PARAMS);
  assertCode(orderer.move("segment-1", "segment-1").code, ErrorCode.INVALID_PARAMS);
  assertCode(orderer.move("segment-2", "segment-1").code, ErrorCode.INVALID_PARAMS);
  assertCode(orderer.move("segment-1", "nowhere").code, ErrorCode.INVALID_PARAMS);
  assertCode(orderer.complete(1, "1-2"), ErrorCode.TASK_NOT_FOUND);
  assertCode(orderer.core.movement.queryTask("1-2").code, ErrorCode.TASK_NOT_FOUND);
  orderer.ok(orderer.core.cluster.gracefulUnmountSegment("2-2", clientId(2), 9, orderer.nowMs));
  const { code } = orderer.copy(["segment-2"]);
  assertCode(code, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
});

Deno.test("waiting, running and finished tasks have limits", () => {
  const orderer = new Orderer({
    maxTotalPendingTasks: 3,
    maxTotalProcessingTasks: 2,
    maxTotalFinishedTasks: 1,
  });
  const ids = [1, 2, 3].map(() => orderer.copy(["segment-2"]).value!);
  assertCode(orderer.copy(["segment-2"]).code, ErrorCode.TASK_PENDING_LIMIT_EXCEEDED);
  assert.equal(orderer.fetch(1, 1).length, 1);
  assert.equal(orderer.fetch(1).length, 1);
  assert.equal(orderer.fetch(1).length, 0);
  orderer.ok(orderer.complete(1, ids[0]));
  orderer.ok(orderer.complete(1, ids[1]));
  assert.equal(orderer.fetch(1).length, 1);
  orderer.pass(100);
  assertCode(orderer.core.movement.queryTask(ids[0]).code, ErrorCode.TASK_NOT_FOUND);
  assert.equal(orderer.status(ids[1]), TaskStatus.SUCCESS);
});

Deno.test("tasks that nobody fetches or finishes fail when their time is over", () => {
  const orderer = new Orderer();
  const waiting = orderer.copy(["segment-2"]).value!;
  orderer.pass(1000, [1, 2]);
  const running = orderer.copy(["segment-2"]).value!;
  assert.deepEqual(orderer.fetch(1, 1).map(({ id }) => id), [waiting]);
  orderer.pass(300_000, [1, 2]);
  assert.equal(orderer.status(waiting), TaskStatus.PROCESSING);
  orderer.pass(100, [1, 2]);
  const message = (id: Uuid) => orderer.core.movement.queryTask(id).value!.message;
  assert.deepEqual([orderer.status(running), message(running)], [
    TaskStatus.FAILED,
    "pending timeout",
  ]);
  assert.deepEqual([orderer.status(waiting), message(waiting)], [
    TaskStatus.FAILED,
    "processing timeout",
  ]);
});
