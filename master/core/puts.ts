/** PutStart, PutEnd and PutRevoke; with writes.ts and mutations.ts the life of a version. */
import { ErrorCode } from "../../proto/error_code.ts";
import { type ReplicateConfig, ReplicaType } from "../../proto/types.ts";
import type { Checksum, ReplicaSink, Writer } from "./api.ts";
import { mayCommit, willCommit } from "./commits.ts";
import { describe } from "./describe.ts";
import { heldUntil } from "./holds.ts";
import { relist } from "./leases.ts";
import { LifeEvent } from "./life_log.ts";
import {
  abandonWrite,
  belongsToWrite,
  clearChecksum,
  endWrite,
  eraseObject,
  isOfType,
  owedFor,
  removeReplica,
  settleOwedEnd,
  startWrite,
} from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { offloadAfterPut } from "./offload.ts";
import {
  firstReadable,
  heldByLateBytes,
  heldByReaders,
  isAnyHoused,
  isAnyReachable,
  isHoused,
  softPinAfter,
} from "./queries.ts";
import type { CoreState } from "./state.ts";
import { findRoom, prepareRequest } from "./write_request.ts";

/** Begins a put: describes the replicas that the client is to write. */
export function putStart(
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
  const bad = prepareRequest(state, writer, tenant, bytes, start, end, size, config, group, nowMs);
  if (bad !== ErrorCode.OK) return bad;
  const taken = makeFree(state, tenant, bytes, start, end, nowMs);
  if (taken !== ErrorCode.OK) return taken;
  return beginNew(state, tenant, bytes, start, end, nowMs, sink);
}

/**
 * Makes a key free for the writer of `state.request`, which gets the hash of the key.
 * OBJECT_ALREADY_EXISTS, OBJECT_REPLICA_BUSY.
 */
export function makeFree(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  nowMs: number,
): ErrorCode {
  const slot = state.objects.find(tenant, bytes, start, end);
  state.request.hash = state.objects.lastHash;
  if (slot !== 0 && !isReplaceable(state, slot, nowMs)) return ErrorCode.OBJECT_ALREADY_EXISTS;
  if (owesEnd(state, tenant, bytes, start, end, slot, nowMs)) return ErrorCode.OBJECT_REPLICA_BUSY;
  if (slot !== 0) discard(state, slot, nowMs);
  return ErrorCode.OK;
}

/** Enters `state.request` under a key that is free. */
export function beginNew(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  nowMs: number,
  sink: ReplicaSink,
): ErrorCode {
  state.request.salt = end - start + bytes[end - 1] * 31 + bytes[start] * 17;
  const full = findRoom(state, 0, nowMs);
  if (full !== ErrorCode.OK) return full;
  const slot = startWrite(state, 0, tenant, bytes, start, end, state.nextReplicaId);
  describeWrite(state, slot, sink);
  return ErrorCode.OK;
}

/** Describes the replicas that belong to the object's write. */
export function describeWrite(state: CoreState, slot: number, sink: ReplicaSink): void {
  const { objects, replicas, request } = state;
  sink.begin(request.count + (request.onSharedDisk ? 1 : 0), 0);
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (belongsToWrite(state, slot, replica)) describe(state, slot, replica, sink);
  }
}

/**
 * Completes the replicas of a type that the client has written. OBJECT_REPLICA_BUSY while readers hold
 * the version that is to be replaced: then nothing was done, and it can be tried again.
 */
export function putEnd(
  state: CoreState,
  writer: Writer,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  checksum: Checksum | null,
  replicaType: number,
  nowMs: number,
): ErrorCode {
  const { objects, writes } = state;
  const slot = objects.find(tenant, bytes, start, end);
  const stray = answerStray(state, writer, slot, tenant, bytes, start, end, replicaType, nowMs);
  if (stray !== ErrorCode.OK) return stray;
  const write = objects.link(slot, ObjectLink.WRITE);
  if (write === 0) return isRepeatedEnd(state, slot, replicaType);
  dropLost(state, slot);
  if (objects.link(slot, ObjectLink.WRITE) === 0) {
    relist(state, slot, nowMs);
    return ErrorCode.REPLICA_IS_GONE;
  }
  const commits = !writes.isCommitted(write) && willCommit(state, slot, replicaType);
  if (commits && heldUntil(state, slot, nowMs) !== 0) return ErrorCode.OBJECT_REPLICA_BUSY;
  if (commits) removeOldVersion(state, slot, nowMs);
  const softPin = commits ? softPinAfter(state, slot, nowMs) : 0;
  if (checksum === null && replicaType !== ReplicaType.DISK) clearChecksum(state, slot);
  endWrite(state, slot, replicaType, softPin, secondsOf(state, nowMs), checksum);
  if (state.config.enableOffload && !state.config.offloadOnEvict) {
    offloadAfterPut(state, slot, nowMs);
  }
  relist(state, slot, nowMs);
  return ErrorCode.OK;
}

/**
 * Gives up unfinished replicas; the object goes when nothing is left of it. OBJECT_REPLICA_BUSY as
 * {@linkcode putEnd}, where the rest of the write becomes the object's version.
 */
export function putRevoke(
  state: CoreState,
  writer: Writer,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  replicaType: number,
  nowMs: number,
): ErrorCode {
  const { objects, replicas } = state;
  const slot = objects.find(tenant, bytes, start, end);
  const stray = answerStray(state, writer, slot, tenant, bytes, start, end, replicaType, nowMs);
  if (stray !== ErrorCode.OK) return stray;
  if (objects.link(slot, ObjectLink.WRITE) === 0) return ErrorCode.INVALID_WRITE;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    const ended = belongsToWrite(state, slot, replica) && replicas.isComplete(replica);
    if (ended && isOfType(replicas.kind(replica), replicaType)) return ErrorCode.INVALID_WRITE;
  }
  if (mayCommit(state, slot) && heldUntil(state, slot, nowMs) !== 0) {
    return ErrorCode.OBJECT_REPLICA_BUSY;
  }
  for (let replica = objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    const own = belongsToWrite(state, slot, replica);
    const whole = replicaType === ReplicaType.ALL && replicas.isStaged(replica);
    if (own && (whole || isOfType(replicas.kind(replica), replicaType))) {
      removeReplica(state, slot, replica, heldByLateBytes(state, nowMs), false);
    }
    replica = next;
  }
  settleWrite(state, slot, true, nowMs);
  return ErrorCode.OK;
}

/**
 * Ends an object's unfinished write, if it has one: memory that the writer may still fill is held
 * until the writer's time is up. The object goes when nothing else is left of it. Returns whether
 * the object is still there.
 */
export function preempt(state: CoreState, slot: number, nowMs: number): boolean {
  const { objects, replicas, writes, config } = state;
  const write = objects.link(slot, ObjectLink.WRITE);
  if (write === 0) return true;
  const holdUntilMs = writes.startMs(write) + config.putStartReleaseTimeoutMs;
  for (let replica = objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    if (belongsToWrite(state, slot, replica) && !isPublished(state, slot, replica)) {
      removeReplica(state, slot, replica, holdUntilMs, true);
    }
    replica = next;
  }
  return settleWrite(state, slot, false, nowMs);
}

/**
 * Whether the client that asks has begun a write of a key of which it has not said what became of it,
 * while it numbers none: the end of that one and of another could not be told apart.
 */
export function owesEnd(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  slot: number,
  nowMs: number,
): boolean {
  const { objects, writes, owedEnds, clients, config, request: { writer } } = state;
  if (writer.writeId !== 0) return false;
  const write = slot === 0 ? 0 : objects.link(slot, ObjectLink.WRITE);
  if (write !== 0 && writes.isBy(write, writer) && !writes.isCommitted(write)) {
    return nowMs - writes.startMs(write) <= config.putStartReleaseTimeoutMs;
  }
  if (owedEnds.size === 0) return false;
  const { uuid } = clients.get(writer.client);
  const owed = owedEnds.find(uuid, tenant, bytes, start, end);
  if (owed === undefined) return false;
  if (owed.untilMs > nowMs) return true;
  // It must not be taken for the end of the write that begins now.
  settleOwedEnd(state, owed);
  return false;
}

/** Unix time in seconds. */
export function secondsOf(state: CoreState, nowMs: number): number {
  return Math.floor((nowMs + state.config.epochOffsetMs) / 1000);
}

/**
 * Whether a put may take the place of an object: nothing to read, and either its writer's time is up
 * or only owners that are awaited have it.
 */
function isReplaceable(state: CoreState, slot: number, nowMs: number): boolean {
  if (!isAnyHoused(state, slot)) return true;
  if (firstReadable(state, slot) !== 0) return false;
  const write = state.objects.link(slot, ObjectLink.WRITE);
  if (write === 0) return !isAnyReachable(state, slot);
  if (state.objects.is(slot, ObjectFlag.TRANSFER)) return false;
  return nowMs - state.writes.startMs(write) > state.config.putStartDiscardTimeoutMs;
}

/** Removes an object that {@linkcode isReplaceable}. */
function discard(state: CoreState, slot: number, nowMs: number): void {
  const { objects, replicas, writes, transfers, config } = state;
  const write = objects.link(slot, ObjectLink.WRITE);
  const startMs = write === 0 ? transfers.transfers.get(slot)?.startMs : writes.startMs(write);
  const writtenUntilMs = (startMs ?? 0) + config.putStartReleaseTimeoutMs;
  const readUntilMs = heldByReaders(state, slot, nowMs);
  for (let replica = objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    const written = write !== 0 || replicas.isTarget(replica);
    removeReplica(state, slot, replica, written ? writtenUntilMs : readUntilMs, written);
    replica = next;
  }
  eraseObject(state, slot, 0, write === 0 ? LifeEvent.LOST : LifeEvent.WRITE_EXPIRED);
}

function isRepeatedEnd(state: CoreState, slot: number, replicaType: number): ErrorCode {
  const { objects, replicas } = state;
  let seen = false;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (!isOfType(replicas.kind(replica), replicaType) || !isHoused(state, replica)) continue;
    if (!replicas.isComplete(replica)) return ErrorCode.INVALID_WRITE;
    seen = true;
  }
  return seen ? ErrorCode.OK : ErrorCode.INVALID_WRITE;
}

/**
 * Answers an end or a revoke of a write that is over, or of nobody's; OK = it is about the write that
 * goes on, or, when there is none, about the object's version.
 */
function answerStray(
  state: CoreState,
  writer: Writer,
  slot: number,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  replicaType: number,
  nowMs: number,
): ErrorCode {
  const { objects, writes } = state;
  const write = slot === 0 ? 0 : objects.link(slot, ObjectLink.WRITE);
  const own = write !== 0 && writes.isBy(write, writer);
  const owed = !own && settleOwed(state, writer, tenant, bytes, start, end, replicaType, nowMs);
  if (slot === 0) return ErrorCode.OBJECT_NOT_FOUND;
  if (!isAnyHoused(state, slot)) {
    if (own) {
      const owed = owedFor(state, slot);
      abandonWrite(state, slot, false);
      eraseObject(state, slot, 0);
      // Snapshots leave such an object out and tell that the end is owed.
      if (owed !== null) settleOwedEnd(state, owed);
    }
    return ErrorCode.OBJECT_NOT_FOUND;
  }
  if (own) return ErrorCode.OK;
  const unknown = owed || write !== 0 || writer.writeId !== 0;
  if (unknown || objects.client(slot) !== writer.client) return ErrorCode.ILLEGAL_CLIENT;
  return ErrorCode.OK;
}

/** Takes a call as the end of a write that is over; whether one was owed. */
function settleOwed(
  state: CoreState,
  writer: Writer,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  replicaType: number,
  nowMs: number,
): boolean {
  const { owedEnds, clients } = state;
  if (owedEnds.size === 0 || writer.writeId !== 0 || writer.client === 0) return false;
  if (replicaType === ReplicaType.DISK) return false;
  const owed = owedEnds.find(clients.get(writer.client).uuid, tenant, bytes, start, end);
  if (owed === undefined) return false;
  settleOwedEnd(state, owed);
  return owed.untilMs > nowMs;
}

/** Removes replicas of the write whose segments have gone. */
function dropLost(state: CoreState, slot: number): void {
  const { objects, replicas } = state;
  for (let replica = objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    if (belongsToWrite(state, slot, replica) && !isHoused(state, replica)) {
      removeReplica(state, slot, replica, 0, false);
    }
    replica = next;
  }
  if (!hasWriteReplica(state, slot)) abandonWrite(state, slot, false);
}

/** Removes the replicas of the version that a write is about to replace. */
function removeOldVersion(state: CoreState, slot: number, nowMs: number): void {
  const { objects, replicas } = state;
  if (!objects.is(slot, ObjectFlag.COMMITTED)) return;
  const holdUntilMs = heldByReaders(state, slot, nowMs);
  for (let replica = objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    if (!belongsToWrite(state, slot, replica)) {
      removeReplica(state, slot, replica, holdUntilMs, false);
    }
    replica = next;
  }
}

/**
 * After replicas of a write have gone: ends the write, or the object, if nothing is left of it.
 * `answered` says that its writer asked for that.
 */
function settleWrite(
  state: CoreState,
  slot: number,
  answered: boolean,
  nowMs: number,
): boolean {
  const { objects, replicas, writes } = state;
  if (objects.link(slot, ObjectLink.REPLICA) === 0) {
    if (answered) abandonWrite(state, slot, false);
    eraseObject(state, slot, 0, answered ? LifeEvent.WRITE_REVOKED : LifeEvent.WRITE_EXPIRED);
    return false;
  }
  let unfinished = false;
  let complete = false;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (!belongsToWrite(state, slot, replica)) continue;
    if (replicas.isComplete(replica)) complete = true;
    else unfinished = true;
  }
  if (!unfinished) {
    const write = objects.link(slot, ObjectLink.WRITE);
    if (complete && !writes.isCommitted(write)) {
      const softPin = softPinAfter(state, slot, nowMs);
      endWrite(state, slot, ReplicaType.DISK, softPin, secondsOf(state, nowMs), null);
    } else {
      abandonWrite(state, slot, !answered);
    }
  }
  relist(state, slot, nowMs);
  return true;
}

function hasWriteReplica(state: CoreState, slot: number): boolean {
  const { objects, replicas } = state;
  let replica = objects.link(slot, ObjectLink.REPLICA);
  while (replica !== 0 && !belongsToWrite(state, slot, replica)) replica = replicas.next(replica);
  return replica !== 0;
}

/** Whether a replica of a write belongs to a version that readers already have. */
function isPublished(state: CoreState, slot: number, replica: number): boolean {
  const write = state.objects.link(slot, ObjectLink.WRITE);
  return state.writes.isCommitted(write) && state.replicas.isComplete(replica);
}
