/** Bringing objects that are read from a client's disk back into memory. */
import { ErrorCode } from "../../proto/error_code.ts";
import { type OffloadTaskItem, ReplicaStatus, ReplicaType } from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import { relist } from "./leases.ts";
import {
  addReplica,
  completeReplica,
  endTransfer,
  replicaById,
  startTransfer,
} from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { localDiskReplica, taskItem } from "./offload.ts";
import { placeReplicas } from "./placement.ts";
import { findObject, heldByLateBytes } from "./queries.ts";
import type { CoreState } from "./state.ts";
import { hasQuotaFor } from "./tenant_quota.ts";
import { abandonTransfer } from "./transfer_end.ts";
import { type Transfer, TransferKind } from "./transfers.ts";

/** What the owner of a disk that starts a promotion is told: a replica by its index. */
export interface StartedPromotion {
  readonly code: ErrorCode;
  readonly slot: number;
  readonly replica: number;
}

function refused(code: ErrorCode): StartedPromotion {
  return { code, slot: 0, replica: 0 };
}

/** Queues an object that was read from a disk for its owner to bring back, if it is worth it. */
export function considerPromotion(state: CoreState, slot: number, nowMs: number): void {
  const { objects, replicas, counters, config } = state;
  const source = localDiskReplica(state, slot);
  if (source === 0) return;
  const frequency = state.reads.increment(objects.hash(slot));
  if (frequency < config.promotionAdmissionThreshold) {
    counters.add(Counter.PROMOTION_TOO_RARE, 1);
    return;
  }
  const capacity = counters.get(Counter.CAPACITY_BYTES);
  const used = counters.get(Counter.ALLOCATED_BYTES);
  const full = capacity === 0 || used / capacity >= config.evictionHighWatermarkRatio;
  if (full || !hasQuotaFor(state, objects.tenant(slot), replicas.size(source))) {
    counters.add(Counter.PROMOTION_NO_SPACE, 1);
    return;
  }
  const busy = ObjectFlag.TRANSFER | ObjectFlag.IN_MEMORY;
  if (objects.link(slot, ObjectLink.WRITE) !== 0 || objects.is(slot, busy)) return;
  if (counters.get(Counter.PROMOTIONS_IN_FLIGHT) >= config.promotionQueueLimit) {
    counters.add(Counter.PROMOTION_QUEUE_FULL, 1);
    return;
  }
  const disk = state.disks.disk(replicas.place(source));
  startTransfer(state, {
    slot,
    kind: TransferKind.PROMOTION,
    client: disk.client,
    startMs: nowMs,
    source: replicas.id(source),
    targets: [],
    leaseId: "0-0",
    versionEpoch: 0,
    size: replicas.size(source),
    number: 0,
  });
  disk.promotions.add(slot);
  counters.add(Counter.PROMOTIONS_ADMITTED, 1);
}

/** The next objects that a client is to bring back; each is handed out once. `null` = no disk. */
export function promotionHeartbeat(state: CoreState, client: number): OffloadTaskItem[] | null {
  const disk = state.disks.of(client);
  if (disk === null) return null;
  const items: OffloadTaskItem[] = [];
  for (const slot of disk.promotions) {
    if (items.length >= state.config.promotionMaxPerHeartbeat) break;
    disk.promotions.delete(slot);
    items.push(taskItem(state, slot));
  }
  return items;
}

/** Gives the owner of the disk replica memory to bring the object into. */
export function promotionAllocStart(
  state: CoreState,
  client: number,
  tenant: number,
  key: Uint8Array,
  size: number,
  preferred: readonly string[],
  nowMs: number,
): StartedPromotion {
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return refused(ErrorCode.OBJECT_NOT_FOUND);
  const transfer = promotionOf(state, slot);
  if (transfer === null || state.objects.link(slot, ObjectLink.WRITE) !== 0) {
    return refused(ErrorCode.REPLICA_IS_NOT_READY);
  }
  if (transfer.client !== client || transfer.size !== size) {
    return refused(ErrorCode.INVALID_PARAMS);
  }
  if (transfer.targets.length > 0 || state.objects.is(slot, ObjectFlag.IN_MEMORY)) {
    return refused(ErrorCode.REPLICA_IS_NOT_READY);
  }
  if (!hasQuotaFor(state, tenant, size)) {
    state.quotas.countRejected(tenant, 1);
    return refused(ErrorCode.TENANT_QUOTA_EXCEEDED);
  }
  const { request } = state;
  request.size = size;
  request.wanted = 1;
  request.preferred = preferred;
  request.writerHost = "";
  if (placeReplicas(state) === 0) return refused(ErrorCode.NO_AVAILABLE_HANDLE);
  const replica = addReplica(
    state,
    slot,
    state.nextReplicaId,
    ReplicaType.MEMORY,
    ReplicaStatus.PROCESSING,
    size,
    request.extents[0],
  );
  endTransfer(state, transfer);
  startTransfer(state, { ...transfer, startMs: nowMs, targets: [state.replicas.id(replica)] });
  return { code: ErrorCode.OK, slot, replica };
}

/** Makes a promoted replica readable. */
export function promotionSuccess(
  state: CoreState,
  client: number,
  tenant: number,
  key: Uint8Array,
  nowMs: number,
): ErrorCode {
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return ErrorCode.OBJECT_NOT_FOUND;
  const transfer = promotionOf(state, slot);
  if (transfer === null || transfer.targets.length === 0) return ErrorCode.REPLICA_IS_NOT_READY;
  if (transfer.client !== client) return ErrorCode.INVALID_PARAMS;
  const replica = replicaById(state, slot, transfer.targets[0]);
  const alive = replica !== 0 && state.segments.isAlive(state.replicas.segment(replica));
  if (alive) completeReplica(state, slot, replica);
  endTransfer(state, transfer);
  if (!alive) {
    state.counters.add(Counter.PROMOTIONS_CANCELLED, 1);
    return ErrorCode.REPLICA_IS_NOT_READY;
  }
  state.counters.add(Counter.PROMOTIONS_COMPLETED, 1);
  state.counters.add(Counter.PROMOTED_BYTES, transfer.size);
  relist(state, slot, nowMs);
  return ErrorCode.OK;
}

/** Ends a promotion that did not succeed. Repeating it changes nothing. */
export function promotionFailure(
  state: CoreState,
  client: number,
  tenant: number,
  key: Uint8Array,
  nowMs: number,
): ErrorCode {
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return ErrorCode.OBJECT_NOT_FOUND;
  const transfer = promotionOf(state, slot);
  if (transfer === null) return ErrorCode.OK;
  if (transfer.client !== client) return ErrorCode.INVALID_PARAMS;
  abandonTransfer(state, transfer, heldByLateBytes(state, nowMs), nowMs);
  state.counters.add(Counter.PROMOTIONS_FAILED, 1);
  return ErrorCode.OK;
}

function promotionOf(state: CoreState, slot: number): Transfer | null {
  const transfer = state.transfers.transfers.get(slot);
  return transfer?.kind === TransferKind.PROMOTION ? transfer : null;
}
