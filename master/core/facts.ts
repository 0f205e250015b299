import { ReplicaType, type Uuid } from "../../proto/types.ts";
import type { Checksum } from "./api.ts";
import { FactEncoder } from "./fact_encoder.ts";
import type { FencedRange } from "./fenced_ranges.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import type { OwedEnd } from "./owed_ends.ts";
import type { SegmentEntry } from "./segments.ts";
import type { Transfer } from "./transfers.ts";

/** Kinds of facts; the first byte of each. Numbers are never used for anything else again. */
export const FactKind = {
  TENANT_ADDED: 1,
  CLIENT_ADDED: 2,
  SEGMENT_MOUNTED: 3,
  SEGMENT_STATUS: 4,
  SEGMENT_KILLED: 5,
  SEGMENT_FORGOTTEN: 6,
  DISK_MOUNTED: 7,
  DISK_KILLED: 8,
  DISK_FORGOTTEN: 9,
  OBJECT_ADDED: 10,
  OBJECT_ERASED: 11,
  WRITE_STARTED: 12,
  WRITE_ENDED: 13,
  WRITE_ABANDONED: 14,
  REPLICA_ADDED: 16,
  REPLICA_COMPLETED: 17,
  REPLICA_REMOVED: 18,
  REPLICA_ENDPOINT: 19,
  EXTENT_FREED: 20,
  CHECKSUM_SET: 21,
  SOFT_PIN_SET: 22,
  TRANSFER_STARTED: 23,
  TRANSFER_ENDED: 24,
  TASK_ADDED: 25,
  TASK_CHANGED: 26,
  TASK_DROPPED: 27,
  OBJECT_KEPT: 28,
  WRITE_KEPT: 29,
  EXTENT_HELD: 30,
  NEXT_REPLICA: 31,
  END_OWED: 32,
  END_SETTLED: 33,
  MEMORY_PROMISED: 34,
  SEGMENT_UNMOUNTED: 35,
  JOB_CHANGED: 36,
  JOB_DROPPED: 37,
  EXTENT_FENCED: 38,
  WRITE_ENDED_CHECKED: 39,
  WRITE_NAMED: 40,
  TRANSFER_NUMBERED: 41,
  TABLE_ENTRY_SET: 45,
  TABLE_ENTRY_DROPPED: 46,
} as const;
export type FactKind = (typeof FactKind)[keyof typeof FactKind];

/** Options of a write in a fact. */
export const WriteOption = { HARD_PIN: 1, NEW_OBJECT: 2, SHARED_DISK: 4, GROUP: 8 } as const;

/**
 * Encodes facts: what was decided, with every extent, so that applying them needs neither the
 * allocator nor the random numbers that decided.
 *
 * A fact is its kind (u8) and the fields of that kind, little endian. Objects are named by tenant
 * and key, those that have no key yet by tenant and the name of their write (`RESERVED_NAME`), times are milliseconds of the Unix epoch (f64), `text` and `bytes` carry a length.
 */
export class FactWriter extends FactEncoder {
  tenantAdded(index: number): void {
    this.begin(FactKind.TENANT_ADDED);
    this.u32(index);
    this.blob(this.state.tenants.name(index));
    this.end();
  }

  clientAdded(index: number): void {
    this.begin(FactKind.CLIENT_ADDED);
    this.u32(index);
    this.blob(this.state.clients.get(index).bytes);
    this.end();
  }

  segmentMounted(entry: SegmentEntry): void {
    const { segment } = entry.view;
    this.begin(FactKind.SEGMENT_MOUNTED);
    this.u32(entry.index);
    this.u32(entry.owner);
    this.text(segment.id);
    this.text(segment.name);
    this.u64(segment.base);
    this.f64(segment.size);
    this.text(segment.teEndpoint);
    this.text(segment.protocol);
    this.text(segment.hostId);
    this.end();
  }

  segmentStatus(entry: SegmentEntry): void {
    this.begin(FactKind.SEGMENT_STATUS);
    this.u32(entry.index);
    this.u32(entry.status);
    this.time(entry.unmountAtMs);
    this.end();
  }

  segmentKilled(entry: SegmentEntry): void {
    this.begin(FactKind.SEGMENT_KILLED);
    this.u32(entry.index);
    this.end();
  }

  segmentForgotten(index: number): void {
    this.begin(FactKind.SEGMENT_FORGOTTEN);
    this.u32(index);
    this.end();
  }

  diskMounted(client: number): void {
    this.begin(FactKind.DISK_MOUNTED);
    this.u32(client);
    this.end();
  }

  diskKilled(client: number): void {
    this.begin(FactKind.DISK_KILLED);
    this.u32(client);
    this.end();
  }

  diskForgotten(client: number): void {
    this.begin(FactKind.DISK_FORGOTTEN);
    this.u32(client);
    this.end();
  }

  objectAdded(slot: number): void {
    this.begin(FactKind.OBJECT_ADDED);
    this.object(slot);
    this.u32(this.state.objects.client(slot));
    this.f64(this.state.objects.size(slot));
    this.u32(this.state.objects.since(slot));
    this.end();
  }

  objectErased(slot: number, holdUntilMs: number): void {
    this.begin(FactKind.OBJECT_ERASED);
    this.object(slot);
    this.time(holdUntilMs);
    this.end();
  }

  /** `newObject`: the write brought the object into being. Replicas are the staged or first ones. */
  writeStarted(slot: number, newObject: boolean): void {
    const { objects, writes, replicas, groups } = this.state;
    const write = objects.link(slot, ObjectLink.WRITE);
    const group = newObject ? groups.of(slot) : null;
    this.begin(FactKind.WRITE_STARTED);
    this.object(slot);
    this.u32(writes.client(write));
    this.time(writes.startMs(write));
    this.f64(writes.size(write));
    this.u8(writes.softAction(write));
    this.u32(writes.softTtlMs(write));
    this.u8(writes.dataType(write));
    this.f64(writes.writeId(write));
    const options = this.position;
    this.u8(
      (writes.hardPin(write) ? WriteOption.HARD_PIN : 0) |
        (newObject ? WriteOption.NEW_OBJECT : 0) | (group !== null ? WriteOption.GROUP : 0),
    );
    if (group !== null) this.blob(group.id);
    const count = this.position;
    this.u8(0);
    for (
      let replica = objects.link(slot, ObjectLink.REPLICA);
      replica !== 0;
      replica = replicas.next(replica)
    ) {
      if (!newObject && !replicas.isStaged(replica)) continue;
      if (replicas.isMemory(replica)) {
        this.extent(replica);
        this.countAt(count);
      } else {
        this.orAt(options, WriteOption.SHARED_DISK);
        this.f64(replicas.id(replica));
      }
    }
    this.end();
  }

  /** An object without a key gets `bytes[start, end)` as its key. */
  writeNamed(slot: number, bytes: Uint8Array, start: number, end: number): void {
    this.begin(FactKind.WRITE_NAMED);
    this.object(slot);
    this.blob(bytes, start, end);
    this.end();
  }

  /** With a checksum it is a kind of its own, which ends in the checksum. */
  writeEnded(
    slot: number,
    replicaType: number,
    softPinUntilMs: number,
    checksum: Checksum | null,
  ): void {
    this.begin(checksum === null ? FactKind.WRITE_ENDED : FactKind.WRITE_ENDED_CHECKED);
    this.object(slot);
    this.u8(replicaType);
    this.time(softPinUntilMs);
    this.u32(this.state.objects.since(slot));
    if (checksum !== null) {
      this.u32(checksum.low);
      this.u32(checksum.high);
    }
    this.end();
  }

  writeAbandoned(slot: number, endOwed: boolean): void {
    this.begin(FactKind.WRITE_ABANDONED);
    this.object(slot);
    this.u8(endOwed ? 1 : 0);
    this.end();
  }

  endOwed(owed: OwedEnd): void {
    this.begin(FactKind.END_OWED);
    this.#owed(owed);
    this.time(owed.untilMs);
    this.end();
  }

  endSettled(owed: OwedEnd): void {
    this.begin(FactKind.END_SETTLED);
    this.#owed(owed);
    this.end();
  }

  replicaAdded(slot: number, replica: number): void {
    const { replicas, disks } = this.state;
    const kind = replicas.kind(replica);
    this.begin(FactKind.REPLICA_ADDED);
    this.object(slot);
    this.u8(kind);
    this.u8(replicas.status(replica));
    this.f64(replicas.size(replica));
    if (kind === ReplicaType.MEMORY) {
      this.extent(replica);
    } else {
      this.f64(replicas.id(replica));
      const entry = replicas.place(replica);
      this.u32(entry === 0 ? 0 : disks.disk(entry).client);
      this.text(entry === 0 ? "" : disks.endpoint(entry));
    }
    this.end();
  }

  replicaCompleted(slot: number, replica: number): void {
    this.begin(FactKind.REPLICA_COMPLETED);
    this.object(slot);
    this.f64(this.state.replicas.id(replica));
    this.end();
  }

  replicaRemoved(slot: number, replica: number, holdUntilMs: number, discarded: boolean): void {
    this.begin(FactKind.REPLICA_REMOVED);
    this.object(slot);
    this.f64(this.state.replicas.id(replica));
    this.time(holdUntilMs);
    this.u8(discarded ? 1 : 0);
    this.end();
  }

  replicaEndpoint(slot: number, replica: number): void {
    const { replicas, disks } = this.state;
    this.begin(FactKind.REPLICA_ENDPOINT);
    this.object(slot);
    this.f64(replicas.id(replica));
    this.text(disks.endpoint(replicas.place(replica)));
    this.f64(replicas.size(replica));
    this.end();
  }

  extentFreed(segment: number, offset: number): void {
    this.begin(FactKind.EXTENT_FREED);
    this.u32(segment);
    this.u32(offset);
    this.end();
  }

  extentHeld(extent: number, untilMs: number): void {
    const { extents } = this.state;
    this.begin(FactKind.EXTENT_HELD);
    this.u32(extents.home(extent));
    this.u32(extents.offset(extent));
    this.u32(extents.units(extent));
    this.u8(extents.state(extent));
    this.time(untilMs);
    this.end();
  }

  /** Writers are kept out of units of a segment. */
  extentFenced(segment: number, { start, end, window, untilMs }: FencedRange): void {
    this.begin(FactKind.EXTENT_FENCED);
    this.u32(segment);
    this.u32(start);
    this.u32(end - start);
    this.u8(window);
    this.time(untilMs);
    this.end();
  }

  /** `nowMs`: when that was decided; what was promised until then has lost its meaning. */
  memoryPromised(
    endpoint: string,
    start: bigint,
    end: bigint,
    untilMs: number,
    nowMs: number,
  ): void {
    this.begin(FactKind.MEMORY_PROMISED);
    this.text(endpoint);
    this.u64(start);
    this.u64(end);
    this.time(untilMs);
    this.time(nowMs);
    this.end();
  }

  segmentUnmounted(id: Uuid, owner: Uuid): void {
    this.begin(FactKind.SEGMENT_UNMOUNTED);
    this.text(id);
    this.text(owner);
    this.end();
  }

  checksumSet(slot: number): void {
    const { objects } = this.state;
    this.begin(FactKind.CHECKSUM_SET);
    this.object(slot);
    this.u8(objects.is(slot, ObjectFlag.CHECKSUM) ? 1 : 0);
    this.u32(objects.checksumLow(slot));
    this.u32(objects.checksumHigh(slot));
    this.end();
  }

  softPinSet(slot: number, untilMs: number): void {
    this.begin(FactKind.SOFT_PIN_SET);
    this.object(slot);
    this.time(untilMs);
    this.end();
  }

  /** With the number of a transfer that has one: facts of before numbers are as they were. */
  transferStarted(transfer: Transfer): void {
    this.begin(FactKind.TRANSFER_STARTED);
    this.object(transfer.slot);
    this.u8(transfer.kind);
    this.u32(transfer.client);
    this.time(transfer.startMs);
    this.f64(transfer.source);
    this.text(transfer.leaseId);
    this.f64(transfer.versionEpoch);
    this.f64(transfer.size);
    this.u32(transfer.targets.length);
    for (const target of transfer.targets) this.f64(target);
    this.end();
    if (transfer.number !== 0) this.transferNumbered(transfer);
  }

  transferNumbered({ slot, number }: Transfer): void {
    this.begin(FactKind.TRANSFER_NUMBERED);
    this.object(slot);
    this.f64(number);
    this.end();
  }

  transferEnded(slot: number): void {
    this.begin(FactKind.TRANSFER_ENDED);
    this.object(slot);
    this.end();
  }

  /** An entry of a small table; `value` = `null`: it is dropped. */
  tableEntry(table: number, key: Uint8Array, value: Uint8Array | null): void {
    this.begin(value === null ? FactKind.TABLE_ENTRY_DROPPED : FactKind.TABLE_ENTRY_SET);
    this.u8(table);
    this.blob(key);
    if (value !== null) this.blob(value);
    this.end();
  }

  /** A fact about a task or a job, whose fields are one JSON document. */
  task(kind: FactKind, document: string): void {
    this.begin(kind);
    this.text(document);
    this.end();
  }
  #owed({ client, tenant, key }: OwedEnd): void {
    this.text(client);
    this.u16(tenant);
    this.blob(key);
  }
}
