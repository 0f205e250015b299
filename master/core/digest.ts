import { ExtentState } from "./allocator.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { isHoused, slotText } from "./queries.ts";
import { textOf } from "./small_tables.ts";
import type { CoreState } from "./state.ts";

/** Sums of two digests are exact, so that their order does not matter. */
const DIGEST_RANGE = 2 ** 52;

/**
 * A number over everything durable: objects with their replicas, extents and pins, segments with
 * what they hold, disks, transfers, tasks and jobs (their progress aside). Leases, sessions, queues and the order of eviction are
 * left out. It does not depend on slots or on any order.
 */
export function digest(state: CoreState): number {
  let sum = 0;
  for (const line of durableState(state)) sum = (sum + hashText(line)) % DIGEST_RANGE;
  return sum;
}

/** The durable state as lines of text, in no particular order. */
export function* durableState(state: CoreState): Iterable<string> {
  const { objects, segments, extents, disks, tasks, tenants } = state;
  for (let slot = 1; slot < objects.limit; slot++) {
    if (objects.has(slot)) yield objectLine(state, slot);
  }
  for (let index = 0; index < segments.limit; index++) {
    const entry = segments.find(index);
    if (entry === null) continue;
    const { id, name, size } = entry.view.segment;
    const { allocator } = entry;
    const alive = segments.isAlive(index);
    yield JSON.stringify([
      "segment",
      index,
      id,
      name,
      size,
      entry.status,
      uuid(state, entry.owner),
    ]);
    yield JSON.stringify(["use", index, allocator.usedUnits, allocator.heldUnits]);
    for (let extent = allocator.first; alive && extent !== 0; extent = extents.after(extent)) {
      if (extents.state(extent) === ExtentState.FREE) continue;
      yield JSON.stringify([
        ...["extent", index, extents.offset(extent), extents.units(extent), extents.state(extent)],
        extents.window(extent),
      ]);
    }
  }
  for (const disk of disks.all()) {
    yield JSON.stringify(["disk", uuid(state, disk.client), disk.usedBytes]);
  }
  for (const task of tasks.all()) {
    const { createdMs, updatedMs, client, ...rest } = task;
    // Always known: 0 is a moment like any other here.
    const times = [createdMs, updatedMs].map((time) =>
      Math.round(time + state.config.epochOffsetMs)
    );
    yield JSON.stringify(["task", rest, times, uuid(state, client)]);
  }
  for (const { id, plan, status } of state.jobs.all()) {
    yield JSON.stringify(["job", id, plan, status]);
  }
  for (let tenant = 0; tenant < tenants.count; tenant++) {
    yield JSON.stringify(["tenant", tenant, Array.from(tenants.name(tenant))]);
  }
  for (const { client, tenant, key, untilMs } of state.owedEnds.all()) {
    yield JSON.stringify(["owed end", client, tenant, Array.from(key), epoch(state, untilMs)]);
  }
  for (const { table, key, value } of state.tables.each()) {
    yield JSON.stringify(["entry", table, textOf(key), textOf(value)]);
  }
  yield JSON.stringify(["next replica", state.nextReplicaId]);
}

function objectLine(state: CoreState, slot: number): string {
  const { objects, replicas, extents, disks, writes, groups, transfers } = state;
  const kept = [];
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    const kind = replicas.kind(replica);
    const place = replicas.place(replica);
    const where = replicas.isMemory(replica)
      ? [replicas.segment(replica), extents.offset(place), extents.units(place)]
      : place === 0
      ? []
      : [uuid(state, disks.disk(place).client), disks.endpoint(place)];
    kept.push([
      ...[replicas.id(replica), kind, replicas.status(replica), replicas.size(replica)],
      ...[replicas.isStaged(replica), replicas.isTarget(replica), isHoused(state, replica), where],
    ]);
  }
  const write = objects.link(slot, ObjectLink.WRITE);
  const transfer = transfers.transfers.get(slot);
  const group = groups.of(slot);
  return JSON.stringify([
    ...[objects.isReserved(slot) ? "reserved" : "object", objects.tenant(slot)],
    ...[slotText(state, slot), objects.size(slot)],
    ...[objects.is(slot, ObjectFlag.COMMITTED), objects.is(slot, ObjectFlag.HARD_PIN)],
    ...[epoch(state, objects.softPinUntil(slot)), String(objects.checksum(slot))],
    ...[objects.dataType(slot), objects.since(slot), uuid(state, objects.client(slot))],
    group === null ? null : Array.from(group.id),
    kept,
    write === 0 ? null : [
      ...[uuid(state, writes.client(write)), epoch(state, writes.startMs(write))],
      ...[writes.size(write), writes.softAction(write), writes.softTtlMs(write)],
      ...[writes.hardPin(write), writes.dataType(write), writes.isCommitted(write)],
      writes.writeId(write),
    ],
    transfer === undefined ? null : [
      ...[transfer.kind, uuid(state, transfer.client), epoch(state, transfer.startMs)],
      ...[transfer.source, transfer.targets, transfer.leaseId, transfer.versionEpoch],
      ...(transfer.number === 0 ? [] : [transfer.number]),
    ],
  ]);
}

function uuid(state: CoreState, client: number): string {
  return state.clients.get(client).uuid;
}

function epoch(state: CoreState, timeMs: number): number {
  return timeMs === 0 ? 0 : Math.round(timeMs + state.config.epochOffsetMs);
}

/** A 52-bit hash of a text: two FNV-1a of 32 bits with different starts. */
function hashText(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x01000193;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b);
  }
  return (low >>> 0) + (high >>> 12) * 2 ** 32;
}
