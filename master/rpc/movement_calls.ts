/** The calls that clear replicas, and those that copy, move and promote objects. */
import { FENCES_WRITERS } from "../../proto/address_window.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import { NIL_UUID } from "../../proto/struct_pack/uuid.ts";
import type { MasterCore } from "../core/core.ts";
import { batchOutcome, done, type HandlerEntry, ok, plainCall } from "./plain_call.ts";
import { NamedDoor, TenantAccess, type TenantDoor } from "./tenant_door.ts";

export class MovementCalls {
  readonly #core: MasterCore;
  readonly #door: TenantDoor;

  /** `door` lets calls in; by default whoever names a tenant. */
  constructor(core: MasterCore, door: TenantDoor = new NamedDoor(core)) {
    this.#core = core;
    this.#door = door;
  }

  /** Every call that is served here. */
  entries(): HandlerEntry[] {
    return [...this.#clearing(), ...this.#copies(), ...this.#tasks(), ...this.#promotions()];
  }

  /** Serves a call in the name space of a tenant, unless the door refuses it. */
  #within<T>(
    id: Uint8Array,
    access: TenantAccess,
    serve: (tenant: number) => Expected<T>,
  ): Expected<T> {
    const tenant = this.#door.enter(id, 0, id.length, access);
    return tenant < 0 ? { code: tenant as ErrorCode, value: null } : serve(tenant);
  }

  /** Serves a call of a client that does what it has been told to. */
  readonly #ordered = <T>(
    { clientId, key, tenantId }: m.ClientKeyRequest,
    serve: (tenant: number) => Expected<T>,
  ): Expected<T> => {
    const { movement } = this.#core;
    const isOrdered = (tenant: number) => movement.isOrdered(clientId, tenant, key);
    const tenant = this.#door.enterOrdered(tenantId, isOrdered);
    return tenant < 0 ? { code: tenant as ErrorCode, value: null } : serve(tenant);
  };

  #clearing(): HandlerEntry[] {
    const core = this.#core;
    return [
      plainCall(
        m.BatchReplicaClear,
        ({ objectKeys, clientId, segmentName }, nowMs) => {
          const tenant = this.#door.enterUnnamed(TenantAccess.CHANGE);
          if (tenant < 0) return { code: tenant as ErrorCode, value: null };
          return ok(core.batchReplicaClear(tenant, objectKeys, clientId, segmentName, nowMs));
        },
        ({ value }) => [value?.length ?? 0, 0],
      ),
      plainCall(
        m.EvictDiskReplica,
        (request) =>
          this.#ordered(request, (tenant) => {
            const { clientId, key, replicaType } = request;
            return done(core.evictDiskReplica(clientId, tenant, key, replicaType));
          }),
      ),
      plainCall(m.BatchEvictDiskReplica, ({ clientId, keys, tenantId, replicaType }) => {
        const evict = (key: Uint8Array) =>
          this.#ordered(
            { clientId, key, tenantId },
            (tenant) => done(core.evictDiskReplica(clientId, tenant, key, replicaType)),
          );
        return keys.map(evict);
      }, batchOutcome),
    ];
  }

  #copies(): HandlerEntry[] {
    const { movement } = this.#core;
    const ordered = this.#ordered;
    type Lease = Pick<m.DynamicReplicaCopyRequest, "leaseId" | "versionEpoch">;
    const noLease: Lease = { leaseId: NIL_UUID, versionEpoch: 0 };
    const copyStart = (
      request: m.CopyStartRequest,
      { leaseId }: Pick<Lease, "leaseId">,
      nowMs: number,
      number: number,
    ) => {
      const { clientId, key, srcSegment, tgtSegments } = request;
      return ordered(request, (tenant) =>
        movement.copyStart(
          ...[clientId, tenant, key, srcSegment, tgtSegments, leaseId, nowMs, number] as const,
        ));
    };
    const copyOver =
      (call: "copyEnd" | "copyRevoke") =>
      (request: m.ClientKeyRequest, lease: Lease, nowMs: number, number: number) => {
        const { clientId, key } = request;
        const { leaseId, versionEpoch } = lease;
        return ordered(request, (tenant) =>
          done(
            movement[call](clientId, tenant, key, leaseId, versionEpoch, nowMs, number),
          ));
      };
    const moveOver =
      (call: "moveEnd" | "moveRevoke") =>
      (request: m.ClientKeyRequest, nowMs: number, number: number) =>
        ordered(
          request,
          (tenant) => done(movement[call](request.clientId, tenant, request.key, nowMs, number)),
        );
    const [copyEnd, copyRevoke] = [copyOver("copyEnd"), copyOver("copyRevoke")];
    return [
      plainCall(m.CopyStart, (request, ...rest) => copyStart(request, noLease, ...rest)),
      plainCall(m.CopyEnd, (request, ...rest) => copyEnd(request, noLease, ...rest)),
      plainCall(m.CopyRevoke, (request, ...rest) => copyRevoke(request, noLease, ...rest)),
      plainCall(
        m.DynamicReplicaCopyStart,
        (request, ...rest) => copyStart(request, request, ...rest),
      ),
      plainCall(m.DynamicReplicaCopyEnd, (request, ...rest) => copyEnd(request, request, ...rest)),
      plainCall(
        m.DynamicReplicaCopyRevoke,
        (request, ...rest) => copyRevoke(request, request, ...rest),
      ),
      plainCall(m.MoveStart, (request, nowMs, number) => {
        const { clientId, key, srcSegment, tgtSegment } = request;
        return ordered(
          request,
          (tenant) =>
            movement.moveStart(clientId, tenant, key, srcSegment, tgtSegment, nowMs, number),
        );
      }),
      plainCall(m.MoveEnd, moveOver("moveEnd")),
      plainCall(m.MoveRevoke, moveOver("moveRevoke")),
    ];
  }

  #tasks(): HandlerEntry[] {
    const { movement } = this.#core;
    return [
      plainCall(
        m.CreateCopyTask,
        ({ key, tenantId, targets }, nowMs) =>
          this.#within(
            tenantId,
            TenantAccess.CREATE,
            (tenant) => movement.createCopyTask(tenant, key, targets, nowMs),
          ),
      ),
      plainCall(
        m.CreateMoveTask,
        ({ key, tenantId, source, target }, nowMs) =>
          this.#within(
            tenantId,
            TenantAccess.CREATE,
            (tenant) => movement.createMoveTask(tenant, key, source, target, nowMs),
          ),
      ),
      plainCall(m.QueryTask, ({ taskId }) => movement.queryTask(taskId)),
      plainCall(
        m.FetchTasks,
        ({ clientId, batchSize }, nowMs, attached) =>
          ok(movement.fetchTasks(clientId, batchSize, nowMs, attached === FENCES_WRITERS)),
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
    const ordered = this.#ordered;
    return [
      plainCall(m.PromotionAllocStart, (request, nowMs) => {
        const { clientId, key, size, preferredSegments: preferred } = request;
        return ordered(
          request,
          (tenant) => movement.promotionAllocStart(clientId, tenant, key, size, preferred, nowMs),
        );
      }),
      plainCall(
        m.NotifyPromotionSuccess,
        (request, nowMs) =>
          ordered(
            request,
            (tenant) =>
              done(movement.notifyPromotionSuccess(request.clientId, tenant, request.key, nowMs)),
          ),
      ),
      plainCall(
        m.NotifyPromotionFailure,
        (request, nowMs) =>
          ordered(
            request,
            (tenant) =>
              done(movement.notifyPromotionFailure(request.clientId, tenant, request.key, nowMs)),
          ),
      ),
    ];
  }
}
