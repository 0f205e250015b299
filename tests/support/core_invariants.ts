/** What must hold in a core at any moment, whatever has happened before. */
import assert from "node:assert/strict";
import { ExtentState } from "../../master/core/allocator.ts";
import { Counter } from "../../master/core/counters.ts";
import { RecencyList } from "../../master/core/lru.ts";
import { ObjectFlag, ObjectLink } from "../../master/core/objects.ts";
import { isEvictable } from "../../master/core/queries.ts";
import type { SegmentEntry } from "../../master/core/segments.ts";
import type { CoreState } from "../../master/core/state.ts";
import { ReplicaType } from "../../proto/types.ts";

/** Throws when anything is inconsistent. Looks at everything: for small cores. */
export function checkCore(state: CoreState): void {
  const references = new Map<number, number>();
  const used = checkObjects(state, references);
  checkSegments(state, used, references);
  checkRecency(state);
  checkReservations(state);
  checkTenants(state);
  checkClients(state, references);
}

function count(references: Map<number, number>, client: number): void {
  references.set(client, (references.get(client) ?? 0) + 1);
}

/** Returns the extents that replicas use, with the replica of each. */
function checkObjects(state: CoreState, references: Map<number, number>): Map<number, number> {
  const { objects, replicas, writes, counters } = state;
  const used = new Map<number, number>();
  const ids = new Set<number>();
  let present = 0;
  let writing = 0;
  let inMemory = 0;
  let onDisk = 0;
  let softPinned = 0;
  let replicaCount = 0;
  let diskBytes = 0;
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot)) continue;
    const key = objects.key(slot);
    if (objects.isReserved(slot)) {
      assert.equal(objects.reserved.find(key), slot, "the name leads here");
      assert.equal(objects.find(objects.tenant(slot), key, 0, key.length), 0, "and is no key");
      assert(!objects.is(slot, ObjectFlag.COMMITTED) && objects.link(slot, ObjectLink.WRITE) !== 0);
    } else {
      present++;
      assert.equal(
        objects.find(objects.tenant(slot), key, 0, key.length),
        slot,
        "the key leads here",
      );
    }
    count(references, objects.client(slot));
    const write = objects.link(slot, ObjectLink.WRITE);
    if (write !== 0) {
      writing++;
      assert.equal(writes.slot(write), slot);
      count(references, writes.client(write));
    }
    let memory = false;
    let disk = false;
    let first = objects.link(slot, ObjectLink.REPLICA);
    assert(first !== 0, "an object without replicas is gone");
    for (; first !== 0; first = replicas.next(first)) {
      replicaCount++;
      assert.equal(replicas.slot(first), slot);
      assert(!ids.has(replicas.id(first)), "replica ids are unique");
      ids.add(replicas.id(first));
      assert(replicas.id(first) < state.nextReplicaId);
      const place = replicas.place(first);
      const whole = replicas.isComplete(first) && !replicas.isStaged(first);
      if (replicas.isMemory(first)) {
        assert(!used.has(place), "an extent has one owner");
        used.set(place, first);
        memory ||= whole;
      } else {
        diskBytes += replicas.size(first);
        disk ||= whole;
        if (replicas.kind(first) === ReplicaType.LOCAL_DISK) {
          assert.equal(state.disks.replica(place), first);
        }
      }
      if (replicas.isStaged(first)) assert(write !== 0, "staged replicas belong to a write");
      if (replicas.isTarget(first)) assert(objects.is(slot, ObjectFlag.TRANSFER));
    }
    assert.equal(objects.is(slot, ObjectFlag.IN_MEMORY), memory);
    assert.equal(objects.is(slot, ObjectFlag.ON_DISK), disk);
    assert.equal(objects.is(slot, ObjectFlag.SOFT_PIN), objects.softPinUntil(slot) !== 0);
    assert.equal(objects.is(slot, ObjectFlag.TRANSFER), state.transfers.transfers.has(slot));
    assert.equal(objects.is(slot, ObjectFlag.OFFLOAD), state.transfers.offloads.has(slot));
    if (memory) inMemory++;
    if (disk) onDisk++;
    if (objects.is(slot, ObjectFlag.SOFT_PIN)) softPinned++;
  }
  assert.equal(objects.count, present);
  assert.equal(replicas.count, replicaCount);
  assert.equal(writes.count, writing);
  let listed = 0;
  let lastMs = -Infinity;
  for (let write = writes.oldest; write !== 0; write = writes.next(write)) {
    assert(writes.startMs(write) >= lastMs, "writes are in the order of their starts");
    lastMs = writes.startMs(write);
    listed++;
  }
  assert.equal(listed, writing);
  assert.equal(counters.get(Counter.IN_MEMORY), inMemory);
  assert.equal(counters.get(Counter.ON_DISK), onDisk);
  assert.equal(counters.get(Counter.SOFT_PINNED), softPinned);
  assert.equal(counters.get(Counter.DISK_BYTES), diskBytes);
  return used;
}

function checkSegments(
  state: CoreState,
  used: Map<number, number>,
  references: Map<number, number>,
): void {
  const { segments, counters } = state;
  let allocated = 0;
  let held = 0;
  let capacity = 0;
  let extentsSeen = 0;
  for (let index = 0; index < segments.limit; index++) {
    const entry = segments.find(index);
    if (entry === null) continue;
    count(references, entry.owner);
    const { usedUnits, heldUnits, seen } = checkExtents(state, entry, used);
    extentsSeen += seen;
    if (!segments.isAlive(index)) continue;
    const unit = entry.unitBytes;
    allocated += usedUnits * unit;
    held += heldUnits * unit;
    capacity += entry.view.segment.size;
  }
  assert.equal(extentsSeen, used.size, "every extent in use lies in a segment");
  assert.equal(counters.get(Counter.ALLOCATED_BYTES), allocated);
  assert.equal(counters.get(Counter.HELD_BYTES), held);
  assert.equal(counters.get(Counter.CAPACITY_BYTES), capacity);
}

function checkExtents(state: CoreState, entry: SegmentEntry, used: Map<number, number>) {
  const { extents } = state;
  const { allocator } = entry;
  const alive = state.segments.isAlive(entry.index);
  let position = alive ? 0 : -1;
  let usedUnits = 0;
  let heldUnits = 0;
  let freeUnits = 0;
  let seen = 0;
  let freeBefore = false;
  for (let extent = allocator.first; extent !== 0; extent = extents.after(extent)) {
    if (position >= 0) assert.equal(extents.offset(extent), position, "extents leave no gap");
    position = extents.offset(extent) + extents.units(extent);
    const units = extents.units(extent);
    const free = extents.state(extent) === ExtentState.FREE;
    const edge = [allocator.aside?.start, allocator.aside?.end].includes(extents.offset(extent));
    if (alive) assert(!(free && freeBefore) || edge, "neighbours that are free are one");
    freeBefore = free;
    if (free) freeUnits += units;
    else if (extents.isHeld(extent)) heldUnits += units;
    else {
      usedUnits += units;
      seen++;
      assert.equal(used.get(extent), extents.owner(extent), "the owner uses its extent");
      const bytes = state.replicas.size(extents.owner(extent));
      assert.equal(units, state.segments.unitsFor(entry, bytes), "an extent fits its replica");
    }
  }
  assert.equal(allocator.usedUnits, usedUnits);
  assert.equal(allocator.heldUnits, heldUnits);
  if (alive) {
    assert.equal(allocator.freeUnits, freeUnits);
    assert.equal(usedUnits + heldUnits + freeUnits, allocator.totalUnits);
  }
  return { usedUnits, heldUnits, seen };
}

function checkRecency(state: CoreState): void {
  const { objects, recency } = state;
  const listed = new Set<number>();
  for (const list of Object.values(RecencyList)) {
    if (list === RecencyList.NONE) continue;
    let length = 0;
    for (let tenant = 0; tenant < recency.tenantLimit; tenant++) {
      let before = 0;
      for (let slot = recency.head(tenant, list); slot !== 0; slot = recency.next(slot)) {
        assert.equal(objects.list(slot), list);
        assert.equal(objects.tenant(slot), tenant);
        assert.equal(objects.link(slot, ObjectLink.PREVIOUS), before);
        assert(!listed.has(slot));
        listed.add(slot);
        before = slot;
        length++;
      }
    }
    assert.equal(recency.count(list), length);
  }
  for (let slot = 1; slot < objects.limit; slot++) {
    if (objects.has(slot)) assert.equal(listed.has(slot), isEvictable(state, slot));
  }
}

function checkReservations({ objects, writes }: CoreState): void {
  const { reserved } = objects;
  let present = 0;
  let bytes = 0;
  const clients = new Map<number, number>();
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot) || !objects.isReserved(slot)) continue;
    present++;
    count(clients, writes.client(objects.link(slot, ObjectLink.WRITE)));
    bytes += objects.size(slot);
  }
  assert.equal(reserved.size, present, "reservations have objects");
  assert(reserved.bytes >= bytes && (present > 0 || reserved.bytes === 0), "they have bytes");
  for (const [client, many] of clients) assert.equal(reserved.countOf(client), many);
}

function checkTenants(state: CoreState): void {
  const { objects, replicas, quotas, tenants } = state;
  const charged = new Array(tenants.count).fill(0);
  const counted = new Array(tenants.count).fill(0);
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot)) continue;
    if (!objects.isReserved(slot)) counted[objects.tenant(slot)]++;
    let replica = objects.link(slot, ObjectLink.REPLICA);
    for (; replica !== 0; replica = replicas.next(replica)) {
      if (replicas.isMemory(replica)) charged[objects.tenant(slot)] += replicas.size(replica);
    }
  }
  for (let tenant = 0; tenant < tenants.count; tenant++) {
    assert.equal(quotas.charged(tenant), charged[tenant], `bytes of tenant ${tenant}`);
    assert.equal(objects.countOf(tenant), counted[tenant], `objects of tenant ${tenant}`);
  }
}

function checkClients(state: CoreState, references: Map<number, number>): void {
  for (const { client } of state.transfers.transfers.values()) count(references, client);
  for (const disk of state.disks.all()) count(references, disk.client);
  for (const disk of state.disks.dead) count(references, disk.client);
  for (const task of state.tasks.all()) count(references, task.client);
  for (let index = 1; index < state.clients.limit; index++) {
    if (!state.clients.has(index)) {
      assert(!references.has(index), "what is named is known");
      continue;
    }
    const client = state.clients.get(index);
    assert.equal(client.references, references.get(index) ?? 0);
    assert(client.references > 0 || client.watched, "what is not needed is forgotten");
  }
}
