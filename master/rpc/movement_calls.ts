/** The calls that clear replicas, and those that copy, move and promote objects. */
import * as m from "../../proto/messages.ts";
import { NIL_UUID } from "../../proto/struct_pack/uuid.ts";
import type { MasterCore } from "../core/core.ts";
import { batchOutcome, done, type HandlerEntry, ok, plainCall } from "./plain_call.ts";

export class MovementCalls {
  readonly #core: MasterCore;

  constructor(core: MasterCore) {
    this.#core = core;
  }

  /** Every call that is served here. */
  entries(): HandlerEntry[] {
    return [...this.#clearing(), ...this.#copies(), ...this.#tasks(), ...this.#promotions()];
  }

  #tenant(id: Uint8Array): number {
    return this.#core.internTenant(id, 0, id.length);
  }

  #clearing(): HandlerEntry[] {
    const core = this.#core;
    return [
      plainCall(
        m.BatchReplicaClear,
        ({ objectKeys, clientId, segmentName }, nowMs) =>
          ok(core.batchReplicaClear(0, objectKeys, clientId, segmentName, nowMs)),
        ({ value }) => [value?.length ?? 0, 0],
      ),
      plainCall(
        m.EvictDiskReplica,
        ({ clientId, key, tenantId, replicaType }) =>
          done(core.evictDiskReplica(clientId, this.#tenant(tenantId), key, replicaType)),
      ),
      plainCall(m.BatchEvictDiskReplica, ({ clientId, keys, tenantId, replicaType }) => {
        const tenant = this.#tenant(tenantId);
        return keys.map((key) => done(core.evictDiskReplica(clientId, tenant, key, replicaType)));
      }, batchOutcome),
    ];
  }

  #copies(): HandlerEntry[] {
    const { movement } = this.#core;
    const copyStart = (request: m.CopyStartRequest, leaseId: string, nowMs: number) => {
      const { clientId, key, tenantId, srcSegment, tgtSegments } = request;
      const tenant = this.#tenant(tenantId);
      return movement.copyStart(clientId, tenant, key, srcSegment, tgtSegments, leaseId, nowMs);
    };
    const copyEnd = (request: m.ClientKeyRequest, lease: string, epoch: number, nowMs: number) => {
      const { clientId, key, tenantId } = request;
      return done(movement.copyEnd(clientId, this.#tenant(tenantId), key, lease, epoch, nowMs));
    };
    const copyRevoke = (
      request: m.ClientKeyRequest,
      lease: string,
      epoch: number,
      nowMs: number,
    ) => {
      const { clientId, key, tenantId } = request;
      return done(movement.copyRevoke(clientId, this.#tenant(tenantId), key, lease, epoch, nowMs));
    };
    return [
      plainCall(m.CopyStart, (request, nowMs) => copyStart(request, NIL_UUID, nowMs)),
      plainCall(m.CopyEnd, (request, nowMs) => copyEnd(request, NIL_UUID, 0, nowMs)),
      plainCall(m.CopyRevoke, (request, nowMs) => copyRevoke(request, NIL_UUID, 0, nowMs)),
      plainCall(
        m.DynamicReplicaCopyStart,
        (request, nowMs) => copyStart(request, request.leaseId, nowMs),
      ),
      plainCall(
        m.DynamicReplicaCopyEnd,
        (request, nowMs) => copyEnd(request, request.leaseId, request.versionEpoch, nowMs),
      ),
      plainCall(
        m.DynamicReplicaCopyRevoke,
        (request, nowMs) => copyRevoke(request, request.leaseId, request.versionEpoch, nowMs),
      ),
      plainCall(m.MoveStart, (request, nowMs) => {
        const { clientId, key, tenantId, srcSegment, tgtSegment } = request;
        const tenant = this.#tenant(tenantId);
        return movement.moveStart(clientId, tenant, key, srcSegment, tgtSegment, nowMs);
      }),
      plainCall(
        m.MoveEnd,
        ({ clientId, key, tenantId }, nowMs) =>
          done(movement.moveEnd(clientId, this.#tenant(tenantId), key, nowMs)),
      ),
      plainCall(
        m.MoveRevoke,
        ({ clientId, key, tenantId }, nowMs) =>
          done(movement.moveRevoke(clientId, this.#tenant(tenantId), key, nowMs)),
      ),
    ];
  }

  #tasks(): HandlerEntry[] {
    const { movement } = this.#core;
    return [
      plainCall(
        m.CreateCopyTask,
        ({ key, tenantId, targets }, nowMs) =>
          movement.createCopyTask(this.#tenant(tenantId), key, targets, nowMs),
      ),
      plainCall(
        m.CreateMoveTask,
        ({ key, tenantId, source, target }, nowMs) =>
          movement.createMoveTask(this.#tenant(tenantId), key, source, target, nowMs),
      ),
      plainCall(m.QueryTask, ({ taskId }) => movement.queryTask(taskId)),
      plainCall(
        m.FetchTasks,
        ({ clientId, batchSize }, nowMs) => ok(movement.fetchTasks(clientId, batchSize, nowMs)),
      ),
      plainCall(
        m.MarkTaskToComplete,
        ({ clientId, request }, nowMs) =>
          done(movement.markTaskToComplete(clientId, request, nowMs)),
      ),
    ];
  }

  #promotions(): HandlerEntry[] {
    const { movement } = this.#core;
    return [
      plainCall(m.PromotionAllocStart, (request, nowMs) => {
        const { clientId, key, tenantId, size, preferredSegments } = request;
        const tenant = this.#tenant(tenantId);
        return movement.promotionAllocStart(clientId, tenant, key, size, preferredSegments, nowMs);
      }),
      plainCall(
        m.NotifyPromotionSuccess,
        ({ clientId, key, tenantId }, nowMs) =>
          done(movement.notifyPromotionSuccess(clientId, this.#tenant(tenantId), key, nowMs)),
      ),
      plainCall(
        m.NotifyPromotionFailure,
        ({ clientId, key, tenantId }, nowMs) =>
          done(movement.notifyPromotionFailure(clientId, this.#tenant(tenantId), key, nowMs)),
      ),
    ];
  }
}
