/** Memory segments and the sessions of their owners. */
import { ErrorCode } from "../../proto/error_code.ts";
import {
  ClientStatus,
  type PingResponse,
  type Segment,
  SegmentStatus,
  type Uuid,
} from "../../proto/types.ts";
import type { Client } from "./clients.ts";
import { keepPromises, takeOut } from "./departures.ts";
import { hostOf } from "./key_places.ts";
import {
  killDisk,
  mountSegment as enterSegment,
  noteUnmounted,
  setSegmentStatus,
} from "./mount_mutations.ts";
import { isMountable, type SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/**
 * Lends a segment to the pool. Repeating it changes nothing. One that its owner has taken back since
 * is not mounted again: this mount was on its way for longer than the end.
 */
export function mountSegment(state: CoreState, segment: Segment, client: number): ErrorCode {
  if (!isMountable(segment)) return ErrorCode.INVALID_PARAMS;
  state.clients.see(client);
  const present = state.segments.byId(segment.id);
  if (present !== null && state.segments.awaiting.has(present)) {
    return reattach(state, present, segment, client);
  }
  if (present !== null && present.status !== SegmentStatus.OK) {
    return ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
  }
  if (segment.hostId !== "") state.clients.get(client).hostId = segment.hostId;
  if (present !== null) return ErrorCode.OK;
  if (state.unmounted.has(segment.id, state.clients.get(client).uuid)) {
    return ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
  }
  if (state.readOnly) return ErrorCode.PERSISTENT_FAIL;
  const index = state.segments.nextIndex();
  if (index < 0) return ErrorCode.INTERNAL_ERROR;
  const entry = enterSegment(state, index, segment, client);
  entry.joinedMs = state.clients.awakeMs;
  state.slowStartUntilMs = entry.joinedMs + state.config.slowStartMs;
  keepPromises(state, entry);
  return ErrorCode.OK;
}

/** Makes what lies in an awaited segment readable again: its owner shows that it still holds it. */
function reattach(
  state: CoreState,
  entry: SegmentEntry,
  segment: Segment,
  client: number,
): ErrorCode {
  if (!isSameSegment(entry.view.segment, segment) || entry.owner !== client) {
    return ErrorCode.INVALID_PARAMS;
  }
  state.segments.attach(entry);
  if (segment.hostId !== "") state.clients.get(client).hostId = segment.hostId;
  return ErrorCode.OK;
}

/**
 * Brings all segments of a client back after its session was lost. Those that are still mounted stay
 * as they are, with everything in them; they must be the client's and described as before. Segments
 * of the client that are not named stay, too: the list may be older than their mounts.
 */
export function remountSegments(
  state: CoreState,
  segments: readonly Segment[],
  client: number,
): ErrorCode {
  for (const segment of segments) {
    const present = state.segments.byId(segment.id);
    if (present === null) continue;
    const same = present.owner === client && isSameSegment(present.view.segment, segment);
    if (!same) return ErrorCode.INVALID_PARAMS;
  }
  state.clients.see(client);
  if (state.clients.get(client).remounted) return ErrorCode.OK;
  for (const segment of segments) {
    const code = mountSegment(state, segment, client);
    const skipped = code === ErrorCode.INVALID_PARAMS ||
      code === ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
    if (code !== ErrorCode.OK && !skipped) return code;
  }
  state.clients.setRemounted(client);
  const disk = state.disks.of(client);
  if (disk !== null) disk.awaiting = false;
  return ErrorCode.OK;
}

/**
 * Makes a core that has taken over wait for the owners of all segments and disks: until they come
 * back, or their time is up, what they hold is neither readable nor lost.
 */
export function awaitOwners(state: CoreState): void {
  for (const entry of state.segments.mounted()) state.segments.await(entry);
  for (const disk of state.disks.all()) disk.awaiting = true;
  state.awaitedUntilMs = state.clients.awakeMs + state.config.reattachGraceMs;
}

/** Gives up on owners that have not come back in time. Returns the names of their segments. */
export function giveUpAwaiting(state: CoreState, nowMs: number): string[] {
  if (state.clients.awakeMs < state.awaitedUntilMs) return [];
  state.awaitedUntilMs = Infinity;
  const names = Array.from(state.segments.awaiting, ({ name }) => name.name);
  for (const { index } of state.segments.awaiting) state.lives.expired.add(index);
  takeOut(state, Array.from(state.segments.awaiting), nowMs);
  for (const disk of Array.from(state.disks.all())) if (disk.awaiting) killDisk(state, disk);
  return Array.from(new Set(names));
}

/** Takes a segment out of the pool at once: what lies in it is gone. Repeating it changes nothing. */
export function unmountSegment(state: CoreState, id: Uuid, client: Uuid, nowMs: number): ErrorCode {
  const entry = state.segments.byId(id);
  if (entry === null) {
    state.unmounted.add(id, client);
    return ErrorCode.OK;
  }
  if (entry.owner !== state.clients.find(client)) return ErrorCode.INVALID_PARAMS;
  noteUnmounted(state, id, client);
  takeOut(state, [entry], nowMs);
  return ErrorCode.OK;
}

/**
 * Takes a segment out of the pool when `gracePeriodMs` have passed; until then it can be read.
 * Repeating it changes nothing, before and after.
 */
export function gracefulUnmountSegment(
  state: CoreState,
  id: Uuid,
  client: Uuid,
  gracePeriodMs: number,
  nowMs: number,
): ErrorCode {
  const owner = state.clients.find(client);
  const entry = state.segments.byId(id);
  if (entry === null && state.unmounted.has(id, client)) return ErrorCode.OK;
  if (state.segments.byOwner(owner).length === 0) return ErrorCode.SEGMENT_NOT_FOUND;
  if (entry === null || entry.owner !== owner) return ErrorCode.INVALID_PARAMS;
  const { status } = entry;
  if (status === SegmentStatus.GRACEFULLY_UNMOUNTING) return ErrorCode.OK;
  const mayLeave = status === SegmentStatus.OK || status === SegmentStatus.DRAINING ||
    status === SegmentStatus.DRAINED;
  if (!mayLeave) {
    return ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
  }
  const untilMs = nowMs + gracePeriodMs;
  setSegmentStatus(state, entry, SegmentStatus.GRACEFULLY_UNMOUNTING, untilMs);
  return ErrorCode.OK;
}

/** Notes a ping and answers whether the client has to bring its segments back. */
export function ping(state: CoreState, client: number): PingResponse {
  state.clients.see(client);
  const known = state.clients.get(client);
  known.pings = true;
  const { remounted } = known;
  return {
    viewVersionId: 0,
    clientStatus: remounted ? ClientStatus.OK : ClientStatus.NEED_REMOUNT,
  };
}

/**
 * Ends the session of a client that has been silent too long, and takes its disk back. Returns its
 * segments, which have to be taken out as well.
 */
export function expireClient(state: CoreState, client: Client): readonly SegmentEntry[] {
  const segments = state.segments.byOwner(client.index);
  const disk = state.disks.of(client.index);
  if (disk !== null) killDisk(state, disk);
  state.clients.expire(client);
  client.pings = client.fencesWriters = false;
  return segments;
}

/** Status of the segment mounted last under a name, 0 = there is none. */
export function segmentStatusByName(state: CoreState, name: string): SegmentStatus {
  const entry = state.segments.byName(name)?.mounted.at(-1);
  return entry?.status ?? SegmentStatus.UNDEFINED;
}

/** Hosts of a client's segments, without ports; `null` when it has no segment. */
export function hostsOf(state: CoreState, client: number): string[] | null {
  const entries: readonly SegmentEntry[] = state.segments.byOwner(client);
  if (entries.length === 0) return null;
  const hosts = entries.map((entry) => hostOf(entry.view.segment.teEndpoint));
  return Array.from(new Set(hosts.filter((host) => host !== "")));
}

function isSameSegment(a: Segment, b: Segment): boolean {
  return a.id === b.id && a.name === b.name && a.base === b.base && a.size === b.size &&
    a.teEndpoint === b.teEndpoint && a.protocol === b.protocol && a.hostId === b.hostId;
}
