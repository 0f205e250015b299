/**
 * Holds: a reader that looked an object up is promised that for a short time nothing makes the
 * version stale that it was told of. It reads it meanwhile without asking again. Who would make it
 * stale waits until the holds are over, as in Gray and Cheriton's leases (SOSP 1989), where a writer
 * waits for the short term of the readers.
 *
 * Everything that may end the version that a key has is one of these:
 *
 * - PutEnd, UpsertEnd, EndAndReserve and PutRevoke, which make another version the object's: they wait.
 * - Removals by force, and those after the lease: they wait. Scans go on with what waits when its time
 *   has come (`removal_scan.ts`); BatchReplicaClear leaves out what is held.
 * - What takes an object away for want of room, in a drain or to its owner's disk respects the lease,
 *   which is never shorter than the hold.
 * - Copies, moves and thinning change where the version is, not which it is; memory that was told of
 *   stays untouched until the lease is over.
 * - Segments and disks that go, with their owners or without, and writes that take the place of what
 *   was lost, erase objects at once. Then nobody can read the key, until a new version comes: that
 *   waits. `eraseObject`, through which every object goes, notes it (see {@linkcode noteErased}).
 *
 * Nothing of this is durable. A core that takes over from another one behaves for the longest time of a
 * hold as if everything were held.
 */
import { ObjectFlag, ObjectHold, type ObjectHold as Hold } from "./objects.ts";
import type { CoreConfig } from "./api.ts";
import type { CoreState } from "./state.ts";

/** Longest time of a hold: whatever the settings of the core before this one, it gave no longer ones. */
export const MAX_READ_HOLD_MS = 250;

/** For so long after a slice of a forced scan that goes on nobody gets a hold. */
const SCAN_PAUSE_MS = 1000;

/** What is known of holds beside the mark of each object. */
export class Holds {
  /** Until then every version may be held: a core before this one may have promised it. */
  inheritedUntilMs = -Infinity;
  /** Until then holds may last that were given under other settings. */
  earlierUntilMs = -Infinity;
  /** Nobody gets a hold from the one to the other. */
  pausedSinceMs = -Infinity;
  pausedUntilMs = -Infinity;
  /** Holds given since the start, and objects that were to change or went while they were held. */
  granted = 0;
  met = 0;
  /** Ends of holds, by hash of the key, of objects that get no more of them or that are gone. */
  readonly #ends = new Map<number, number>();
  #seenMs = -Infinity;

  /** The latest time heard of. */
  get seenMs(): number {
    return this.#seenMs;
  }

  see(nowMs: number): void {
    if (nowMs > this.#seenMs) this.#seenMs = nowMs;
  }

  /** Ends that are remembered. */
  get count(): number {
    return this.#ends.size;
  }

  note(hash: number, untilMs: number): void {
    this.met++;
    if (untilMs > (this.#ends.get(hash) ?? -Infinity)) this.#ends.set(hash, untilMs);
  }

  /** Until when the keys of a hash, or all, may be held by somebody. */
  endOf(hash: number): number {
    return Math.max(this.inheritedUntilMs, this.#ends.get(hash) ?? -Infinity);
  }

  /** Forgets what is over. None lasts for longer than {@linkcode MAX_READ_HOLD_MS} after it was noted. */
  tick(nowMs: number): void {
    this.see(nowMs);
    for (const [hash, untilMs] of this.#ends) {
      if (untilMs > nowMs) return;
      this.#ends.delete(hash);
    }
  }
}

/** Milliseconds that a hold lasts under these settings; 0 = none is given. */
export function readHoldMs({ readHoldMs, defaultKvLeaseTtlMs }: CoreConfig): number {
  return Math.floor(Math.min(readHoldMs, defaultKvLeaseTtlMs));
}

/**
 * Promises a reader who is told of an object, and whose lease has just been renewed, that the object's
 * version stays. Returns for how many milliseconds, 0 = not at all.
 */
export function grantHold(
  { holds, objects, config }: CoreState,
  slot: number,
  nowMs: number,
): number {
  const ms = readHoldMs(config);
  if (ms === 0 || nowMs < holds.pausedUntilMs) return 0;
  const hold = objects.hold(slot);
  if (hold === ObjectHold.REFUSED) return 0;
  if (hold === ObjectHold.NONE) objects.setHold(slot, ObjectHold.GRANTED);
  holds.see(nowMs);
  holds.granted++;
  return ms;
}

/** An object is about to be replaced: from now on nobody gets a hold on it. */
export function refuseHolds(state: CoreState, slot: number, nowMs: number): void {
  const { objects, holds } = state;
  holds.see(nowMs);
  const hold = objects.hold(slot);
  if (hold === ObjectHold.REFUSED || !objects.is(slot, ObjectFlag.COMMITTED)) return;
  const untilMs = grantedUntil(state, slot, hold);
  if (untilMs > nowMs) holds.note(objects.hash(slot), untilMs);
  objects.setHold(slot, ObjectHold.REFUSED);
}

/**
 * Until when nothing may become of an object, or under the key of one that is not there yet, that makes
 * stale what a reader was told; 0 = it may. Who asks wants that: nobody gets further holds on it.
 */
export function heldUntil(state: CoreState, slot: number, nowMs: number): number {
  refuseHolds(state, slot, nowMs);
  return heldKeyUntil(state, state.objects.hash(slot), nowMs);
}

/** {@linkcode heldUntil} of a key that has no object, by its hash. */
export function heldKeyUntil({ holds }: CoreState, hash: number, nowMs: number): number {
  const untilMs = holds.endOf(hash);
  return untilMs > nowMs ? untilMs : 0;
}

/** Nobody gets a hold while a scan removes by force. */
export function pauseHolds({ holds }: CoreState, nowMs: number): void {
  holds.see(nowMs);
  if (nowMs >= holds.pausedUntilMs) holds.pausedSinceMs = nowMs;
  holds.pausedUntilMs = nowMs + SCAN_PAUSE_MS;
}

/** Such a scan is over; another one says again that it goes on. */
export function resumeHolds({ holds }: CoreState, nowMs: number): void {
  holds.see(nowMs);
  holds.pausedUntilMs = nowMs;
}

/** An object is about to be erased, whether it is held or not. */
export function noteErased(state: CoreState, slot: number): void {
  const { objects, holds } = state;
  const untilMs = grantedUntil(state, slot, objects.hold(slot));
  if (untilMs > holds.seenMs) holds.note(objects.hash(slot), untilMs);
}

/** What was promised under settings that do not hold any more stays promised. */
export function keepHolds({ holds, config }: CoreState, nowMs: number): void {
  holds.earlierUntilMs = nowMs + readHoldMs(config);
}

/** Holds that nobody remembers may be in force: those that a core before this one gave. */
export function inheritHolds({ holds }: CoreState, nowMs: number): void {
  holds.inheritedUntilMs = nowMs + MAX_READ_HOLD_MS;
}

/**
 * Until when holds of an object may last, at most. Each was given when the lease was renewed for the
 * length that the settings say; a lease is never made shorter. So what is left of the lease tells when
 * the last one began, or a later renewal without a hold, and more is not known nor needed. While
 * nobody gets any, the last one began before that.
 */
function grantedUntil({ objects, holds, config }: CoreState, slot: number, hold: Hold): number {
  if (hold !== ObjectHold.GRANTED) return -Infinity;
  const renewedMs = objects.leaseUntil(slot) - config.defaultKvLeaseTtlMs;
  const paused = holds.seenMs < holds.pausedUntilMs;
  const givenMs = paused ? Math.min(renewedMs, holds.pausedSinceMs) : renewedMs;
  return Math.max(givenMs + readHoldMs(config), holds.earlierUntilMs);
}
