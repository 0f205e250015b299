/**
 * The only code that changes durable state. Each function changes it and, when the core keeps a
 * journal, appends one fact with the outcome; a follower applies the fact through the same function.
 * Nothing here decides anything: extents, ids and times come in as arguments.
 */
import { ReplicaStatus, ReplicaType } from "../../proto/types.ts";
import { ExtentState } from "./allocator.ts";
import type { Checksum } from "./api.ts";
import { Counter } from "./counters.ts";
import { noteErased } from "./holds.ts";
import { LifeEvent } from "./life_log.ts";
import { noteLife } from "./lives.ts";
import { refreshKinds } from "./object_kinds.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { abandonOffload, cancelPromotion } from "./offload_queue.ts";
import { orderFence } from "./order_fence.ts";
import type { OwedEnd } from "./owed_ends.ts";
import type { CoreState } from "./state.ts";
import { type Transfer, TransferKind } from "./transfers.ts";

/** Names the client in the journal before the first fact that refers to it. */
export function retainClient(state: CoreState, client: number): void {
  if (state.clients.retain(client)) state.facts?.clientAdded(client);
}

/** Brings an object without a write into being, for data that a client found on its disk. */
export function addObject(
  state: CoreState,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  client: number,
  size: number,
  sinceSeconds: number,
): number {
  const { objects } = state;
  retainClient(state, client);
  const slot = objects.insert(tenant, bytes, start, end);
  objects.setClient(slot, client);
  objects.setSize(slot, size);
  objects.setSince(slot, sinceSeconds);
  objects.set(slot, ObjectFlag.COMMITTED);
  state.facts?.objectAdded(slot);
  return slot;
}

/**
 * Enters `state.request` as the write of an object, with its extents as unfinished replicas. `slot`
 * 0 brings the object into being under `bytes[start, end)`; otherwise the object must have no write,
 * and the replicas stay invisible until the write ends. `firstId` names the first replica.
 */
export function startWrite(
  state: CoreState,
  slot: number,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  firstId: number,
): number {
  const { objects, writes, request } = state;
  const { client } = request.writer;
  const created = slot === 0;
  retainClient(state, client);
  if (created) {
    slot = request.reserves
      ? objects.insertReserved(tenant, bytes.subarray(start, end))
      : objects.insertHashed(request.hash, tenant, bytes, start, end);
    retainClient(state, client);
    objects.setClient(slot, client);
    objects.setSize(slot, request.size);
    objects.setDataType(slot, request.dataType);
    if (request.hardPin) objects.set(slot, ObjectFlag.HARD_PIN);
    if (request.group !== null) state.groups.join(slot, tenant, request.group);
  }
  const write = writes.begin(slot, request.writer, request.startMs, request.size);
  writes.setOptions(
    write,
    request.softAction,
    request.softTtlMs,
    request.hardPin,
    request.dataType,
  );
  objects.setLink(slot, ObjectLink.WRITE, write);
  for (let i = 0; i < request.count; i++) {
    const extent = request.extents[i];
    const replica = state.replicas.create(
      firstId + i,
      slot,
      ReplicaType.MEMORY,
      ReplicaStatus.PROCESSING,
      request.size,
      state.extents.segment(extent),
      extent,
    );
    attach(state, slot, replica, !created);
  }
  if (request.onSharedDisk) {
    const replica = state.replicas.create(
      firstId + request.count,
      slot,
      ReplicaType.DISK,
      ReplicaStatus.PROCESSING,
      request.size,
      0,
      0,
    );
    attach(state, slot, replica, !created);
  }
  raiseReplicaId(state, firstId + request.count + (request.onSharedDisk ? 1 : 0));
  if (request.reserves) objects.reserved.begin(slot, client, request.size * request.count);
  state.recency.remove(slot);
  state.facts?.writeStarted(slot, created);
  return slot;
}

/**
 * Completes the write's unfinished replicas of a type (`ALL` = memory). The first time that memory
 * completes, or the shared disk if there is no memory, the version becomes the object's; replicas of
 * an older version must have been removed before. The write is over once nothing is unfinished.
 * A `checksum` becomes the object's; `null` leaves it as it is.
 */
export function endWrite(
  state: CoreState,
  slot: number,
  replicaType: number,
  softPinUntilMs: number,
  sinceSeconds: number,
  checksum: Checksum | null,
): void {
  const { objects, replicas, writes } = state;
  const write = objects.link(slot, ObjectLink.WRITE);
  let unfinished = 0;
  let memory = 0;
  const wasCommitted = writes.isCommitted(write);
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (!belongsToWrite(state, slot, replica)) continue;
    if (!replicas.isComplete(replica) && isOfType(replicas.kind(replica), replicaType)) {
      replicas.setStatus(replica, ReplicaStatus.COMPLETE);
    }
    if (!replicas.isComplete(replica)) unfinished++;
    if (replicas.isMemory(replica)) memory += replicas.isComplete(replica) ? 1 : 1 << 16;
  }
  const readable = memory === 0 ? unfinished === 0 : (memory & 0xffff) > 0;
  if (readable && !wasCommitted) {
    if (objects.is(slot, ObjectFlag.COMMITTED)) noteLife(state, slot, LifeEvent.REPLACED);
    commit(state, slot, write);
    objects.setSince(slot, sinceSeconds);
    setSoftPin(state, slot, softPinUntilMs);
  }
  if (checksum !== null) objects.setChecksum(slot, checksum.low, checksum.high);
  state.facts?.writeEnded(slot, replicaType, softPinUntilMs, checksum);
  if (unfinished === 0) dropWrite(state, slot);
  refreshKinds(state, slot);
}

/**
 * Ends the write of an object without completing anything; its replicas must be gone. `endOwed` says
 * that its writer does not know and will still end or revoke it.
 */
export function abandonWrite(state: CoreState, slot: number, endOwed: boolean): void {
  state.facts?.writeAbandoned(slot, endOwed);
  if (endOwed) oweEnd(state, slot);
  dropWrite(state, slot);
}

/** Notes that an end which was owed has come, or is not expected any more. */
export function settleOwedEnd(state: CoreState, owed: OwedEnd): void {
  state.owedEnds.delete(owed);
  state.facts?.endSettled(owed);
}

/** Adds a replica outside of a write. `place` is its extent or its disk entry. */
export function addReplica(
  state: CoreState,
  slot: number,
  id: number,
  kind: ReplicaType,
  status: ReplicaStatus,
  size: number,
  place: number,
): number {
  const segment = kind === ReplicaType.MEMORY ? state.extents.segment(place) : 0;
  const replica = state.replicas.create(id, slot, kind, status, size, segment, place);
  attach(state, slot, replica, false);
  if (status === ReplicaStatus.PROCESSING) state.replicas.setTarget(replica, true);
  raiseReplicaId(state, id + 1);
  state.facts?.replicaAdded(slot, replica);
  refreshKinds(state, slot);
  return replica;
}

export function completeReplica(state: CoreState, slot: number, replica: number): void {
  noteLife(state, slot, LifeEvent.REPLICATED);
  state.replicas.setStatus(replica, ReplicaStatus.COMPLETE);
  state.replicas.setTarget(replica, false);
  state.facts?.replicaCompleted(slot, replica);
  refreshKinds(state, slot);
}

/** Changes where a replica on a client's disk is served, and its size. */
export function moveDiskReplica(
  state: CoreState,
  slot: number,
  replica: number,
  endpoint: string,
  size: number,
): void {
  const entry = state.replicas.place(replica);
  const grown = size - state.replicas.size(replica);
  state.disks.disk(entry).usedBytes += grown;
  state.counters.add(Counter.DISK_BYTES, grown);
  state.disks.setEndpoint(entry, endpoint);
  state.replicas.setSize(replica, size);
  state.facts?.replicaEndpoint(slot, replica);
}

/**
 * Removes a replica. Its extent is free at once when `holdUntilMs` is 0, else from that time on;
 * `discarded` says that it is held because of a writer, not of readers.
 */
export function removeReplica(
  state: CoreState,
  slot: number,
  replica: number,
  holdUntilMs: number,
  discarded: boolean,
): void {
  state.facts?.replicaRemoved(slot, replica, holdUntilMs, discarded);
  const { objects, replicas } = state;
  const next = replicas.next(replica);
  let before = objects.link(slot, ObjectLink.REPLICA);
  if (before === replica) {
    objects.setLink(slot, ObjectLink.REPLICA, next);
  } else {
    while (replicas.next(before) !== replica) before = replicas.next(before);
    replicas.setNext(before, next);
  }
  releaseStorage(state, replica, holdUntilMs, discarded);
  replicas.release(replica);
  refreshKinds(state, slot);
}

/**
 * Removes an object with everything that belongs to it; extents as in {@linkcode removeReplica}. The
 * end of a write that it still has is owed. `reason` is for people who ask what became of the key.
 */
export function eraseObject(
  state: CoreState,
  slot: number,
  holdUntilMs: number,
  reason: LifeEvent = LifeEvent.LOST,
): void {
  noteErased(state, slot);
  noteLife(state, slot, reason);
  state.facts?.objectErased(slot, holdUntilMs);
  const { objects, replicas } = state;
  abandonOffload(state, slot);
  for (let replica = objects.link(slot, ObjectLink.REPLICA); replica !== 0;) {
    const next = replicas.next(replica);
    releaseStorage(state, replica, holdUntilMs, false);
    replicas.release(replica);
    replica = next;
  }
  objects.setLink(slot, ObjectLink.REPLICA, 0);
  refreshKinds(state, slot);
  state.recency.remove(slot);
  if (objects.link(slot, ObjectLink.WRITE) !== 0) {
    oweEnd(state, slot);
    dropWrite(state, slot);
  }
  const transfer = state.transfers.transfers.get(slot);
  if (transfer !== undefined) dropTransfer(state, transfer);
  setSoftPin(state, slot, 0);
  state.groups.leave(slot);
  const client = objects.client(slot);
  objects.erase(slot);
  state.clients.release(client);
}

/** Sets the object's checksum outside of the end of a write. */
export function setChecksum(state: CoreState, slot: number, { low, high }: Checksum): void {
  state.objects.setChecksum(slot, low, high);
  state.facts?.checksumSet(slot);
}

/** Takes the object's checksum away, if it has one. */
export function clearChecksum(state: CoreState, slot: number): void {
  if (!state.objects.is(slot, ObjectFlag.CHECKSUM)) return;
  state.objects.clearChecksum(slot);
  state.facts?.checksumSet(slot);
}

/** Ends a soft pin before or at its time. */
export function endSoftPin(state: CoreState, slot: number): void {
  state.facts?.softPinSet(slot, 0);
  setSoftPin(state, slot, 0);
}

/** Registers a transfer and pins the replica that it reads. */
export function startTransfer(state: CoreState, transfer: Transfer): void {
  const { objects, replicas } = state;
  retainClient(state, transfer.client);
  if (transfer.kind === TransferKind.PROMOTION) state.counters.add(Counter.PROMOTIONS_IN_FLIGHT, 1);
  state.transfers.transfers.set(transfer.slot, transfer);
  const source = replicaById(state, transfer.slot, transfer.source);
  if (source !== 0) replicas.setPins(source, replicas.pins(source) + 1);
  objects.set(transfer.slot, ObjectFlag.TRANSFER);
  state.recency.remove(transfer.slot);
  state.facts?.transferStarted(transfer);
}

/** Ends a transfer, whatever became of it. */
export function endTransfer(state: CoreState, transfer: Transfer): void {
  state.facts?.transferEnded(transfer.slot);
  dropTransfer(state, transfer);
}

/** The replica of an object with an id, or 0; slot 0 has none. */
export function replicaById(state: CoreState, slot: number, id: number): number {
  const { replicas } = state;
  let replica = slot === 0 ? 0 : state.objects.link(slot, ObjectLink.REPLICA);
  while (replica !== 0 && replicas.id(replica) !== id) replica = replicas.next(replica);
  return replica;
}

/** Whether a replica was brought in by the object's write. */
export function belongsToWrite(state: CoreState, slot: number, replica: number): boolean {
  if (state.replicas.isStaged(replica)) return true;
  if (state.replicas.isTarget(replica)) return false;
  if (state.replicas.kind(replica) === ReplicaType.LOCAL_DISK) return false;
  const write = state.objects.link(slot, ObjectLink.WRITE);
  const firstVersion = !state.objects.is(slot, ObjectFlag.COMMITTED);
  return write !== 0 && (firstVersion || state.writes.isCommitted(write));
}

/** Whether a call about `type` is about replicas of `kind`; `ALL` does not cover disks. */
export function isOfType(kind: ReplicaType, type: number): boolean {
  return type === ReplicaType.ALL ? kind === ReplicaType.MEMORY : kind === type;
}

function commit(state: CoreState, slot: number, write: number): void {
  const { objects, replicas, writes } = state;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    replicas.setStaged(replica, false);
  }
  objects.setSize(slot, writes.size(write));
  objects.setDataType(slot, writes.dataType(write));
  if (writes.hardPin(write)) objects.set(slot, ObjectFlag.HARD_PIN);
  objects.set(slot, ObjectFlag.COMMITTED);
  const client = writes.client(write);
  const earlier = objects.client(slot);
  if (client !== earlier) {
    state.clients.retain(client);
    objects.setClient(slot, client);
    state.clients.release(earlier);
  }
  writes.setCommitted(write);
}

/** The end that is owed once the write of an object is over without it, or `null`. */
export function owedFor(state: CoreState, slot: number): OwedEnd | null {
  const { objects, writes, clients, config } = state;
  const write = objects.link(slot, ObjectLink.WRITE);
  if (writes.writeId(write) !== 0 || writes.isCommitted(write)) return null;
  return {
    client: clients.get(writes.client(write)).uuid,
    tenant: objects.tenant(slot),
    key: objects.key(slot),
    untilMs: writes.startMs(write) + config.putStartReleaseTimeoutMs,
  };
}

function oweEnd(state: CoreState, slot: number): void {
  const owed = owedFor(state, slot);
  if (owed !== null) state.owedEnds.add(owed);
}

function dropWrite(state: CoreState, slot: number): void {
  const write = state.objects.link(slot, ObjectLink.WRITE);
  const client = state.writes.client(write);
  state.objects.setLink(slot, ObjectLink.WRITE, 0);
  state.writes.end(write);
  state.clients.release(client);
}

function dropTransfer(state: CoreState, transfer: Transfer): void {
  if (transfer.kind === TransferKind.PROMOTION) cancelPromotion(state, transfer);
  state.transfers.transfers.delete(transfer.slot);
  const source = replicaById(state, transfer.slot, transfer.source);
  if (source !== 0) state.replicas.setPins(source, state.replicas.pins(source) - 1);
  state.objects.clear(transfer.slot, ObjectFlag.TRANSFER);
  state.clients.release(transfer.client);
}

/** Sets the end of the soft pin, 0 = none, without telling it. */
export function setSoftPin(state: CoreState, slot: number, untilMs: number): void {
  const { objects, counters } = state;
  const was = objects.is(slot, ObjectFlag.SOFT_PIN);
  objects.setSoftPinUntil(slot, untilMs);
  if (untilMs === 0) {
    objects.clear(slot, ObjectFlag.SOFT_PIN);
    if (was) counters.add(Counter.SOFT_PINNED, -1);
    return;
  }
  objects.set(slot, ObjectFlag.SOFT_PIN);
  if (!was) counters.add(Counter.SOFT_PINNED, 1);
  queueSoftPin(state, slot, untilMs);
}

/** Has the slot looked at when the pin ends. A slot that waits already is not entered again. */
export function queueSoftPin(state: CoreState, slot: number, untilMs: number): void {
  const queuedMs = state.objects.softPinQueued(slot);
  if (queuedMs !== 0 && queuedMs <= untilMs) return;
  state.objects.setSoftPinQueued(slot, untilMs);
  state.softPins.push(untilMs, slot, 0);
}

/** Appends a replica to its object's chain and marks its storage as owned. */
function attach(state: CoreState, slot: number, replica: number, staged: boolean): void {
  const { objects, replicas, extents, counters } = state;
  let last = objects.link(slot, ObjectLink.REPLICA);
  if (last === 0) {
    objects.setLink(slot, ObjectLink.REPLICA, replica);
  } else {
    for (let next = last; next !== 0; next = replicas.next(next)) last = next;
    replicas.setNext(last, replica);
  }
  if (staged) replicas.setStaged(replica, true);
  const place = replicas.place(replica);
  if (replicas.isMemory(replica)) {
    extents.setOwner(place, replica);
    const entry = state.segments.at(replicas.segment(replica));
    counters.add(Counter.ALLOCATED_BYTES, extents.units(place) * entry.unitBytes);
    state.quotas.charge(objects.tenant(slot), replicas.size(replica));
  } else {
    counters.add(Counter.DISK_BYTES, replicas.size(replica));
    if (place !== 0) {
      state.disks.setReplica(place, replica);
      state.disks.disk(place).usedBytes += replicas.size(replica);
    }
  }
}

function releaseStorage(
  state: CoreState,
  replica: number,
  holdUntilMs: number,
  discarded: boolean,
): void {
  const { replicas, extents, counters } = state;
  const place = replicas.place(replica);
  if (!replicas.isMemory(replica)) {
    counters.add(Counter.DISK_BYTES, -replicas.size(replica));
    if (place !== 0) {
      state.disks.disk(place).usedBytes -= replicas.size(replica);
      state.disks.release(place);
    }
    return;
  }
  state.quotas.charge(state.objects.tenant(replicas.slot(replica)), -replicas.size(replica));
  const entry = state.segments.at(replicas.segment(replica));
  const alive = state.segments.isAlive(entry.index);
  const bytes = extents.units(place) * entry.unitBytes;
  if (alive) counters.add(Counter.ALLOCATED_BYTES, -bytes);
  if (holdUntilMs === 0 || !alive) {
    entry.allocator.free(place);
    return;
  }
  const ticket = state.quarantine.add(place, holdUntilMs);
  entry.allocator.hold(place, discarded ? ExtentState.DISCARDED : ExtentState.HELD, ticket);
  counters.add(Counter.HELD_BYTES, bytes);
  if (discarded) {
    orderFence(state, place, ticket, writerOf(state, replica));
    counters.add(Counter.WRITES_DISCARDED, 1);
    counters.add(Counter.DISCARDED_BYTES, bytes);
  }
}

/** The client that may still be writing a replica, 0 = it is not known. */
function writerOf({ replicas, objects, writes, transfers }: CoreState, replica: number): number {
  const slot = replicas.slot(replica);
  if (replicas.isTarget(replica)) return transfers.transfers.get(slot)?.client ?? 0;
  const write = objects.link(slot, ObjectLink.WRITE);
  return write === 0 ? 0 : writes.client(write);
}

function raiseReplicaId(state: CoreState, next: number): void {
  if (next > state.nextReplicaId) state.nextReplicaId = next;
}
