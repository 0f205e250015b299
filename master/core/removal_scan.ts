import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import type { Disk } from "./disks.ts";
import { heldUntil, pauseHolds, resumeHolds } from "./holds.ts";
import { KeyScan } from "./key_scan.ts";
import { removeReplica } from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import type { Work } from "./pattern/matcher.ts";
import { isAnyHoused } from "./queries.ts";
import { LifeEvent } from "./life_log.ts";
import { removeSlot } from "./removes.ts";
import type { CoreState } from "./state.ts";

/** Work for an object that is removed, and for one that is taken off a disk. */
const REMOVAL_WORK = 1024;
/** A disk on which more objects stay is not wiped: they would all have to be looked at in one go. */
const MOST_ON_WIPED_DISK = 512;

/** An object that goes when readers do not hold it any more. */
interface AwaitedObject {
  readonly slot: number;
  readonly tenant: number;
  readonly key: Uint8Array;
}

/**
 * Removes the objects that a {@linkcode KeyScan} finds and that may go, in slices. By force it waits
 * for readers that hold one of them; as nobody gets a hold meanwhile, the others have let go by then.
 */
export class RemovalScan {
  /** Objects removed so far. */
  removed = 0;
  readonly #state: CoreState;
  readonly #keys: KeyScan;
  readonly #force: boolean;
  /** Disks on which something was removed, if all keys were asked for: they are to be wiped. */
  readonly #disks: Set<Disk> | null;
  #code: ErrorCode = ErrorCode.OK;
  #awaited: AwaitedObject | null = null;

  constructor(state: CoreState, tenant: number, pattern: Uint8Array | null, force: boolean) {
    this.#state = state;
    this.#keys = new KeyScan(state, tenant, pattern, isAnyHoused);
    this.#force = force;
    this.#disks = pattern === null ? new Set() : null;
  }

  /**
   * How the removal ended: INVALID_PARAMS, or PERSISTENT_FAIL when changes were refused before it was
   * over; what was removed until then stays removed.
   */
  get code(): ErrorCode {
    return this.#code;
  }

  /** Why the pattern was refused, or `null`. */
  get refusal(): string | null {
    return this.#keys.refusal;
  }

  /** Removes objects until the work has run out. Returns whether the removal is over. */
  step(work: Work, nowMs: number): boolean {
    if (this.#state.readOnly) {
      this.#code = ErrorCode.PERSISTENT_FAIL;
      return true;
    }
    const all = this.#disks !== null;
    const reason = all ? LifeEvent.REMOVED_WITH_ALL : LifeEvent.REMOVED_BY_PATTERN;
    if (this.#force) pauseHolds(this.#state, nowMs);
    for (let slot = this.#next(work); slot !== 0; slot = this.#next(work)) {
      if (this.#force && heldUntil(this.#state, slot, nowMs) !== 0) {
        const { objects } = this.#state;
        this.#awaited = { slot, tenant: objects.tenant(slot), key: objects.key(slot) };
        work.left = 0;
        return false;
      }
      work.left -= REMOVAL_WORK;
      const disk = this.#disks === null ? null : diskOf(this.#state, slot);
      if (removeSlot(this.#state, slot, this.#force, nowMs, reason) !== ErrorCode.OK) continue;
      this.removed++;
      if (disk !== null) this.#disks!.add(disk);
    }
    if (this.#keys.refusal !== null) this.#code = ErrorCode.INVALID_PARAMS;
    if (!this.#keys.isOver || this.#awaited !== null || !this.#wipe(work)) return false;
    if (this.#force) resumeHolds(this.#state, nowMs);
    return true;
  }

  /** The next object: the one that was waited for, if it is still there. */
  #next(work: Work): number {
    const awaited = this.#awaited;
    if (awaited === null) return this.#keys.next(work);
    if (work.left <= 0) return 0;
    this.#awaited = null;
    const { slot, tenant, key } = awaited;
    const there = this.#state.objects.find(tenant, key, 0, key.length) === slot;
    return there && isAnyHoused(this.#state, slot) ? slot : this.#keys.next(work);
  }

  /** Wipes disks until the work has run out. Returns whether that is done. */
  #wipe(work: Work): boolean {
    for (const disk of this.#disks ?? []) {
      if (work.left <= 0) return false;
      this.#disks!.delete(disk);
      if (this.#state.disks.of(disk.client) !== disk) continue;
      work.left -= REMOVAL_WORK * wipe(this.#state, disk);
    }
    return true;
  }
}

function diskOf(state: CoreState, slot: number): Disk | null {
  const { replicas, disks } = state;
  let replica = state.objects.link(slot, ObjectLink.REPLICA);
  while (replica !== 0 && replicas.kind(replica) !== ReplicaType.LOCAL_DISK) {
    replica = replicas.next(replica);
  }
  return replica === 0 ? null : disks.disk(replicas.place(replica));
}

/**
 * Has the owner of a disk wipe it, unless objects that stay lie nowhere else, or many stay. Those
 * that are in memory too lose their copy on the disk. Returns how many objects it looked at.
 */
function wipe(state: CoreState, disk: Disk): number {
  const { disks, replicas, objects } = state;
  let count = 1;
  for (let entry = disk.first; entry !== 0; entry = disks.next(entry)) {
    const slot = replicas.slot(disks.replica(entry));
    if (!objects.is(slot, ObjectFlag.IN_MEMORY) || count > MOST_ON_WIPED_DISK) return count;
    count++;
  }
  while (disk.first !== 0) {
    const replica = disks.replica(disk.first);
    removeReplica(state, replicas.slot(replica), replica, 0, false);
  }
  disk.removeAll = true;
  return count;
}
