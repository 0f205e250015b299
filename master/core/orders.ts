/** CreateCopyTask, CreateMoveTask, FetchTasks and what becomes of the tasks. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import {
  type QueryTaskResponse,
  type TaskAssignment,
  type TaskCompleteRequest,
  TaskStatus,
  TaskType,
  type Uuid,
} from "../../proto/types.ts";
import { FactKind } from "./facts.ts";
import { ObjectLink } from "./objects.ts";
import { findObject, isHoused } from "./queries.ts";
import { checkTargets, keepCopies, replicaUnder } from "./replication.ts";
import { randomBelow } from "./rng.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { checkCompletion, copyPayload, isFinished, movePayload, type Task } from "./tasks.ts";
import { randomUuid } from "./uuid.ts";

/** Tasks that one tick looks at for each time-out. */
const MAX_PER_TICK = 256;

/** Orders a copy of an object from one of its segments, drawn at random, to others. */
export function createCopyTask(
  state: CoreState,
  tenant: number,
  key: Uint8Array,
  targets: readonly string[],
  nowMs: number,
): Expected<Uuid> {
  if (targets.length === 0) return failed(ErrorCode.INVALID_PARAMS);
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return failed(ErrorCode.OBJECT_NOT_FOUND);
  const code = checkOrderTargets(state, targets);
  if (code !== ErrorCode.OK) return failed(code);
  const sources = homesOf(state, slot);
  if (sources.length === 0) return failed(ErrorCode.INTERNAL_ERROR);
  const source = sources[randomBelow(state.rng, sources.length)];
  const keyText = textOf(key);
  if (keyText === null) return failed(ErrorCode.INVALID_KEY);
  keepCopies(state, slot, [source.name.name, ...targets]);
  const payload = copyPayload(tenantText(state, slot), keyText, source.name.name, targets);
  return submit(state, TaskType.REPLICA_COPY, source.owner, payload, nowMs);
}

/** Orders the move of an object from one segment to another. */
export function createMoveTask(
  state: CoreState,
  tenant: number,
  key: Uint8Array,
  source: string,
  target: string,
  nowMs: number,
): Expected<Uuid> {
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return failed(ErrorCode.OBJECT_NOT_FOUND);
  if (source === target) return failed(ErrorCode.INVALID_PARAMS);
  const code = checkOrderTargets(state, [target]);
  if (code !== ErrorCode.OK) return failed(code);
  const from = replicaUnder(state, slot, source);
  if (from === 0) return failed(ErrorCode.INVALID_PARAMS);
  const keyText = textOf(key);
  if (keyText === null) return failed(ErrorCode.INVALID_KEY);
  keepCopies(state, slot, [source, target]);
  const { owner } = state.segments.at(state.replicas.segment(from));
  const payload = movePayload(tenantText(state, slot), keyText, source, target);
  return submit(state, TaskType.REPLICA_MOVE, owner, payload, nowMs);
}

/**
 * Orders the move of a memory replica for a job. INVALID_KEY when the key is no text,
 * TASK_PENDING_LIMIT_EXCEEDED.
 */
export function orderMove(
  state: CoreState,
  slot: number,
  replica: number,
  target: string,
  job: Uuid,
  nowMs: number,
): Expected<Uuid> {
  const { objects, replicas, segments } = state;
  const at = objects.keyOffset(slot);
  const key = textOf(objects.keyPage(slot).subarray(at, at + objects.keyLength(slot)));
  if (key === null) return failed(ErrorCode.INVALID_KEY);
  const { owner, name } = segments.at(replicas.segment(replica));
  const payload = movePayload(tenantText(state, slot), key, name.name, target);
  const moved = { id: job, bytes: replicas.size(replica), replica: replicas.id(replica) };
  return submit(state, TaskType.REPLICA_MOVE, owner, payload, nowMs, moved);
}

/**
 * Orders a copy of a memory replica for dynamic replication, which the client begins and ends with
 * the lease. INVALID_KEY when the key is no text, TASK_PENDING_LIMIT_EXCEEDED.
 */
export function orderHotCopy(
  state: CoreState,
  slot: number,
  replica: number,
  target: string,
  leaseId: Uuid,
  versionEpoch: number,
  nowMs: number,
): Expected<Uuid> {
  const { objects, replicas, segments } = state;
  const at = objects.keyOffset(slot);
  const key = textOf(objects.keyPage(slot).subarray(at, at + objects.keyLength(slot)));
  if (key === null) return failed(ErrorCode.INVALID_KEY);
  const { owner, name } = segments.at(replicas.segment(replica));
  const tenant = tenantText(state, slot);
  const payload = copyPayload(tenant, key, name.name, [target], leaseId, versionEpoch);
  return submit(state, TaskType.REPLICA_COPY, owner, payload, nowMs);
}

export function queryTask(state: CoreState, id: Uuid): Expected<QueryTaskResponse> {
  const task = state.tasks.find(id);
  if (task === null) return failed(ErrorCode.TASK_NOT_FOUND);
  const { epochOffsetMs } = state.config;
  return {
    code: ErrorCode.OK,
    value: {
      id,
      type: task.type,
      status: task.status,
      createdAtMsEpoch: Math.floor(task.createdMs + epochOffsetMs),
      lastUpdatedAtMsEpoch: Math.floor(task.updatedMs + epochOffsetMs),
      assignedClient: state.clients.get(task.client).uuid,
      message: task.message,
    },
  };
}

/** Hands up to `limit` waiting tasks to the client that is to do them. */
export function fetchTasks(
  state: CoreState,
  client: number,
  limit: number,
  nowMs: number,
): TaskAssignment[] {
  const assignments: TaskAssignment[] = [];
  while (
    assignments.length < limit &&
    state.tasks.processingCount < state.config.maxTotalProcessingTasks
  ) {
    const task = state.tasks.nextFor(client);
    if (task === null) break;
    changeTask(state, task, TaskStatus.PROCESSING, "", nowMs);
    assignments.push({
      id: task.id,
      type: task.type,
      payload: task.payload,
      createdAtMsEpoch: Math.floor(task.createdMs + state.config.epochOffsetMs),
      maxRetryAttempts: task.maxRetryAttempts,
    });
  }
  return assignments;
}

/** Notes how a task ended. Repeating it changes nothing. */
export function completeTask(
  state: CoreState,
  client: number,
  request: TaskCompleteRequest,
  nowMs: number,
): ErrorCode {
  const task = state.tasks.find(request.id);
  const code = checkCompletion(task, client, request.status);
  if (code !== ErrorCode.OK || isFinished(task!.status)) return code;
  const status = request.status === TaskStatus.SUCCESS ? TaskStatus.SUCCESS : TaskStatus.FAILED;
  changeTask(state, task!, status, request.message, nowMs);
  return ErrorCode.OK;
}

/** Fails tasks that took too long and forgets the oldest finished ones beyond the limit. */
export function tickTasks(state: CoreState, nowMs: number): void {
  const { tasks, config } = state;
  for (let i = 0; i < MAX_PER_TICK; i++) {
    const waiting = tasks.oldest("waiting");
    if (waiting === null || nowMs - waiting.createdMs <= config.pendingTaskTimeoutMs) break;
    changeTask(state, waiting, TaskStatus.FAILED, "pending timeout", nowMs);
  }
  for (let i = 0; i < MAX_PER_TICK; i++) {
    const running = tasks.oldest("processing");
    if (running === null || nowMs - running.updatedMs <= config.processingTaskTimeoutMs) break;
    changeTask(state, running, TaskStatus.FAILED, "processing timeout", nowMs);
  }
  for (let i = 0; i < MAX_PER_TICK && tasks.finishedCount > config.maxTotalFinishedTasks; i++) {
    dropTask(state, tasks.oldest("finished")!);
  }
}

/** Adds a task. */
export function addTask(state: CoreState, task: Task): void {
  if (state.clients.retain(task.client)) state.facts?.clientAdded(task.client);
  state.tasks.add(task);
  const { epochOffsetMs } = state.config;
  state.facts?.task(
    FactKind.TASK_ADDED,
    JSON.stringify({
      ...task,
      createdMs: task.createdMs + epochOffsetMs,
      updatedMs: task.updatedMs + epochOffsetMs,
    }),
  );
}

/** Changes the status of a task. */
export function changeTask(
  state: CoreState,
  task: Task,
  status: TaskStatus,
  message: string,
  nowMs: number,
): void {
  state.tasks.change(task, status, message, nowMs);
  const updatedMs = nowMs + state.config.epochOffsetMs;
  state.facts?.task(
    FactKind.TASK_CHANGED,
    JSON.stringify({ id: task.id, status, message, updatedMs }),
  );
}

/** Forgets a task. */
export function dropTask(state: CoreState, task: Task): void {
  state.tasks.drop(task);
  state.facts?.task(FactKind.TASK_DROPPED, JSON.stringify({ id: task.id }));
  state.clients.release(task.client);
}

function submit(
  state: CoreState,
  type: TaskType,
  client: number,
  payload: string,
  nowMs: number,
  job?: Task["job"],
): Expected<Uuid> {
  const { tasks, config } = state;
  if (tasks.pendingCount >= config.maxTotalPendingTasks) {
    return failed(ErrorCode.TASK_PENDING_LIMIT_EXCEEDED);
  }
  let id = randomUuid(state.rng);
  while (tasks.find(id) !== null) id = randomUuid(state.rng);
  addTask(state, {
    id,
    type,
    status: TaskStatus.PENDING,
    payload,
    createdMs: nowMs,
    updatedMs: nowMs,
    message: "",
    client,
    maxRetryAttempts: config.maxRetryAttempts,
    ...(job === undefined ? {} : { job }),
  });
  return { code: ErrorCode.OK, value: id };
}

/** An order names segments that must be there; an unknown one is a wrong argument. */
function checkOrderTargets(state: CoreState, targets: readonly string[]): ErrorCode {
  const code = checkTargets(state, targets);
  return code === ErrorCode.SEGMENT_NOT_FOUND ? ErrorCode.INVALID_PARAMS : code;
}

/** The mounted segments that hold the object, finished or not; not what a transfer may give up. */
function homesOf(state: CoreState, slot: number): SegmentEntry[] {
  const { replicas } = state;
  const homes: SegmentEntry[] = [];
  for (
    let replica = state.objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    const dynamic = replicas.isTarget(replica) && state.hot.orders.has(slot);
    if (replicas.isMemory(replica) && isHoused(state, replica) && !dynamic) {
      homes.push(state.segments.at(replicas.segment(replica)));
    }
  }
  return homes;
}

function tenantText(state: CoreState, slot: number): string {
  return new TextDecoder().decode(state.tenants.name(state.objects.tenant(slot)));
}

/** A key as text, `null` when it is not UTF-8 and so cannot stand in a document. */
function textOf(key: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(key);
  } catch {
    return null;
  }
}

function failed<T>(code: ErrorCode): Expected<T> {
  return { code, value: null };
}
