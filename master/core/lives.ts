/** What became of a key, for people who ask. */
import { causeOf, type LifeEvent, type LifeRecord, type MissCause } from "./life_log.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { isAnyHoused } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** Events of one key that are told. */
const MOST_EVENTS = 64;

/** Notes what happens to an object, before it does. */
export function noteLife(state: CoreState, slot: number, event: LifeEvent): void {
  const { lives, objects, config } = state;
  if (lives.capacity === 0 || objects.isReserved(slot)) return;
  const committed = objects.is(slot, ObjectFlag.COMMITTED);
  const usedMs = objects.leaseUntil(slot);
  lives.note(
    event,
    objects.hash(slot),
    objects.keyLength(slot),
    committed ? objects.since(slot) : 0,
    usedMs === 0 ? 0 : Math.floor((usedMs + config.epochOffsetMs) / 1000),
    objects.size(slot),
  );
}

/** Why nothing of an object can be reached. */
export function absence(state: CoreState, slot: number): MissCause {
  if (isAnyHoused(state, slot)) return "owner_away";
  const { objects, replicas, lives } = state;
  const replica = objects.link(slot, ObjectLink.REPLICA);
  if (replica === 0 || !replicas.isMemory(replica)) return "lost";
  return lives.expired.has(replicas.segment(replica)) ? "owner_expired" : "owner_unmounted";
}

/** What is known of a key's life. */
export interface KeyLife {
  /** Why it cannot be found, `null` = it is there, readable or not. */
  cause: MissCause | null;
  /** Newest first. */
  events: LifeRecord[];
}

/** Looks a key's life up, without counting that as a miss. */
export function keyLife(state: CoreState, tenant: number, key: Uint8Array): KeyLife {
  const { objects, lives } = state;
  const slot = objects.find(tenant, key, 0, key.length);
  const hash = objects.lastHash;
  const events = lives.history(hash, key.length, MOST_EVENTS);
  if (slot === 0) {
    return { cause: causeOf(lives.lastEvent(hash, key.length, lives.next)), events };
  }
  return { cause: isAnyHoused(state, slot) ? null : absence(state, slot), events };
}
