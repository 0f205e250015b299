/** Copies and moves between segments, done by clients: start, end, revoke. */
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaStatus, ReplicaType, SegmentStatus, type Uuid } from "../../proto/types.ts";
import type { Writer } from "./api.ts";
import { yieldAside } from "./aside.ts";
import { compactionOf } from "./compaction_units.ts";
import { relist } from "./leases.ts";
import {
  addReplica,
  completeReplica,
  endTransfer,
  removeReplica,
  replicaById,
  startTransfer,
} from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { noteHotCopy } from "./hot_view.ts";
import { placeUnder } from "./placement.ts";
import {
  findObject,
  heldByLateBytes,
  heldByReaders,
  isHoused,
  isReadable,
  isWhole,
} from "./queries.ts";
import type { SegmentName } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { hasQuotaFor } from "./tenant_quota.ts";
import { abandonTransfer, yieldTransfer } from "./transfer_end.ts";
import { isTransferBy, NO_LEASE, type Transfer, TransferKind } from "./transfers.ts";

/** What a client that starts a copy or move is told: replicas by index. */
export interface StartedTransfer {
  readonly code: ErrorCode;
  readonly slot: number;
  readonly source: number;
  readonly targets: number[];
}

function refused(code: ErrorCode): StartedTransfer {
  return { code, slot: 0, source: 0, targets: [] };
}

/**
 * Gives a client unfinished replicas under the target names to copy an object into. Names that hold
 * the object already are left out. With a dynamic replication's lease, one must have been granted.
 */
export function copyStart(
  state: CoreState,
  writer: Writer,
  tenant: number,
  key: Uint8Array,
  source: string,
  targets: readonly string[],
  leaseId: Uuid,
  nowMs: number,
): StartedTransfer {
  const dynamic = leaseId !== NO_LEASE;
  if (!dynamic) {
    const code = checkTargets(state, targets);
    if (code !== ErrorCode.OK) return refused(code);
  }
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return refused(ErrorCode.OBJECT_NOT_FOUND);
  if (!dynamic) {
    if (yieldTransfer(state, slot, nowMs) === 0) return refused(ErrorCode.OBJECT_NOT_FOUND);
    keepCopies(state, slot, [source, ...targets]);
  }
  const busy = whileTransferred(state, slot);
  if (busy !== ErrorCode.OK) return refused(busy);
  const epoch = dynamic ? epochFor(state, slot, leaseId, source, targets) : 0;
  if (dynamic && (epoch === 0 || checkTargets(state, targets) !== ErrorCode.OK)) {
    return refused(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  }
  const free = targets.filter((name) => replicaUnder(state, slot, name) === 0);
  if (dynamic && free.length === 0) return refused(ErrorCode.OBJECT_ALREADY_EXISTS);
  return start(state, TransferKind.COPY, writer, slot, source, free, nowMs, leaseId, epoch);
}

/**
 * Gives a client an unfinished replica to move an object into, unless the target holds it already.
 * Only a compaction moves within a name: INVALID_PARAMS otherwise.
 */
export function moveStart(
  state: CoreState,
  writer: Writer,
  tenant: number,
  key: Uint8Array,
  source: string,
  target: string,
  nowMs: number,
): StartedTransfer {
  const slot = findObject(state, tenant, key, 0, key.length);
  const within = source === target;
  if (within && (slot === 0 || !isCompacted(state, slot, source))) {
    return refused(ErrorCode.INVALID_PARAMS);
  }
  const code = checkTargets(state, [target]);
  if (code !== ErrorCode.OK) return refused(code);
  if (slot === 0) return refused(ErrorCode.OBJECT_NOT_FOUND);
  if (yieldTransfer(state, slot, nowMs) === 0) return refused(ErrorCode.OBJECT_NOT_FOUND);
  keepCopies(state, slot, [source, target]);
  const busy = whileTransferred(state, slot);
  if (busy !== ErrorCode.OK) return refused(busy);
  const free = within || replicaUnder(state, slot, target) === 0 ? [target] : [];
  return start(state, TransferKind.MOVE, writer, slot, source, free, nowMs);
}

/** Makes the copies readable. */
export function copyEnd(
  state: CoreState,
  writer: Writer,
  tenant: number,
  key: Uint8Array,
  leaseId: Uuid,
  versionEpoch: number,
  nowMs: number,
): ErrorCode {
  const found = find(state, TransferKind.COPY, writer, tenant, key, leaseId, versionEpoch);
  if (typeof found === "number") return found;
  const { slot } = found;
  if (!hasSource(state, found)) return fail(state, found, nowMs);
  let code: ErrorCode = ErrorCode.OK;
  for (const id of found.targets) {
    const replica = replicaById(state, slot, id);
    if (replica !== 0 && isHoused(state, replica)) {
      completeReplica(state, slot, replica);
      if (leaseId !== NO_LEASE) noteHotCopy(state, slot, replica, nowMs);
    } else {
      if (replica !== 0) removeReplica(state, slot, replica, 0, false);
      code = ErrorCode.REPLICA_IS_GONE;
    }
  }
  endTransfer(state, found);
  relist(state, slot, nowMs);
  return code;
}

/** Makes the moved replica readable and removes the one that it was read from. */
export function moveEnd(
  state: CoreState,
  writer: Writer,
  tenant: number,
  key: Uint8Array,
  nowMs: number,
): ErrorCode {
  const found = find(state, TransferKind.MOVE, writer, tenant, key, NO_LEASE, 0);
  if (typeof found === "number") return found;
  const { slot } = found;
  const target = found.targets.length === 0 ? 0 : replicaById(state, slot, found.targets[0]);
  const lost = found.targets.length > 0 && (target === 0 || !isHoused(state, target));
  const only = found.targets.length === 0 && !hasAnother(state, found);
  if (lost || only || !hasSource(state, found)) return fail(state, found, nowMs);
  if (target !== 0) completeReplica(state, slot, target);
  endTransfer(state, found);
  const source = replicaById(state, slot, found.source);
  removeReplica(state, slot, source, heldByReaders(state, slot, nowMs), false);
  relist(state, slot, nowMs);
  return ErrorCode.OK;
}

/** Gives up a copy or move. */
export function revokeTransfer(
  state: CoreState,
  kind: TransferKind,
  writer: Writer,
  tenant: number,
  key: Uint8Array,
  leaseId: Uuid,
  versionEpoch: number,
  nowMs: number,
): ErrorCode {
  const found = find(state, kind, writer, tenant, key, leaseId, versionEpoch);
  if (typeof found === "number") return found;
  fail(state, found, nowMs);
  return ErrorCode.OK;
}

/** The object's replica in a mounted segment of a name, finished or not; 0 = none. */
export function replicaUnder(state: CoreState, slot: number, name: string): number {
  const { replicas, segments } = state;
  for (
    let replica = state.objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (!replicas.isMemory(replica) || !isHoused(state, replica)) continue;
    if (segments.at(replicas.segment(replica)).name.name === name) return replica;
  }
  return 0;
}

/** Whether something can be allocated under each of the names. */
export function checkTargets(state: CoreState, targets: readonly string[]): ErrorCode {
  for (const target of targets) {
    const name = state.segments.byName(target);
    if (name === null) return ErrorCode.SEGMENT_NOT_FOUND;
    if (!isOpen(name)) return ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
  }
  return ErrorCode.OK;
}

/**
 * What a copy or move is told of a transfer that is under way. A compaction's is soon over, and
 * NO_AVAILABLE_HANDLE is what clients try again.
 */
function whileTransferred(state: CoreState, slot: number): ErrorCode {
  if (!state.objects.is(slot, ObjectFlag.TRANSFER)) return ErrorCode.OK;
  return compactionOf(state, slot) === null
    ? ErrorCode.OBJECT_HAS_REPLICATION_TASK
    : ErrorCode.NO_AVAILABLE_HANDLE;
}

/** Whether a compaction wants the object's replica elsewhere under the same name, still. */
function isCompacted(state: CoreState, slot: number, name: string): boolean {
  const unit = compactionOf(state, slot);
  const from = replicaUnder(state, slot, name);
  if (unit === null || from === 0 || unit.source !== name || unit.target !== name) return false;
  const { aside, extents, replicas } = state;
  const place = replicas.place(from);
  const offset = extents.offset(place);
  return replicas.id(from) === unit.replica && aside !== null &&
    aside.entry.index === extents.segment(place) && offset >= aside.start && offset < aside.end;
}

function isOpen(name: SegmentName): boolean {
  return name.mounted.some((entry) => entry.status === SegmentStatus.OK);
}

function start(
  state: CoreState,
  kind: TransferKind,
  writer: Writer,
  slot: number,
  source: string,
  targets: readonly string[],
  nowMs: number,
  leaseId: Uuid = NO_LEASE,
  versionEpoch = 0,
): StartedTransfer {
  const { objects, replicas, segments } = state;
  const from = replicaUnder(state, slot, source);
  const write = objects.link(slot, ObjectLink.WRITE);
  const writing = write !== 0 && !state.writes.isCommitted(write);
  if (from === 0 || !isReadable(state, from) || writing) {
    return refused(ErrorCode.REPLICA_NOT_FOUND);
  }
  const size = replicas.size(from);
  const grown = kind === TransferKind.COPY ? size * targets.length : 0;
  if (grown > 0 && !hasQuotaFor(state, objects.tenant(slot), grown)) {
    state.quotas.countRejected(objects.tenant(slot), 1);
    return refused(ErrorCode.TENANT_QUOTA_EXCEEDED);
  }
  const places: number[] = [];
  const ours = compactionOf(state, slot) !== null;
  for (const target of targets) {
    const place = placeUnder(state, segments.byName(target)!, size) ||
      (ours || !yieldAside(state, size) ? 0 : placeUnder(state, segments.byName(target)!, size));
    if (place === 0) {
      for (const taken of places) {
        segments.at(state.extents.segment(taken)).allocator.free(taken);
      }
      return refused(ErrorCode.NO_AVAILABLE_HANDLE);
    }
    places.push(place);
  }
  const created = places.map((place) =>
    addReplica(
      state,
      slot,
      state.nextReplicaId,
      ReplicaType.MEMORY,
      ReplicaStatus.PROCESSING,
      size,
      place,
    )
  );
  startTransfer(state, {
    slot,
    kind,
    client: writer.client,
    startMs: nowMs,
    source: replicas.id(from),
    targets: created.map((replica) => replicas.id(replica)),
    leaseId,
    versionEpoch,
    size,
    number: writer.writeId,
  });
  return { code: ErrorCode.OK, slot, source: from, targets: created };
}

function find(
  state: CoreState,
  kind: TransferKind,
  writer: Writer,
  tenant: number,
  key: Uint8Array,
  leaseId: Uuid,
  versionEpoch: number,
): Transfer | ErrorCode {
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0) return ErrorCode.OBJECT_NOT_FOUND;
  const transfer = state.transfers.transfers.get(slot);
  if (transfer === undefined || transfer.kind === TransferKind.PROMOTION) {
    return ErrorCode.OBJECT_NO_REPLICATION_TASK;
  }
  if (!isTransferBy(transfer, writer)) return ErrorCode.ILLEGAL_CLIENT;
  if (transfer.kind !== kind) return ErrorCode.INVALID_PARAMS;
  if (transfer.leaseId !== leaseId || transfer.versionEpoch !== versionEpoch) {
    return ErrorCode.INVALID_VERSION;
  }
  return transfer;
}

function hasSource(state: CoreState, transfer: Transfer): boolean {
  const source = replicaById(state, transfer.slot, transfer.source);
  return source !== 0 && isWhole(state, source) && isHoused(state, source);
}

/** Whether the object can be read elsewhere than from the source. */
function hasAnother(state: CoreState, transfer: Transfer): boolean {
  const { replicas } = state;
  let replica = state.objects.link(transfer.slot, ObjectLink.REPLICA);
  while (
    replica !== 0 && (replicas.id(replica) === transfer.source || !isReadable(state, replica))
  ) {
    replica = replicas.next(replica);
  }
  return replica !== 0;
}

/** Ends a transfer without its targets; the client does not write any more. */
function fail(state: CoreState, transfer: Transfer, nowMs: number): ErrorCode {
  abandonTransfer(state, transfer, heldByLateBytes(state, nowMs), nowMs);
  return ErrorCode.REPLICA_IS_GONE;
}

/** The version that a dynamic replication may copy, 0 = nobody has ordered this copy of it. */
function epochFor(
  state: CoreState,
  slot: number,
  leaseId: Uuid,
  source: string,
  targets: readonly string[],
): number {
  const order = state.hot.orders.get(slot);
  if (order?.leaseId !== leaseId || order.source !== source) return 0;
  if (targets.length !== 1 || targets[0] !== order.target) return 0;
  const from = replicaUnder(state, slot, source);
  return from !== 0 && state.replicas.id(from) === order.versionEpoch ? order.versionEpoch : 0;
}

/** Makes ordinary replicas of those that dynamic replication has made under some names. */
export function keepCopies(state: CoreState, slot: number, names: readonly string[]): void {
  const { hot, replicas } = state;
  if (hot.copies.size === 0) return;
  for (const name of names) {
    const replica = replicaUnder(state, slot, name);
    const copy = replica === 0 ? undefined : hot.copies.get(replicas.id(replica));
    if (copy !== undefined) hot.dropCopy(copy);
  }
}
