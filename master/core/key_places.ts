/** Where many keys are, packed so that an answer about thousands of them costs few objects. */
import { ReplicaType } from "../../proto/types.ts";
import { firstReadable, isAnyHoused, isReadable } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** What can be said of a key. */
export const KeyState = { MISSING: 0, NOT_READY: 1, READY: 2 } as const;
export type KeyState = (typeof KeyState)[keyof typeof KeyState];

/** Keys one after the other in `bytes`; key `i` ends at `ends[i]`. */
export interface PackedKeys {
  bytes: Uint8Array;
  ends: Uint32Array;
}

/** A segment, a client's disk (at one endpoint), or the shared file system. */
export interface Place {
  tier: "memory" | "local_disk" | "disk";
  /** `null` = it has no name of its own. */
  segment: string | null;
  /** Host of the owner, `null` for what belongs to no host. */
  host: string | null;
  /** Where it is served, `null` = nowhere. */
  endpoint: string | null;
}

/** Key `i` has the replicas `[ends[i - 1], ends[i])`, and its size and lease are at `i`. */
export interface KeyPlaces {
  places: Place[];
  states: Uint8Array<ArrayBuffer>;
  /** Milliseconds. */
  leaseLeft: Float64Array<ArrayBuffer>;
  ends: Uint32Array<ArrayBuffer>;
  /** Index of each replica's place. */
  placeOf: Uint32Array<ArrayBuffer>;
  /** Bytes of each replica. */
  sizes: Float64Array<ArrayBuffer>;
}

/** Looks keys up without a lease and without counting. */
export function keyPlaces(
  state: CoreState,
  tenant: number,
  keys: PackedKeys,
  nowMs: number,
): KeyPlaces {
  const { objects, replicas } = state;
  const found = new PlaceFinder(state);
  const states = new Uint8Array(keys.ends.length);
  const leaseLeft = new Float64Array(keys.ends.length);
  const ends = new Uint32Array(keys.ends.length);
  const placeOf: number[] = [];
  const sizes: number[] = [];
  let start = 0;
  keys.ends.forEach((end, i) => {
    const slot = objects.find(tenant, keys.bytes, start, end);
    start = end;
    if (slot !== 0 && isAnyHoused(state, slot)) {
      states[i] = KeyState.NOT_READY;
      let replica = firstReadable(state, slot);
      for (; replica !== 0; replica = replicas.next(replica)) {
        if (!isReadable(state, replica)) continue;
        states[i] = KeyState.READY;
        placeOf.push(found.placeOf(replica));
        sizes.push(replicas.size(replica));
      }
      if (states[i] === KeyState.READY) {
        leaseLeft[i] = Math.max(0, objects.leaseUntil(slot) - nowMs);
      }
    }
    ends[i] = placeOf.length;
  });
  return {
    ...{ places: found.places, states, leaseLeft, ends },
    placeOf: Uint32Array.from(placeOf),
    sizes: Float64Array.from(sizes),
  };
}

/** Numbers the places in the order in which they are met. */
class PlaceFinder {
  readonly places: Place[] = [];
  readonly #state: CoreState;
  readonly #segments = new Map<number, number>();
  readonly #endpoints = new Map<string, number>();
  #shared = -1;

  constructor(state: CoreState) {
    this.#state = state;
  }

  placeOf(replica: number): number {
    const { replicas, segments, disks } = this.#state;
    if (replicas.isMemory(replica)) {
      const index = replicas.segment(replica);
      const known = this.#segments.get(index);
      if (known !== undefined) return known;
      const { name, teEndpoint, hostId } = segments.at(index).view.segment;
      const host = hostId || hostOf(teEndpoint || name);
      const place = this.#add({ tier: "memory", segment: name, host, endpoint: teEndpoint });
      this.#segments.set(index, place);
      return place;
    }
    if (replicas.kind(replica) === ReplicaType.LOCAL_DISK) {
      const endpoint = disks.endpoint(replicas.place(replica));
      const known = this.#endpoints.get(endpoint);
      if (known !== undefined) return known;
      const host = hostOf(endpoint);
      const place = this.#add({ tier: "local_disk", segment: null, host, endpoint });
      this.#endpoints.set(endpoint, place);
      return place;
    }
    if (this.#shared < 0) {
      this.#shared = this.#add({ tier: "disk", segment: null, host: null, endpoint: null });
    }
    return this.#shared;
  }

  #add(place: Place): number {
    return this.places.push(place) - 1;
  }
}

/** The host in `host:port`; an IPv6 address is in brackets there, or has no port. */
export function hostOf(endpoint: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(endpoint);
  if (bracketed !== null) return bracketed[1];
  const colon = endpoint.indexOf(":");
  const several = colon >= 0 && endpoint.indexOf(":", colon + 1) >= 0;
  return colon < 0 || several ? endpoint : endpoint.slice(0, colon);
}
