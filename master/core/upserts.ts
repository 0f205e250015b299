/** UpsertStart; its end and revoke are those of a put. */
import { compactionOf } from "./compaction_units.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { type ReplicateConfig, ReplicaType } from "../../proto/types.ts";
import type { ReplicaSink, Writer } from "./api.ts";
import { refuseHolds } from "./holds.ts";
import { relist } from "./leases.ts";
import { eraseObject, removeReplica, startWrite } from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { cancelOffload, isOffloadQueued } from "./offload_queue.ts";
import { beginNew, describeWrite, owesEnd, preempt } from "./puts.ts";
import { isAnyHoused, memoryBytes } from "./queries.ts";
import type { CoreState } from "./state.ts";
import { yieldTransfer } from "./transfer_end.ts";
import { findRoom, prepareRequest } from "./write_request.ts";

/**
 * Begins to replace the value of a key, or to put the first one. The new version is written beside
 * the old one, which can be read until the end. An unfinished write on the key is ended at once,
 * unless it is the client's own and its end could not be told from this one's: OBJECT_REPLICA_BUSY.
 */
export function upsertStart(
  state: CoreState,
  writer: Writer,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  size: number,
  config: ReplicateConfig,
  group: Uint8Array | null,
  nowMs: number,
  sink: ReplicaSink,
): ErrorCode {
  const { objects } = state;
  const bad = prepareRequest(state, writer, tenant, bytes, start, end, size, config, group, nowMs);
  if (bad !== ErrorCode.OK) return bad;
  let slot = objects.find(tenant, bytes, start, end);
  state.request.hash = objects.lastHash;
  if (owesEnd(state, tenant, bytes, start, end, slot, nowMs)) return ErrorCode.OBJECT_REPLICA_BUSY;
  if (slot !== 0 && isAnyHoused(state, slot)) {
    if (group !== null && !isSameGroup(state, slot, group)) return ErrorCode.INVALID_PARAMS;
    slot = yieldTransfer(state, slot, nowMs);
  }
  if (slot !== 0 && !isAnyHoused(state, slot)) {
    eraseObject(state, slot, 0);
    slot = 0;
  }
  if (slot === 0) return beginNew(state, tenant, bytes, start, end, nowMs, sink);
  if (objects.is(slot, ObjectFlag.TRANSFER)) {
    const passes = compactionOf(state, slot) !== null;
    return passes ? ErrorCode.OBJECT_REPLICA_BUSY : ErrorCode.OBJECT_HAS_REPLICATION_TASK;
  }
  if (objects.is(slot, ObjectFlag.OFFLOAD)) {
    if (!isOffloadQueued(state, slot)) return ErrorCode.OBJECT_HAS_REPLICATION_TASK;
    cancelOffload(state, slot);
  }
  if (!preempt(state, slot, nowMs)) return beginNew(state, tenant, bytes, start, end, nowMs, sink);
  state.recency.remove(slot);
  const full = findRoom(state, memoryBytes(state, slot), nowMs);
  if (full !== ErrorCode.OK) {
    relist(state, slot, nowMs);
    return full;
  }
  refuseHolds(state, slot, nowMs);
  dropSharedCopy(state, slot);
  startWrite(state, slot, tenant, bytes, start, end, state.nextReplicaId);
  describeWrite(state, slot, sink);
  return ErrorCode.OK;
}

function isSameGroup(state: CoreState, slot: number, group: Uint8Array): boolean {
  const present = state.groups.of(slot)?.id ?? new Uint8Array(0);
  return present.length === group.length && present.every((byte, i) => byte === group[i]);
}

/** The copy in the shared file system is overwritten in place, so it cannot be read from now on. */
function dropSharedCopy(state: CoreState, slot: number): void {
  const { replicas } = state;
  for (let replica = state.objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    if (replicas.kind(replica) === ReplicaType.DISK) removeReplica(state, slot, replica, 0, false);
    replica = next;
  }
}
