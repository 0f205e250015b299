/** What dynamic replication knows: reads, copies that are ordered, and copies that it has made. */
import type { Uuid } from "../../proto/types.ts";
import { HeatMeter } from "./heat.ts";

/** Keys that wait to be looked at, and that are left alone for a while. */
const MAX_CANDIDATES = 1024;
const MAX_RESTING = 4096;
/** Decisions that are remembered for people. */
const MAX_DECISIONS = 64;

/** A copy that a client has been asked for. */
export interface HotOrder {
  readonly slot: number;
  readonly task: Uuid;
  /** What the client must show when it begins and ends the copy. */
  readonly leaseId: Uuid;
  /** Id of the replica that is read: another version of the object has others. */
  readonly versionEpoch: number;
  /** Segment names. */
  readonly source: string;
  readonly target: string;
  readonly bytes: number;
  readonly orderedMs: number;
}

/** A replica that is there only because its object is read a lot. */
export interface HotCopy {
  readonly slot: number;
  /** Id of the replica. */
  readonly replica: number;
  readonly bytes: number;
  readonly sinceMs: number;
}

/** Something that was done, or would have been done. `timeMs` is in the core's clock. */
export interface HotDecision {
  readonly timeMs: number;
  readonly what: "would_add" | "ordered" | "added" | "removed_cold" | "removed_for_room" | "failed";
  /** One character per byte. */
  readonly key: string;
  /** Reads per second. */
  readonly rate: number;
  readonly bytes: number;
  /** Segment name that gets or loses the copy. */
  readonly segment: string;
}

/** Volatile: a master that has restarted takes the copies it finds for ordinary replicas. */
export class HotCopies {
  /** Objects that were read often, to be looked at by the next step. */
  readonly candidates = new Set<number>();
  /** By object, at most one each. */
  readonly orders = new Map<number, HotOrder>();
  /** By replica id. */
  readonly copies = new Map<number, HotCopy>();
  /** Objects that are left alone until some time. */
  readonly resting = new Map<number, number>();
  readonly decisions: HotDecision[] = [];
  nextStepMs = -Infinity;
  nextSweepMs = -Infinity;
  #meter: HeatMeter | null = null;
  #copyBytes = 0;
  #orderedBytes = 0;

  /** Bytes of the copies made, and of those ordered. */
  get bytes(): number {
    return this.#copyBytes + this.#orderedBytes;
  }

  get copyBytes(): number {
    return this.#copyBytes;
  }

  /** What measures reads; it begins anew when the window has changed. */
  meter(windowMs: number, nowMs: number): HeatMeter {
    if (this.#meter?.windowMs !== windowMs) this.#meter = new HeatMeter(windowMs, nowMs);
    return this.#meter;
  }

  /** Stops measuring. */
  forgetReads(): void {
    this.#meter = null;
    this.candidates.clear();
    this.resting.clear();
  }

  noteCandidate(slot: number): void {
    if (this.candidates.size < MAX_CANDIDATES) this.candidates.add(slot);
  }

  addOrder(order: HotOrder): void {
    this.orders.set(order.slot, order);
    this.#orderedBytes += order.bytes;
  }

  dropOrder(order: HotOrder): void {
    if (this.orders.delete(order.slot)) this.#orderedBytes -= order.bytes;
  }

  addCopy(copy: HotCopy): void {
    this.copies.set(copy.replica, copy);
    this.#copyBytes += copy.bytes;
  }

  dropCopy(copy: HotCopy): void {
    if (this.copies.delete(copy.replica)) this.#copyBytes -= copy.bytes;
  }

  /** Puts a copy last in the order in which they are looked at. */
  requeue(copy: HotCopy): void {
    this.copies.delete(copy.replica);
    this.copies.set(copy.replica, copy);
  }

  /** Leaves an object alone until `untilMs`. */
  rest(slot: number, untilMs: number): void {
    this.resting.delete(slot);
    this.resting.set(slot, untilMs);
    if (this.resting.size <= MAX_RESTING) return;
    for (const oldest of this.resting.keys()) {
      this.resting.delete(oldest);
      return;
    }
  }

  isResting(slot: number, nowMs: number): boolean {
    const untilMs = this.resting.get(slot);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs) return true;
    this.resting.delete(slot);
    return false;
  }

  tell(decision: HotDecision): void {
    if (this.decisions.length >= MAX_DECISIONS) this.decisions.shift();
    this.decisions.push(decision);
  }
}
