/** What must hold in a core at any moment, whatever has happened before. */
import { ReplicaType } from "../../proto/types.ts";
import { ExtentState } from "./allocator.ts";
import { Counter } from "./counters.ts";
import { escapeBytes } from "./escape.ts";
import { RecencyList } from "./lru.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { isEvictable } from "./queries.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** What the objects of a core use: the replica of each extent (0 = none), and what names a client. */
interface Use {
  readonly owners: Int32Array;
  extents: number;
  readonly references: Map<number, number>;
}

/**
 * Everything that is inconsistent, one sentence each; nothing in a sound core. Looks at everything:
 * the time grows with the objects, and so do 30 bytes of memory for each.
 */
export function* violations(state: CoreState): Generator<string> {
  const use: Use = {
    owners: new Int32Array(state.extents.records.limit),
    extents: 0,
    references: new Map(),
  };
  yield* objectViolations(state, use);
  yield* writeViolations(state);
  yield* segmentViolations(state, use);
  yield* recencyViolations(state);
  yield* reservationViolations(state);
  yield* tenantViolations(state);
  yield* clientViolations(state, use.references);
}

function* expect(holds: boolean, what: string): Generator<string> {
  if (!holds) yield what;
}

function* same(what: string, found: unknown, expected: unknown): Generator<string> {
  if (found !== expected) yield `${what} is ${found} where it must be ${expected}`;
}

function refer({ references }: Pick<Use, "references">, client: number): void {
  references.set(client, (references.get(client) ?? 0) + 1);
}

function* objectViolations(state: CoreState, use: Use): Generator<string> {
  const { objects, replicas, counters } = state;
  const ids = new Float64Array(replicas.count);
  let present = 0, inMemory = 0, onDisk = 0, softPinned = 0, replicaCount = 0, diskBytes = 0;
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot)) continue;
    const key = objects.key(slot);
    const name = `object ${escapeBytes(key)} of tenant ${objects.tenant(slot)}`;
    const reserved = objects.isReserved(slot);
    if (!reserved) present++;
    const found = reserved
      ? objects.reserved.find(key)
      : objects.find(objects.tenant(slot), key, 0, key.length);
    yield* expect(found === slot, `${name} is not found by its ${reserved ? "name" : "key"}`);
    refer(use, objects.client(slot));
    const write = objects.link(slot, ObjectLink.WRITE);
    if (write !== 0) refer(use, state.writes.client(write));
    let memory = false, disk = false;
    let replica = objects.link(slot, ObjectLink.REPLICA);
    yield* expect(replica !== 0, `${name} has no replica`);
    for (; replica !== 0; replica = replicas.next(replica)) {
      const id = replicas.id(replica);
      if (replicaCount < ids.length) ids[replicaCount] = id;
      replicaCount++;
      const whole = replicas.isComplete(replica) && !replicas.isStaged(replica);
      yield* same(`the object of replica ${id} of ${name}`, replicas.slot(replica), slot);
      yield* expect(id < state.nextReplicaId, `replica ${id} of ${name} has an id of the future`);
      const place = replicas.place(replica);
      if (replicas.isMemory(replica)) {
        yield* expect(use.owners[place] === 0, `replica ${id} of ${name} shares its extent`);
        use.owners[place] = replica;
        use.extents++;
        memory ||= whole;
      } else {
        diskBytes += replicas.size(replica);
        disk ||= whole;
        if (replicas.kind(replica) === ReplicaType.LOCAL_DISK) {
          yield* same(`the replica on the disk for ${name}`, state.disks.replica(place), replica);
        }
      }
      const staged = replicas.isStaged(replica);
      yield* expect(!staged || write !== 0, `replica ${id} of ${name} is staged by no write`);
      const moved = objects.is(slot, ObjectFlag.TRANSFER);
      const target = replicas.isTarget(replica);
      yield* expect(!target || moved, `replica ${id} of ${name} is the target of no transfer`);
    }
    const flag = (bit: number) => objects.is(slot, bit);
    yield* same(`"in memory" of ${name}`, flag(ObjectFlag.IN_MEMORY), memory);
    yield* same(`"on disk" of ${name}`, flag(ObjectFlag.ON_DISK), disk);
    const pinned = objects.softPinUntil(slot) !== 0;
    yield* same(`"soft pinned" of ${name}`, flag(ObjectFlag.SOFT_PIN), pinned);
    const { transfers, offloads } = state.transfers;
    yield* same(`"moving" of ${name}`, flag(ObjectFlag.TRANSFER), transfers.has(slot));
    yield* same(`"offloading" of ${name}`, flag(ObjectFlag.OFFLOAD), offloads.has(slot));
    if (memory) inMemory++;
    if (disk) onDisk++;
    if (pinned) softPinned++;
  }
  ids.sort();
  const twice = ids.findIndex((id, i) => i > 0 && id === ids[i - 1]);
  yield* expect(twice < 0, `the replica id ${ids[twice]} is there twice`);
  yield* same("the number of objects", objects.count, present);
  yield* same("the number of replicas", replicas.count, replicaCount);
  yield* same("the count of objects in memory", counters.get(Counter.IN_MEMORY), inMemory);
  yield* same("the count of objects on disks", counters.get(Counter.ON_DISK), onDisk);
  yield* same("the count of soft pins", counters.get(Counter.SOFT_PINNED), softPinned);
  yield* same("the count of bytes on disks", counters.get(Counter.DISK_BYTES), diskBytes);
}

function* reservationViolations({ objects, writes }: CoreState): Generator<string> {
  const { reserved } = objects;
  const clients = new Map<number, number>();
  let present = 0, bytes = 0;
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot) || !objects.isReserved(slot)) continue;
    present++;
    const write = objects.link(slot, ObjectLink.WRITE);
    yield* expect(write !== 0, `reservation ${slot} has no write`);
    yield* expect(!objects.is(slot, ObjectFlag.COMMITTED), `reservation ${slot} can be read`);
    if (write === 0) continue;
    clients.set(writes.client(write), (clients.get(writes.client(write)) ?? 0) + 1);
    bytes += objects.size(slot);
  }
  yield* same("the number of reservations", reserved.size, present);
  const sound = reserved.bytes >= bytes && (present > 0 || reserved.bytes === 0);
  yield* expect(sound, `${reserved.bytes} bytes are reserved in ${present} objects`);
  for (const [client, many] of clients) {
    yield* same(`the reservations of client ${client}`, reserved.countOf(client), many);
  }
}

function* writeViolations({ writes, objects }: CoreState): Generator<string> {
  let writing = 0, listed = 0;
  for (let slot = 1; slot < objects.limit; slot++) {
    const write = objects.has(slot) ? objects.link(slot, ObjectLink.WRITE) : 0;
    if (write === 0) continue;
    writing++;
    yield* same(`the object of write ${write}`, writes.slot(write), slot);
  }
  let lastMs = -Infinity;
  for (let write = writes.oldest; write !== 0; write = writes.next(write)) {
    yield* expect(writes.startMs(write) >= lastMs, `write ${write} is listed out of order`);
    lastMs = writes.startMs(write);
    listed++;
  }
  yield* same("the number of writes", writes.count, writing);
  yield* same("the length of the list of writes", listed, writing);
}

function* segmentViolations(state: CoreState, use: Use): Generator<string> {
  const { segments, counters } = state;
  let allocated = 0, held = 0, capacity = 0, seen = 0;
  for (let index = 0; index < segments.limit; index++) {
    const entry = segments.find(index);
    if (entry === null) continue;
    refer(use, entry.owner);
    const extents = yield* extentViolations(state, entry, use);
    seen += extents.seen;
    if (!segments.isAlive(index)) continue;
    allocated += extents.usedUnits * entry.unitBytes;
    held += extents.heldUnits * entry.unitBytes;
    capacity += entry.view.segment.size;
  }
  yield* same("the number of extents in segments", seen, use.extents);
  yield* same("the count of bytes in use", counters.get(Counter.ALLOCATED_BYTES), allocated);
  yield* same("the count of bytes held", counters.get(Counter.HELD_BYTES), held);
  yield* same("the count of bytes lent", counters.get(Counter.CAPACITY_BYTES), capacity);
}

function* extentViolations(
  state: CoreState,
  entry: SegmentEntry,
  { owners }: Use,
): Generator<string, { usedUnits: number; heldUnits: number; seen: number }> {
  const { extents } = state;
  const { allocator } = entry;
  const name = `segment ${entry.view.segment.id} (${entry.view.segment.name})`;
  const alive = state.segments.isAlive(entry.index);
  let position = alive ? 0 : -1;
  let usedUnits = 0, heldUnits = 0, freeUnits = 0, seen = 0;
  let freeBefore = false;
  for (let extent = allocator.first; extent !== 0; extent = extents.after(extent)) {
    const offset = extents.offset(extent);
    const units = extents.units(extent);
    const where = `the extent at unit ${offset} of ${name}`;
    if (position >= 0) yield* same(`the start of an extent of ${name}`, offset, position);
    position = offset + units;
    const free = extents.state(extent) === ExtentState.FREE;
    const edge = [allocator.aside?.start, allocator.aside?.end].includes(offset);
    yield* expect(!alive || !free || !freeBefore || edge, `${where} is free beside a free one`);
    freeBefore = free;
    if (free) freeUnits += units;
    else if (extents.isHeld(extent)) heldUnits += units;
    else {
      usedUnits += units;
      seen++;
      const owner = extents.owner(extent);
      yield* same(`the owner of ${where}`, owners[extent], owner);
      const wanted = state.segments.unitsFor(entry, state.replicas.size(owner));
      yield* same(`the length of ${where}`, units, wanted);
    }
  }
  yield* same(`the units in use of ${name}`, allocator.usedUnits, usedUnits);
  yield* same(`the units held of ${name}`, allocator.heldUnits, heldUnits);
  if (alive) {
    yield* same(`the free units of ${name}`, allocator.freeUnits, freeUnits);
    yield* same(`the units of ${name}`, usedUnits + heldUnits + freeUnits, allocator.totalUnits);
  }
  return { usedUnits, heldUnits, seen };
}

function* recencyViolations(state: CoreState): Generator<string> {
  const { objects, recency } = state;
  const listed = new Uint8Array(objects.limit);
  for (const [name, list] of Object.entries(RecencyList)) {
    if (list === RecencyList.NONE) continue;
    let length = 0;
    for (let tenant = 0; tenant < recency.tenantLimit; tenant++) {
      let before = 0;
      for (let slot = recency.head(tenant, list); slot !== 0; slot = recency.next(slot)) {
        const fits = objects.list(slot) === list && objects.tenant(slot) === tenant &&
          objects.link(slot, ObjectLink.PREVIOUS) === before;
        yield* expect(fits, `the list ${name} of tenant ${tenant} has an object that it is not of`);
        yield* expect(listed[slot] === 0, `an object is in two places of the lists, ${name} last`);
        if (listed[slot] !== 0) return;
        listed[slot] = 1;
        before = slot;
        length++;
      }
    }
    yield* same(`the length of the list ${name}`, recency.count(list), length);
  }
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot) || (listed[slot] === 1) === isEvictable(state, slot)) continue;
    const can = isEvictable(state, slot) ? "is in no order of eviction" : "cannot be evicted";
    yield `object ${escapeBytes(objects.key(slot))} of tenant ${objects.tenant(slot)} ${can}`;
  }
}

function* tenantViolations(state: CoreState): Generator<string> {
  const { objects, replicas, quotas, tenants } = state;
  const charged = new Array<number>(tenants.count).fill(0);
  const counted = new Array<number>(tenants.count).fill(0);
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot)) continue;
    if (!objects.isReserved(slot)) counted[objects.tenant(slot)]++;
    let replica = objects.link(slot, ObjectLink.REPLICA);
    for (; replica !== 0; replica = replicas.next(replica)) {
      if (replicas.isMemory(replica)) charged[objects.tenant(slot)] += replicas.size(replica);
    }
  }
  for (let tenant = 0; tenant < tenants.count; tenant++) {
    yield* same(`the bytes of tenant ${tenant}`, quotas.charged(tenant), charged[tenant]);
    yield* same(`the objects of tenant ${tenant}`, objects.countOf(tenant), counted[tenant]);
  }
}

function* clientViolations(
  state: CoreState,
  references: Map<number, number>,
): Generator<string> {
  for (const { client } of state.transfers.transfers.values()) refer({ references }, client);
  for (const disk of state.disks.all()) refer({ references }, disk.client);
  for (const disk of state.disks.dead) refer({ references }, disk.client);
  for (const task of state.tasks.all()) refer({ references }, task.client);
  for (let index = 1; index < state.clients.limit; index++) {
    const named = references.get(index) ?? 0;
    if (!state.clients.has(index)) {
      yield* expect(named === 0, `client ${index} is named and not known`);
      continue;
    }
    const { references: counted, watched, uuid } = state.clients.get(index);
    yield* same(`the references to client ${uuid}`, counted, named);
    yield* expect(counted > 0 || watched, `client ${uuid} is not needed and not forgotten`);
  }
}
