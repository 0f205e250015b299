import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import type {
  CopyStartResponse,
  MoveStartResponse,
  OffloadTaskItem,
  PromotionAllocStartResponse,
  QueryTaskResponse,
  TaskAssignment,
  TaskCompleteRequest,
  Uuid,
} from "../../proto/types.ts";
import type { Writer } from "./api.ts";
import { completeFence, fetchFences } from "./fencing.ts";
import { replicaDescriptor } from "./inspect.ts";
import { stepJobOf } from "./job_steps.ts";
import { isOrdered } from "./order_check.ts";
import * as orders from "./orders.ts";
import * as promotion from "./promotion.ts";
import * as replication from "./replication.ts";
import { failed, ok, orMissing } from "./results.ts";
import type { CoreState } from "./state.ts";
import { NO_LEASE, TransferKind } from "./transfers.ts";

/**
 * The calls that copy and move objects: between segments, from disks into memory, and by order. See
 * `MasterCore.readOnly` for when they are refused. `number` is the client's of a transfer, which its
 * start, its end and its revoke bear; 0 = it has none.
 */
export class MovementApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** What the client is to bring back into memory. SEGMENT_NOT_FOUND. */
  promotionHeartbeat(client: Uuid): Expected<OffloadTaskItem[]> {
    return orMissing(promotion.promotionHeartbeat(this.#state, this.#state.clients.find(client)));
  }

  /** OBJECT_NOT_FOUND, REPLICA_IS_NOT_READY, INVALID_PARAMS, NO_AVAILABLE_HANDLE. */
  promotionAllocStart(
    client: Uuid,
    tenant: number,
    key: Uint8Array,
    size: number,
    preferred: readonly string[],
    nowMs: number,
  ): Expected<PromotionAllocStartResponse> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    const state = this.#state;
    const index = state.clients.find(client);
    const { code, slot, replica } = promotion.promotionAllocStart(
      state,
      index,
      tenant,
      key,
      size,
      preferred,
      nowMs,
    );
    if (code !== ErrorCode.OK) return failed(code);
    return ok({ memoryDescriptor: replicaDescriptor(state, slot, replica) });
  }

  /** OBJECT_NOT_FOUND, REPLICA_IS_NOT_READY, INVALID_PARAMS. */
  notifyPromotionSuccess(client: Uuid, tenant: number, key: Uint8Array, nowMs: number): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const index = this.#state.clients.find(client);
    return promotion.promotionSuccess(this.#state, index, tenant, key, nowMs);
  }

  /** OBJECT_NOT_FOUND, INVALID_PARAMS. */
  notifyPromotionFailure(client: Uuid, tenant: number, key: Uint8Array, nowMs: number): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const index = this.#state.clients.find(client);
    return promotion.promotionFailure(this.#state, index, tenant, key, nowMs);
  }

  /**
   * SEGMENT_NOT_FOUND, UNAVAILABLE_IN_CURRENT_STATUS, OBJECT_NOT_FOUND, OBJECT_HAS_REPLICATION_TASK,
   * REPLICA_NOT_FOUND, NO_AVAILABLE_HANDLE. `leaseId` other than "0-0" = a dynamic replication's.
   */
  copyStart(
    client: Uuid,
    tenant: number,
    key: Uint8Array,
    source: string,
    targets: readonly string[],
    leaseId: Uuid,
    nowMs: number,
    number = 0,
  ): Expected<CopyStartResponse> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    const state = this.#state;
    const writer = writerOf(this.#state.clients.require(client), number);
    const started = replication.copyStart(
      state,
      writer,
      tenant,
      key,
      source,
      targets,
      leaseId,
      nowMs,
    );
    if (started.code !== ErrorCode.OK) return failed(started.code);
    const describe = (replica: number) => replicaDescriptor(state, started.slot, replica);
    return ok({ source: describe(started.source), targets: started.targets.map(describe) });
  }

  /**
   * OBJECT_NOT_FOUND, OBJECT_NO_REPLICATION_TASK, ILLEGAL_CLIENT, INVALID_PARAMS, INVALID_VERSION,
   * REPLICA_IS_GONE.
   */
  copyEnd(
    client: Uuid,
    tenant: number,
    key: Uint8Array,
    leaseId: Uuid,
    versionEpoch: number,
    nowMs: number,
    number = 0,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const writer = writerOf(this.#state.clients.find(client), number);
    return replication.copyEnd(this.#state, writer, tenant, key, leaseId, versionEpoch, nowMs);
  }

  /** As {@linkcode MasterCore.copyEnd}. */
  copyRevoke(
    client: Uuid,
    tenant: number,
    key: Uint8Array,
    leaseId: Uuid,
    versionEpoch: number,
    nowMs: number,
    number = 0,
  ): ErrorCode {
    return this.#revoke(
      TransferKind.COPY,
      client,
      tenant,
      key,
      leaseId,
      versionEpoch,
      nowMs,
      number,
    );
  }

  /** As {@linkcode MasterCore.copyStart}, and INVALID_PARAMS. */
  moveStart(
    client: Uuid,
    tenant: number,
    key: Uint8Array,
    source: string,
    target: string,
    nowMs: number,
    number = 0,
  ): Expected<MoveStartResponse> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    const state = this.#state;
    const writer = writerOf(this.#state.clients.require(client), number);
    const started = replication.moveStart(state, writer, tenant, key, source, target, nowMs);
    if (started.code !== ErrorCode.OK) return failed(started.code);
    const describe = (replica: number) => replicaDescriptor(state, started.slot, replica);
    const to = started.targets.map(describe);
    return ok({ source: describe(started.source), target: to[0] ?? null });
  }

  /** As {@linkcode MasterCore.copyEnd}. */
  moveEnd(client: Uuid, tenant: number, key: Uint8Array, nowMs: number, number = 0): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const writer = writerOf(this.#state.clients.find(client), number);
    return replication.moveEnd(this.#state, writer, tenant, key, nowMs);
  }

  /** As {@linkcode MasterCore.copyEnd}. */
  moveRevoke(client: Uuid, tenant: number, key: Uint8Array, nowMs: number, number = 0): ErrorCode {
    return this.#revoke(TransferKind.MOVE, client, tenant, key, NO_LEASE, 0, nowMs, number);
  }

  /** INVALID_PARAMS, OBJECT_NOT_FOUND, UNAVAILABLE_IN_CURRENT_STATUS, TASK_PENDING_LIMIT_EXCEEDED. */
  createCopyTask(
    tenant: number,
    key: Uint8Array,
    targets: readonly string[],
    nowMs: number,
  ): Expected<Uuid> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    return orders.createCopyTask(this.#state, tenant, key, targets, nowMs);
  }

  /** As {@linkcode MasterCore.createCopyTask}. */
  createMoveTask(
    tenant: number,
    key: Uint8Array,
    source: string,
    target: string,
    nowMs: number,
  ): Expected<Uuid> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    return orders.createMoveTask(this.#state, tenant, key, source, target, nowMs);
  }

  /** TASK_NOT_FOUND. */
  queryTask(id: Uuid): Expected<QueryTaskResponse> {
    return orders.queryTask(this.#state, id);
  }

  /** `fencesWriters`: the client can keep writers out of the memory that it lends. */
  fetchTasks(client: Uuid, limit: number, nowMs: number, fencesWriters = false): TaskAssignment[] {
    if (this.#state.readOnly) return [];
    const index = this.#state.clients.find(client);
    if (index !== 0) this.#state.clients.get(index).fencesWriters = fencesWriters;
    const fences = fetchFences(this.#state, index, limit, nowMs);
    return [...fences, ...orders.fetchTasks(this.#state, index, limit - fences.length, nowMs)];
  }

  /** INVALID_PARAMS, TASK_NOT_FOUND, ILLEGAL_CLIENT. */
  markTaskToComplete(client: Uuid, request: TaskCompleteRequest, nowMs: number): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const index = this.#state.clients.find(client);
    const fenced = completeFence(this.#state, index, request, nowMs);
    if (fenced !== null) return fenced;
    const code = orders.completeTask(this.#state, index, request, nowMs);
    if (code === ErrorCode.OK) stepJobOf(this.#state, request.id, nowMs);
    return code;
  }

  /** See {@linkcode isOrdered}. */
  isOrdered(client: Uuid, tenant: number, key: Uint8Array): boolean {
    return isOrdered(this.#state, this.#state.clients.find(client), tenant, key);
  }

  #revoke(
    kind: TransferKind,
    client: Uuid,
    tenant: number,
    key: Uint8Array,
    leaseId: Uuid,
    versionEpoch: number,
    nowMs: number,
    number: number,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const state = this.#state;
    const writer = writerOf(state.clients.find(client), number);
    return replication.revokeTransfer(
      state,
      kind,
      writer,
      tenant,
      key,
      leaseId,
      versionEpoch,
      nowMs,
    );
  }
}

function writerOf(client: number, number: number): Writer {
  return { client, writeId: number };
}
