import { ReplicaStatus, ReplicaType } from "../../proto/types.ts";
import { ordinaryPages, type PageSource } from "./pages.ts";
import { RecordPool } from "./records.ts";

/** Words of a record. */
const ID = 0;
const SIZE = 2;
const SLOT = 4;
const NEXT = 5;
const META = 6;
const PLACE = 7;
const WORDS = 8;

const STATUS_SHIFT = 3;
const STAGED = 1 << 6;
const TARGET = 1 << 7;
const PINS_SHIFT = 8;
const PINS_MASK = 15 << PINS_SHIFT;
const SEGMENT_SHIFT = 12;

/** Segments that a replica can name. */
export const MAX_SEGMENTS = 1 << 20;

/**
 * Replicas of all objects, 32 bytes each, chained per object in the order of their creation.
 *
 * A memory replica names a segment and an extent in it; a replica on a client's disk an entry of the
 * disk table; a replica in the shared file system nothing, its path follows from the key.
 */
export class ReplicaTable {
  readonly #records: RecordPool;

  constructor(pages: PageSource = ordinaryPages) {
    this.#records = new RecordPool(WORDS, pages);
  }

  get count(): number {
    return this.#records.live;
  }

  /** Every replica in use is below this. */
  get limit(): number {
    return this.#records.limit;
  }

  get reservedBytes(): number {
    return this.#records.reservedBytes;
  }

  /** A replica that is not in any chain yet. `place` is an extent or a disk entry. */
  create(
    id: number,
    slot: number,
    kind: ReplicaType,
    status: ReplicaStatus,
    size: number,
    segment: number,
    place: number,
  ): number {
    const replica = this.#records.allocate();
    this.#records.setFloat(replica, ID, id);
    this.#records.setFloat(replica, SIZE, size);
    this.#records.setWord(replica, SLOT, slot);
    this.#records.setWord(replica, META, kind | status << STATUS_SHIFT | segment << SEGMENT_SHIFT);
    this.#records.setWord(replica, PLACE, place);
    return replica;
  }

  release(replica: number): void {
    this.#records.release(replica);
  }

  /** Unique in the life of the cluster, and growing. */
  id(replica: number): number {
    return this.#records.float(replica, ID);
  }

  size(replica: number): number {
    return this.#records.float(replica, SIZE);
  }

  setSize(replica: number, size: number): void {
    this.#records.setFloat(replica, SIZE, size);
  }

  /** The object it belongs to. */
  slot(replica: number): number {
    return this.#records.word(replica, SLOT);
  }

  /** The next replica of the object, or 0. */
  next(replica: number): number {
    return this.#records.word(replica, NEXT);
  }

  setNext(replica: number, next: number): void {
    this.#records.setWord(replica, NEXT, next);
  }

  kind(replica: number): ReplicaType {
    return (this.#records.word(replica, META) & 7) as ReplicaType;
  }

  isMemory(replica: number): boolean {
    return (this.#records.word(replica, META) & 7) === ReplicaType.MEMORY;
  }

  status(replica: number): ReplicaStatus {
    return (this.#records.word(replica, META) >>> STATUS_SHIFT & 7) as ReplicaStatus;
  }

  setStatus(replica: number, status: ReplicaStatus): void {
    const rest = this.#records.word(replica, META) & ~(7 << STATUS_SHIFT);
    this.#records.setWord(replica, META, rest | status << STATUS_SHIFT);
  }

  isComplete(replica: number): boolean {
    return this.status(replica) === ReplicaStatus.COMPLETE;
  }

  /** Whether it belongs to a version that is not committed yet. */
  isStaged(replica: number): boolean {
    return (this.#records.word(replica, META) & STAGED) !== 0;
  }

  setStaged(replica: number, staged: boolean): void {
    const rest = this.#records.word(replica, META) & ~STAGED;
    this.#records.setWord(replica, META, staged ? rest | STAGED : rest);
  }

  /** Whether a transfer is writing it. */
  isTarget(replica: number): boolean {
    return (this.#records.word(replica, META) & TARGET) !== 0;
  }

  setTarget(replica: number, target: boolean): void {
    const rest = this.#records.word(replica, META) & ~TARGET;
    this.#records.setWord(replica, META, target ? rest | TARGET : rest);
  }

  /** How many transfers and offloads read from it at the moment. */
  pins(replica: number): number {
    return (this.#records.word(replica, META) & PINS_MASK) >>> PINS_SHIFT;
  }

  setPins(replica: number, pins: number): void {
    const rest = this.#records.word(replica, META) & ~PINS_MASK;
    this.#records.setWord(replica, META, rest | (pins << PINS_SHIFT & PINS_MASK));
  }

  /** The segment of a memory replica. */
  segment(replica: number): number {
    return this.#records.word(replica, META) >>> SEGMENT_SHIFT;
  }

  /** The extent of a memory replica; 0 for other replicas, and for 0. */
  extent(replica: number): number {
    return replica !== 0 && this.isMemory(replica) ? this.#records.word(replica, PLACE) : 0;
  }

  /** The extent of a memory replica, the disk entry of one on a client's disk. */
  place(replica: number): number {
    return this.#records.word(replica, PLACE);
  }
}
