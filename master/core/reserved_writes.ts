/**
 * Memory that clients reserve for their next puts, so that a put is its transfer and one call. A
 * reservation is the unfinished write of an object that has no key yet; the end of a put gives it one.
 * See `docs/decisions/0015-puts-into-reserved-memory.md`.
 */
import { ErrorCode } from "../../proto/error_code.ts";
import { type ReplicateConfig, ReplicaType } from "../../proto/types.ts";
import type { Checksum, CoreConfig, ReplicaSink, Writer } from "./api.ts";
import { Counter } from "./counters.ts";
import { heldKeyUntil } from "./holds.ts";
import { LifeEvent } from "./life_log.ts";
import { eraseObject, startWrite } from "./mutations.ts";
import { ObjectLink } from "./objects.ts";
import { placeAtEase } from "./placement.ts";
import { describeWrite, makeFree, preempt, putEnd } from "./puts.ts";
import { heldByLateBytes, isAnyHoused } from "./queries.ts";
import { nameWrite } from "./reservation_mutations.ts";
import type { CoreState } from "./state.ts";
import { hasQuotaFor } from "./tenant_quota.ts";
import { prepareShape } from "./write_request.ts";

/** For how long a reservation is kept, and its share of the time of an unfinished write at most. */
const KEPT_MS = 10_000;
const KEPT_SHARE = 1 / 3;
/** Share of that in which the client has to begin its write; the rest is for the bytes and the call. */
const USE_SHARE = 1 / 2;
/** Reservations of one client. */
const MOST_OF_CLIENT = 32;
/** Reservations that one tick gives up. */
const BUDGET = 512;

/** Milliseconds after which the master takes a reservation back. */
export function keptMs({ putStartDiscardTimeoutMs }: CoreConfig): number {
  return Math.min(KEPT_MS, Math.floor(putStartDiscardTimeoutMs * KEPT_SHARE));
}

/** Milliseconds within which the client has to begin to write into a reservation. */
export function useWithinMs(config: CoreConfig): number {
  return Math.floor(keptMs(config) * USE_SHARE);
}

/**
 * Reserves memory for a put by `writer` that has not begun, under the number of its write, and
 * describes it. It is given only what nobody misses: NO_AVAILABLE_HANDLE where something would have to
 * be evicted, or the watermark, the share of reservations or a quota would be passed. INVALID_PARAMS,
 * TENANT_NOT_REGISTERED, DFS_SERVICE_UNAVAILABLE.
 */
export function reserveWrite(
  state: CoreState,
  writer: Writer,
  tenant: number,
  size: number,
  config: ReplicateConfig,
  nowMs: number,
  sink: ReplicaSink,
): ErrorCode {
  const { request, objects, counters } = state;
  if (writer.writeId === 0 || config.groupIds !== null) return ErrorCode.INVALID_PARAMS;
  const bad = prepareShape(state, writer, tenant, size, config, nowMs);
  if (bad !== ErrorCode.OK) return bad;
  const name = nameOf(state, writer);
  request.salt = state.nextReplicaId;
  const known = objects.reserved.find(name) !== 0;
  if (known || request.onSharedDisk || !hasRoom(state, tenant) || !placeAtEase(state)) {
    counters.add(Counter.RESERVATIONS_REFUSED, 1);
    return ErrorCode.NO_AVAILABLE_HANDLE;
  }
  request.reserves = true;
  const slot = startWrite(state, 0, tenant, name, 0, name.length, state.nextReplicaId);
  request.reserves = false;
  counters.add(Counter.RESERVATIONS, 1);
  describeWrite(state, slot, sink);
  return ErrorCode.OK;
}

/**
 * Ends the put of a key whose value was written into the writer's reservation: it becomes the write of
 * the key, and is completed as by {@linkcode putEnd}. INVALID_WRITE when there is no such reservation,
 * or its memory is gone; OBJECT_ALREADY_EXISTS, PERMISSION_DENIED, TENANT_NOT_REGISTERED and
 * INVALID_PARAMS as of a put, OBJECT_REPLICA_BUSY while readers hold a lost object of the key, and then
 * it is there still.
 */
export function endReserved(
  state: CoreState,
  writer: Writer,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  checksum: Checksum | null,
  nowMs: number,
): ErrorCode {
  const { objects, request, counters } = state;
  const slot = find(state, writer, tenant);
  if (slot === 0) return ErrorCode.INVALID_WRITE;
  if (state.config.enableMultiTenants && !state.quotas.isRegistered(tenant)) {
    return ErrorCode.TENANT_NOT_REGISTERED;
  }
  if (start === end) return ErrorCode.INVALID_PARAMS;
  if (!state.models.mayWrite(tenant, bytes, start, end)) return ErrorCode.PERMISSION_DENIED;
  if (!isAnyHoused(state, slot)) {
    drop(state, slot, 0);
    return ErrorCode.INVALID_WRITE;
  }
  request.writer.client = writer.client;
  request.writer.writeId = writer.writeId;
  request.size = objects.size(slot);
  const taken = makeFree(state, tenant, bytes, start, end, nowMs);
  if (taken !== ErrorCode.OK) return taken;
  if (heldKeyUntil(state, request.hash, nowMs) !== 0) return ErrorCode.OBJECT_REPLICA_BUSY;
  nameWrite(state, slot, bytes, start, end);
  counters.add(Counter.RESERVATIONS_USED, 1);
  return putEnd(state, writer, tenant, bytes, start, end, checksum, ReplicaType.ALL, nowMs);
}

/**
 * Takes a reservation back that its client does not want any more. `written` says that the client may
 * have begun to write into it.
 */
export function giveBack(
  state: CoreState,
  writer: Writer,
  tenant: number,
  written: boolean,
  nowMs: number,
): void {
  const slot = find(state, writer, tenant);
  if (slot !== 0) drop(state, slot, written ? heldByLateBytes(state, nowMs) : 0);
}

/** Gives up reservations that were kept long enough. Returns whether there are more. */
export function expireReservations(state: CoreState, nowMs: number): boolean {
  const { counters, objects: { reserved } } = state;
  counters.values[Counter.RESERVED_BYTES] = reserved.bytes;
  for (let i = 0; i < BUDGET; i++) {
    if (nextExpiryMs(state) > nowMs) return false;
    preempt(state, reserved.oldest, nowMs);
    counters.add(Counter.RESERVATIONS_EXPIRED, 1);
  }
  return true;
}

/** When the next reservation is given up; `Infinity` = there is none. */
export function nextExpiryMs({ objects, writes, config }: CoreState): number {
  const slot = objects.reserved.oldest;
  if (slot === 0) return Infinity;
  return writes.startMs(objects.link(slot, ObjectLink.WRITE)) + keptMs(config);
}

/** Whether what `state.request` asks for can be had without anybody missing it. */
function hasRoom(state: CoreState, tenant: number): boolean {
  const { objects: { reserved }, request, counters, config } = state;
  const bytes = request.size * request.wanted;
  const capacity = counters.get(Counter.CAPACITY_BYTES);
  const allocated = counters.get(Counter.ALLOCATED_BYTES);
  return useWithinMs(config) > 0 && state.wantedBytes <= 0 &&
    reserved.countOf(request.writer.client) < MOST_OF_CLIENT &&
    reserved.bytes + bytes <= config.maxReservedShare * capacity &&
    allocated + bytes <= config.evictionHighWatermarkRatio * capacity &&
    hasQuotaFor(state, tenant, bytes);
}

/** The slot of a client's reservation, or 0. */
function find(state: CoreState, writer: Writer, tenant: number): number {
  if (writer.client === 0 || state.objects.reserved.size === 0) return 0;
  const slot = state.objects.reserved.find(nameOf(state, writer));
  return slot !== 0 && state.objects.tenant(slot) === tenant ? slot : 0;
}

function nameOf({ clients, objects }: CoreState, { client, writeId }: Writer): Uint8Array {
  return objects.reserved.nameOf(clients.get(client).bytes, writeId);
}

function drop(state: CoreState, slot: number, holdUntilMs: number): void {
  eraseObject(state, slot, holdUntilMs, LifeEvent.WRITE_REVOKED);
}
