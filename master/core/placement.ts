/** Where the replicas of an object go. */
import type { ReplicateConfig } from "../../proto/types.ts";
import type { CoreConfig } from "./api.ts";
import { yieldAside } from "./aside.ts";
import { randomBelow } from "./rng.ts";
import type { SegmentEntry, SegmentName } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { isSuspect } from "./store_health.ts";

/** Names that a ranking strategy compares for each replica that it places. */
const CANDIDATES_PER_REPLICA = 6;
/** Share of a segment that has just joined, and how finely shares are told apart. */
const LEAST_SHARE = 0.05;
const SHARE_STEPS = 1024;

/**
 * Finds room for up to `state.request.wanted` replicas, each under another segment name, and enters
 * the extents in the request. Segments of clients that have missed pings, and of stores that their users suspect, are used only
 * when there is no other room, what a compaction empties is taken before nothing is. Returns the number found.
 */
export function placeReplicas(state: CoreState): number {
  const { request } = state;
  request.count = 0;
  place(state, false);
  if (request.count < request.wanted && hasSuspects(state)) place(state, true);
  if (request.count === 0 && yieldAside(state, request.size)) return placeReplicas(state);
  return request.count;
}

/**
 * {@linkcode placeReplicas} without giving way to anything: `false`, and nothing is taken, unless there
 * is room for all replicas in segments that nobody suspects.
 */
export function placeAtEase(state: CoreState): boolean {
  const { request } = state;
  request.count = 0;
  place(state, false);
  if (request.count === request.wanted) return true;
  abandonPlacement(state);
  return false;
}

/** One extent of `size` bytes under a segment name, or 0. */
export function placeUnder(state: CoreState, name: SegmentName, size: number): number {
  return allocateUnder(state, name, size, false) || allocateUnder(state, name, size, true);
}

/** Gives back what {@linkcode placeReplicas} found. */
export function abandonPlacement(state: CoreState): void {
  const { request } = state;
  for (let i = 0; i < request.count; i++) {
    const entry = state.segments.at(state.extents.segment(request.extents[i]));
    entry.allocator.free(request.extents[i]);
  }
  request.count = 0;
}

/** Names that a configuration prefers, most preferred first. */
export function preferredNames(config: ReplicateConfig): readonly string[] {
  return config.preferredSegment !== "" ? [config.preferredSegment] : config.preferredSegments;
}

function place(state: CoreState, suspects: boolean): void {
  const { request, segments } = state;
  const { preferred, wanted, size } = request;
  for (let i = 0; i < preferred.length && request.count < wanted; i++) {
    const name = segments.byName(preferred[i]);
    if (name !== null) tryName(state, name, size, suspects);
  }
  if (request.writerHost !== "" && request.count < wanted) placeByHost(state, suspects);
  const names = segments.openNames;
  if (names.length === 0 || request.count >= wanted) return;
  if (names.length > 1 && ranks(state.config.allocationStrategy)) placeRanked(state, suspects);
  const start = names.length === 1 ? 0 : randomBelow(state.rng, names.length);
  if (state.slowStartUntilMs > state.clients.awakeMs) {
    for (let i = 0; i < names.length && request.count < wanted; i++) {
      const name = names[(start + i) % names.length];
      const share = shareOf(state, name);
      if (share >= 1 || randomBelow(state.rng, SHARE_STEPS) < share * SHARE_STEPS) {
        tryName(state, name, size, suspects);
      }
    }
  }
  for (let i = 0; i < names.length && request.count < wanted; i++) {
    tryName(state, names[(start + i) % names.length], size, suspects);
  }
}

/**
 * The share of a full segment's new objects that the segments of a name get: less than 1 for a time
 * after they joined, so that an empty one is not flooded with what is read most.
 */
function shareOf(state: CoreState, name: SegmentName): number {
  const { slowStartMs } = state.config;
  let share = 0;
  for (const { joinedMs } of name.open) {
    const ageMs = state.clients.awakeMs - joinedMs;
    share = Math.max(share, ageMs >= slowStartMs ? 1 : ageMs / slowStartMs);
  }
  return Math.max(share, LEAST_SHARE);
}

function ranks(strategy: CoreConfig["allocationStrategy"]): boolean {
  return strategy === "free_ratio_first" || strategy === "ssd_free_ratio_first";
}

/** Takes the best scored of a sample of names first. */
function placeRanked(state: CoreState, suspects: boolean): void {
  const { request } = state;
  const names = state.segments.openNames;
  const missing = request.wanted - request.count;
  const sample = Math.min(CANDIDATES_PER_REPLICA * missing, names.length);
  const start = randomBelow(state.rng, names.length);
  const score = state.config.allocationStrategy === "ssd_free_ratio_first"
    ? diskFreeRatio
    : memoryFreeRatio;
  const ranked = Array.from({ length: sample }, (_, i) => {
    const name = names[(start + i) % names.length];
    const share = state.slowStartUntilMs > state.clients.awakeMs ? shareOf(state, name) : 1;
    return { name, score: score(state, name) * share };
  });
  ranked.sort((a, b) => b.score - a.score);
  for (let i = 0; i < ranked.length && request.count < request.wanted; i++) {
    tryName(state, ranked[i].name, request.size, suspects);
  }
}

/** Segments of the writer's host, then those of the following hosts in alphabetical order. */
function placeByHost(state: CoreState, suspects: boolean): void {
  const { request } = state;
  const hosts = namesByHost(state);
  const order = Array.from(hosts.keys()).sort();
  const first = order.findIndex((host) => host >= request.writerHost);
  for (let i = 0; i < order.length; i++) {
    const names = hosts.get(order[(Math.max(first, 0) + i) % order.length])!;
    const start = (request.salt >>> 0) % names.length;
    for (let j = 0; j < names.length; j++) {
      if (request.count >= request.wanted) return;
      tryName(state, names[(start + j) % names.length], request.size, suspects);
    }
  }
}

function namesByHost(state: CoreState): Map<string, SegmentName[]> {
  const hosts = new Map<string, SegmentName[]>();
  for (const name of state.segments.openNames) {
    for (const host of new Set(name.open.map((entry) => entry.view.segment.hostId))) {
      if (host === "") continue;
      const names = hosts.get(host);
      if (names === undefined) hosts.set(host, [name]);
      else names.push(name);
    }
  }
  return hosts;
}

function tryName(state: CoreState, name: SegmentName, size: number, suspects: boolean): void {
  const { request, extents } = state;
  for (let i = 0; i < request.count; i++) {
    if (state.segments.at(extents.segment(request.extents[i])).name === name) return;
  }
  const extent = allocateUnder(state, name, size, suspects);
  if (extent !== 0) request.extents[request.count++] = extent;
}

function allocateUnder(
  state: CoreState,
  name: SegmentName,
  size: number,
  suspects: boolean,
): number {
  const { open } = name;
  const start = open.length > 1 ? randomBelow(state.rng, open.length) : 0;
  for (let i = 0; i < open.length; i++) {
    const entry = open[(start + i) % open.length];
    if (isSuspect(state, entry) !== suspects) continue;
    const extent = allocateIn(state, entry, size);
    if (extent !== 0) return extent;
  }
  return 0;
}

function allocateIn(state: CoreState, entry: SegmentEntry, size: number): number {
  const units = state.segments.unitsFor(entry, size);
  return units > entry.allocator.freeUnits ? 0 : entry.allocator.allocate(units);
}

function hasSuspects(state: CoreState): boolean {
  return state.segments.openNames.some((name) =>
    name.open.some((entry) => isSuspect(state, entry))
  );
}

function memoryFreeRatio(_state: CoreState, name: SegmentName): number {
  let free = 0;
  let total = 0;
  for (const { allocator, unitBytes } of name.open) {
    free += allocator.freeUnits * unitBytes;
    total += allocator.totalUnits * unitBytes;
  }
  return total === 0 ? 0 : free / total;
}

function diskFreeRatio(state: CoreState, name: SegmentName): number {
  let best = 0;
  for (const { owner } of name.open) {
    const disk = state.disks.of(owner);
    if (disk === null || disk.capacityBytes === 0) continue;
    best = Math.max(best, 1 - disk.usedBytes / disk.capacityBytes);
  }
  return best;
}
