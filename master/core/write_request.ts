/** What a put or upsert asks for, and room for it. */
import { ErrorCode } from "../../proto/error_code.ts";
import { type ReplicateConfig, SoftPinAction } from "../../proto/types.ts";
import { admit } from "./admission.ts";
import type { Writer } from "./api.ts";
import { noteNoPiece } from "./compaction_demand.ts";
import { Counter } from "./counters.ts";
import { makeRoom } from "./eviction.ts";
import { placeReplicas, preferredNames } from "./placement.ts";
import { type CoreState, MAX_REPLICAS } from "./state.ts";

/** Checks a put or upsert of a key and enters what it asks for in `state.request`. */
export function prepareRequest(
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
): ErrorCode {
  const bad = prepareShape(state, writer, tenant, size, config, nowMs);
  if (bad !== ErrorCode.OK) return bad;
  if (start === end) return ErrorCode.INVALID_PARAMS;
  if (!state.models.mayWrite(tenant, bytes, start, end)) return ErrorCode.PERMISSION_DENIED;
  state.request.group = group !== null && group.length > 0 ? group : null;
  return ErrorCode.OK;
}

/** {@linkcode prepareRequest} of what has no key yet, and no group. */
export function prepareShape(
  state: CoreState,
  writer: Writer,
  tenant: number,
  size: number,
  config: ReplicateConfig,
  nowMs: number,
): ErrorCode {
  const { request } = state;
  if (state.config.enableMultiTenants && !state.quotas.isRegistered(tenant)) {
    return ErrorCode.TENANT_NOT_REGISTERED;
  }
  if (size <= 0 || !Number.isSafeInteger(size)) return ErrorCode.INVALID_PARAMS;
  if (config.nofReplicaNum > 0 || config.dfsReplicaNum > 1) return ErrorCode.INVALID_PARAMS;
  if (config.replicaNum <= 0) return ErrorCode.INVALID_PARAMS;
  if (config.dfsReplicaNum > 0) return ErrorCode.DFS_SERVICE_UNAVAILABLE;
  if (config.softPinAction === SoftPinAction.ENABLE) {
    request.softTtlMs = config.softPinTtlMs ?? state.config.defaultKvSoftPinTtlMs;
    if (request.softTtlMs > state.config.maxKvSoftPinTtlMs) return ErrorCode.INVALID_PARAMS;
  } else {
    request.softTtlMs = 0;
    const known = config.softPinAction === SoftPinAction.PRESERVE ||
      config.softPinAction === SoftPinAction.DISABLE;
    if (!known || config.softPinTtlMs !== null) return ErrorCode.INVALID_PARAMS;
  }
  if (config.hostId !== "") state.clients.get(writer.client).hostId = config.hostId;
  const local = state.config.allocationStrategy === "local_first" || config.preferAllocInSameNode;
  request.reserves = false;
  request.tenant = tenant;
  request.writer.client = writer.client;
  request.writer.writeId = writer.writeId;
  request.startMs = nowMs;
  request.size = size;
  request.softAction = config.softPinAction;
  request.hardPin = config.withHardPin;
  request.dataType = config.dataType & 15;
  request.group = null;
  request.wanted = Math.min(config.replicaNum, MAX_REPLICAS);
  request.preferred = preferredNames(config);
  request.writerHost = local && config.replicaNum === 1
    ? state.clients.get(writer.client).hostId
    : "";
  request.onSharedDisk = state.config.fsdir !== "";
  return ErrorCode.OK;
}

/**
 * Finds room for `state.request`, evicting what may be evicted if there is none. `besides` are bytes
 * of the tenant that stay until the write is over: an old version.
 */
export function findRoom(state: CoreState, besides: number, nowMs: number): ErrorCode {
  const { request, counters } = state;
  const over = admit(state, besides, nowMs);
  if (over !== ErrorCode.OK) return over;
  if (placeReplicas(state) === 0) {
    noteNoPiece(state, nowMs);
    if (!makeRoom(state, nowMs)) {
      counters.add(Counter.ALLOCATION_FAILURES, 1);
      return ErrorCode.NO_AVAILABLE_HANDLE;
    }
  }
  if (request.count < request.wanted) counters.add(Counter.PARTIAL_ALLOCATIONS, 1);
  return ErrorCode.OK;
}
