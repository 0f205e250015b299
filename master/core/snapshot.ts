/**
 * The whole durable state as facts, for a core that knows nothing: what a checkpoint holds.
 *
 * The state must not change in between. What lies in segments and disks that are gone and only wait
 * to be swept up is left out.
 */
import { ReplicaType, SegmentStatus } from "../../proto/types.ts";
import type { FactSink } from "./api.ts";
import { FactEncoder } from "./fact_encoder.ts";
import { FactKind, FactWriter } from "./facts.ts";
import { jobDocument } from "./jobs.ts";
import { RecencyList } from "./lru.ts";
import { owedFor } from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import type { OwedEnd } from "./owed_ends.ts";
import { isHoused } from "./queries.ts";
import { SmallTable } from "./small_tables.ts";
import type { CoreState } from "./state.ts";
import type { Task } from "./tasks.ts";

/** What a kept object has. */
export const KeptObject = {
  COMMITTED: 1,
  HARD_PIN: 2,
  CHECKSUM: 4,
  SOFT_PIN: 8,
  GROUP: 16,
} as const;
export const KeptReplica = { STAGED: 1, TARGET: 2 } as const;
export const KeptWrite = { HARD_PIN: 1, COMMITTED: 2 } as const;

/**
 * Tells `sink` everything that `state` holds, the objects of each tenant in the order in which they
 * were last used. Returns the number of objects.
 */
export function tellSnapshot(state: CoreState, sink: FactSink): number {
  return new SnapshotWriter(sink, state).tellAll();
}

/** Tells `sink` what everything else refers to, and the small tables but for documents. */
export function tellHomes(state: CoreState, sink: FactSink): void {
  new SnapshotWriter(sink, state).tellHomes();
}

class SnapshotWriter extends FactEncoder {
  readonly #facts: FactWriter;
  #told = 0;

  constructor(sink: FactSink, state: CoreState) {
    super(sink, state);
    this.#facts = new FactWriter(sink, state);
  }

  tellHomes(): void {
    const { tenants, clients, segments, disks } = this.state;
    for (let tenant = 1; tenant < tenants.count; tenant++) this.#facts.tenantAdded(tenant);
    this.#entries((table) => table !== SmallTable.DOCUMENT);
    for (let client = 1; client < clients.limit; client++) {
      if (clients.has(client) && clients.get(client).references > 0) {
        this.#facts.clientAdded(client);
      }
    }
    for (let index = 0; index < segments.limit; index++) {
      const entry = segments.find(index);
      if (entry === null || !segments.isAlive(index)) continue;
      this.#facts.segmentMounted(entry);
      if (entry.status !== SegmentStatus.OK) this.#facts.segmentStatus(entry);
    }
    for (const disk of disks.all()) this.#facts.diskMounted(disk.client);
  }

  tellAll(): number {
    const { writes, owedEnds, transfers, quarantine, extents, tasks } = this.state;
    this.tellHomes();
    this.#entries((table) => table === SmallTable.DOCUMENT);
    this.#objects();
    for (let write = writes.oldest; write !== 0; write = writes.next(write)) {
      const slot = writes.slot(write);
      if (this.#isKept(slot)) this.#write(write);
      else this.#owed(owedFor(this.state, slot));
    }
    for (const owed of owedEnds.all()) this.#owed(owed);
    for (const transfer of transfers.transfers.values()) {
      if (this.#isKept(transfer.slot)) this.#facts.transferStarted(transfer);
    }
    this.#fences();
    quarantine.each(extents, (extent, untilMs) => {
      if (this.state.segments.isAlive(extents.segment(extent))) {
        this.#facts.extentHeld(extent, untilMs);
      }
    });
    this.#departed();
    const byChange = Array.from(tasks.all()).sort((a, b) => a.updatedMs - b.updatedMs);
    for (const task of byChange) this.#task(task);
    for (const job of this.state.jobs.all()) {
      this.#facts.task(FactKind.JOB_CHANGED, jobDocument(this.state, job));
    }
    this.begin(FactKind.NEXT_REPLICA);
    this.f64(this.state.nextReplicaId);
    this.end();
    return this.#told;
  }

  #entries(isMeant: (table: number) => boolean): void {
    for (const { table, key, value } of this.state.tables.each()) {
      if (isMeant(table)) this.#facts.tableEntry(table, key, value);
    }
  }

  #fences(): void {
    for (const { index, allocator } of this.state.segments.mounted()) {
      for (const range of allocator.fences?.all ?? []) this.#facts.extentFenced(index, range);
    }
  }

  /** What is remembered of segments that have left. */
  #departed(): void {
    const { promised, unmounted } = this.state;
    for (const [endpoint, { start, end, untilMs }] of promised.each()) {
      this.#facts.memoryPromised(endpoint, start, end, untilMs, 0);
    }
    if (promised.everywhereUntilMs !== 0) {
      this.#facts.memoryPromised("", 0n, 0n, promised.everywhereUntilMs, 0);
    }
    for (const [id, owner] of unmounted.each()) this.#facts.segmentUnmounted(id, owner);
  }

  /** Those in no order of eviction first, then the others, least recently used first. */
  #objects(): void {
    const { objects, recency } = this.state;
    for (let slot = 1; slot < objects.limit; slot++) {
      const listed = objects.has(slot) && objects.list(slot) !== RecencyList.NONE;
      if (objects.has(slot) && !listed) this.#object(slot);
    }
    for (let tenant = 0; tenant < recency.tenantLimit; tenant++) {
      for (const list of Object.values(RecencyList)) {
        if (list === RecencyList.NONE) continue;
        let slot = recency.head(tenant, list);
        for (; slot !== 0; slot = recency.next(slot)) this.#object(slot);
      }
    }
  }

  #isKept(slot: number): boolean {
    const { objects, replicas } = this.state;
    let replica = objects.link(slot, ObjectLink.REPLICA);
    while (replica !== 0 && !isHoused(this.state, replica)) replica = replicas.next(replica);
    return replica !== 0;
  }

  #object(slot: number): void {
    if (!this.#isKept(slot)) return;
    if (!this.state.objects.isReserved(slot)) this.#told++;
    const { objects, replicas, groups } = this.state;
    const checksum = objects.is(slot, ObjectFlag.CHECKSUM);
    const softPinned = objects.is(slot, ObjectFlag.SOFT_PIN);
    const group = groups.of(slot);
    this.begin(FactKind.OBJECT_KEPT);
    this.object(slot);
    this.u8(
      (objects.is(slot, ObjectFlag.COMMITTED) ? KeptObject.COMMITTED : 0) |
        (objects.is(slot, ObjectFlag.HARD_PIN) ? KeptObject.HARD_PIN : 0) |
        (checksum ? KeptObject.CHECKSUM : 0) | (softPinned ? KeptObject.SOFT_PIN : 0) |
        (group !== null ? KeptObject.GROUP : 0),
    );
    this.u32(objects.client(slot));
    this.f64(objects.size(slot));
    this.u32(objects.since(slot));
    this.u8(objects.dataType(slot));
    if (checksum) {
      this.u32(objects.checksumLow(slot));
      this.u32(objects.checksumHigh(slot));
    }
    if (softPinned) this.time(objects.softPinUntil(slot));
    if (group !== null) this.blob(group.id);
    const count = this.position;
    this.u8(0);
    for (
      let replica = objects.link(slot, ObjectLink.REPLICA);
      replica !== 0;
      replica = replicas.next(replica)
    ) {
      if (!isHoused(this.state, replica)) continue;
      this.#replica(replica);
      this.countAt(count);
    }
    this.end();
  }

  #replica(replica: number): void {
    const { replicas, disks } = this.state;
    const kind = replicas.kind(replica);
    const place = replicas.place(replica);
    this.u8(kind);
    this.u8(replicas.status(replica));
    this.u8(
      (replicas.isStaged(replica) ? KeptReplica.STAGED : 0) |
        (replicas.isTarget(replica) ? KeptReplica.TARGET : 0),
    );
    this.f64(replicas.size(replica));
    if (kind === ReplicaType.MEMORY) return this.extent(replica);
    this.f64(replicas.id(replica));
    this.u32(place === 0 ? 0 : disks.disk(place).client);
    this.text(place === 0 ? "" : disks.endpoint(place));
  }

  #write(write: number): void {
    const { writes } = this.state;
    this.begin(FactKind.WRITE_KEPT);
    this.object(writes.slot(write));
    this.u32(writes.client(write));
    this.time(writes.startMs(write));
    this.f64(writes.size(write));
    this.u8(writes.softAction(write));
    this.u32(writes.softTtlMs(write));
    this.u8(writes.dataType(write));
    this.f64(writes.writeId(write));
    this.u8(
      (writes.hardPin(write) ? KeptWrite.HARD_PIN : 0) |
        (writes.isCommitted(write) ? KeptWrite.COMMITTED : 0),
    );
    this.end();
  }

  #owed(owed: OwedEnd | null): void {
    if (owed !== null) this.#facts.endOwed(owed);
  }

  #task(task: Task): void {
    const { epochOffsetMs } = this.state.config;
    const createdMs = task.createdMs + epochOffsetMs;
    const updatedMs = task.updatedMs + epochOffsetMs;
    this.#facts.task(FactKind.TASK_ADDED, JSON.stringify({ ...task, createdMs, updatedMs }));
  }
}
