/** Copies on the disks of clients: who is to store what, and what they have stored. */
import { ErrorCode } from "../../proto/error_code.ts";
import {
  type OffloadTaskItem,
  ReplicaStatus,
  ReplicaType,
  type StorageObjectMetadata,
} from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import type { Disk } from "./disks.ts";
import { dropIdleMemory } from "./drop_memory.ts";
import { relist } from "./leases.ts";
import { killDisk, mountDisk } from "./mount_mutations.ts";
import { addObject, addReplica, eraseObject, moveDiskReplica } from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { cancelOffload, isUnwanted } from "./offload_queue.ts";
import { isAnyHoused, isReadable } from "./queries.ts";
import type { CoreState } from "./state.ts";
import { NO_TENANT } from "./tenants.ts";

/** Registers the disk of a client. Repeating it changes nothing. */
export function mountLocalDisk(state: CoreState, client: number, enabled: boolean): ErrorCode {
  if (!state.config.enableOffload) return ErrorCode.UNABLE_OFFLOAD;
  const disk = state.disks.of(client) ?? mountDisk(state, client, enabled);
  disk.awaiting = false;
  state.clients.see(client);
  return ErrorCode.OK;
}

export function unmountLocalDisk(state: CoreState, client: number): ErrorCode {
  if (!state.config.enableOffload) return ErrorCode.UNABLE_OFFLOAD;
  const disk = state.disks.of(client);
  if (disk !== null) killDisk(state, disk);
  return ErrorCode.OK;
}

export function reportDiskCapacity(state: CoreState, client: number, bytes: number): ErrorCode {
  if (bytes < 0) return ErrorCode.INVALID_PARAMS;
  const disk = state.disks.of(client);
  if (disk === null) return ErrorCode.SEGMENT_NOT_FOUND;
  state.counters.add(Counter.DISK_CAPACITY_BYTES, bytes - disk.capacityBytes);
  disk.capacityBytes = bytes;
  return ErrorCode.OK;
}

/** The objects that a client is to store; each is handed out once. `null` = no such disk. */
export function offloadHeartbeat(
  state: CoreState,
  client: number,
  enabled: boolean,
  nowMs: number,
): OffloadTaskItem[] | null {
  const disk = state.disks.of(client);
  if (disk === null) return null;
  disk.enabled = enabled;
  disk.awaiting = false;
  const slots = Array.from(disk.offloads);
  disk.offloads.clear();
  if (enabled) return slots.map((slot) => taskItem(state, slot));
  for (const slot of slots) {
    cancelOffload(state, slot);
    relist(state, slot, nowMs);
  }
  return [];
}

/** Whether a client is to wipe its disk; `true` once. `null` = no such disk. */
export function pollRemoveAll(state: CoreState, client: number): boolean | null {
  const disk = state.disks.of(client);
  if (disk === null) return null;
  const { removeAll } = disk;
  disk.removeAll = false;
  return removeAll;
}

/**
 * Notes what a client has stored. A size of -1 means that it could not; objects that the master does
 * not know come into being, for that is how a client reports what it finds after a restart.
 */
export function notifyOffload(
  state: CoreState,
  client: number,
  tasks: readonly OffloadTaskItem[],
  results: readonly StorageObjectMetadata[],
  nowMs: number,
): ErrorCode {
  if (tasks.length !== results.length) return ErrorCode.INVALID_PARAMS;
  const disk = state.disks.of(client);
  for (const { transportEndpoint } of results) {
    state.segments.noteText(new TextEncoder().encode(transportEndpoint).length);
  }
  let refused = false;
  for (const [i, task] of tasks.entries()) {
    const tenant = tenantOf(state, task);
    let slot = state.objects.find(tenant, task.key, 0, task.key.length);
    const offload = slot === 0 ? undefined : state.transfers.offloads.get(slot);
    const asked = offload !== undefined && offload.client === client;
    if (asked) cancelOffload(state, slot);
    const unwanted = tenant === NO_TENANT || isUnwanted(state, client, tenant, task.key);
    const stored = results[i].dataSize > 0 && task.key.length > 0 && !unwanted &&
      disk?.removeAll !== true;
    if (stored && disk !== null) slot = noteStored(state, disk, slot, task, results[i], nowMs);
    else if (stored) refused = true;
    if (!asked) continue;
    const idle = state.objects.leaseUntil(slot) <= nowMs;
    if (stored && idle && offload.forEviction && isPressed(state)) {
      dropIdleMemory(state, slot, nowMs);
    } else {
      relist(state, slot, nowMs);
    }
  }
  return refused ? ErrorCode.SEGMENT_NOT_FOUND : ErrorCode.OK;
}

/** Asks the owner of a replica to store a version that has just been put. */
export function offloadAfterPut(state: CoreState, slot: number, nowMs: number): void {
  if (state.objects.is(slot, ObjectFlag.OFFLOAD | ObjectFlag.TRANSFER)) return;
  enqueue(state, slot, false, nowMs);
}

/**
 * Has an object written to disk before its memory is given up. `true` = what memory is idle now may
 * go: the object is on a disk, or one of its replicas is kept for the writing, or must be lost.
 */
export function offloadBeforeEviction(state: CoreState, slot: number, nowMs: number): boolean {
  const { counters, config } = state;
  if (hasLocalDisk(state, slot)) return true;
  const cap = config.offloadingQueueLimit * config.offloadCapRatio;
  if (config.offloadForceEvict && state.transfers.offloads.size >= cap) return true;
  if (!enqueue(state, slot, true, nowMs)) return config.offloadForceEvict;
  counters.add(Counter.OFFLOADS_FOR_EVICTION, 1);
  return true;
}

/** An object as the queues of clients name it. */
export function taskItem(state: CoreState, slot: number): OffloadTaskItem {
  const { objects, tenants } = state;
  return {
    tenantId: tenants.name(objects.tenant(slot)),
    key: objects.key(slot),
    size: objects.size(slot),
  };
}

/** The object's first replica on a client's disk, or 0. */
export function localDiskReplica(state: CoreState, slot: number): number {
  const { replicas } = state;
  let replica = state.objects.link(slot, ObjectLink.REPLICA);
  while (
    replica !== 0 &&
    !(replicas.kind(replica) === ReplicaType.LOCAL_DISK && isReadable(state, replica))
  ) {
    replica = replicas.next(replica);
  }
  return replica;
}

function hasLocalDisk(state: CoreState, slot: number): boolean {
  return localDiskReplica(state, slot) !== 0;
}

/** Puts an object into the queue of the first owner of a replica that takes it. */
function enqueue(state: CoreState, slot: number, forEviction: boolean, nowMs: number): boolean {
  const { objects, replicas, extents } = state;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (!replicas.isMemory(replica) || !isReadable(state, replica)) continue;
    const entry = state.segments.at(replicas.segment(replica));
    const disk = state.disks.of(entry.owner);
    if (disk === null || !disk.enabled) continue;
    if (disk.offloads.size >= state.config.offloadingQueueLimit) continue;
    const bytes = extents.units(replicas.place(replica)) * entry.unitBytes;
    disk.offloads.add(slot);
    state.transfers.offloads.set(slot, {
      slot,
      source: replicas.id(replica),
      startMs: nowMs,
      client: entry.owner,
      bytes,
      forEviction,
    });
    if (forEviction) state.offloadingBytes += bytes;
    replicas.setPins(replica, replicas.pins(replica) + 1);
    objects.set(slot, ObjectFlag.OFFLOAD);
    state.recency.remove(slot);
    return true;
  }
  return false;
}

/** Enters what a client has on its disk. Returns the object's slot. */
function noteStored(
  state: CoreState,
  disk: Disk,
  slot: number,
  task: OffloadTaskItem,
  result: StorageObjectMetadata,
  nowMs: number,
): number {
  const { objects, replicas } = state;
  if (slot !== 0 && !isAnyHoused(state, slot)) {
    eraseObject(state, slot, 0);
    slot = 0;
  }
  if (slot === 0) {
    const since = Math.floor((nowMs + state.config.epochOffsetMs) / 1000);
    const { key } = task;
    const tenant = tenantOf(state, task);
    slot = addObject(state, tenant, key, 0, key.length, disk.client, result.dataSize, since);
  } else if (!objects.is(slot, ObjectFlag.COMMITTED) || objects.size(slot) !== result.dataSize) {
    return slot;
  }
  const present = localDiskReplica(state, slot);
  if (present === 0) {
    addReplica(
      state,
      slot,
      state.nextReplicaId,
      ReplicaType.LOCAL_DISK,
      ReplicaStatus.COMPLETE,
      result.dataSize,
      state.disks.add(disk, result.transportEndpoint),
    );
  } else if (state.disks.disk(replicas.place(present)) === disk) {
    moveDiskReplica(state, slot, present, result.transportEndpoint, result.dataSize);
  }
  return slot;
}

/** The tenant of a reported object; everybody's while there is only one name space. */
function tenantOf(state: CoreState, { tenantId }: OffloadTaskItem): number {
  if (!state.config.enableMultiTenants) return 0;
  if (tenantId.length === 0) return NO_TENANT;
  const tenant = state.tenants.find(tenantId, 0, tenantId.length);
  return tenant < 0 ? NO_TENANT : tenant;
}

function isPressed(state: CoreState): boolean {
  const { counters, config } = state;
  const low = config.evictionHighWatermarkRatio - config.evictionRatio;
  const allocated = counters.get(Counter.ALLOCATED_BYTES);
  return state.wantedBytes > 0 || allocated > low * counters.get(Counter.CAPACITY_BYTES);
}
