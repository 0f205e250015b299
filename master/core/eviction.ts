/** Making room: exact least-recently-used order, leases and pins respected, work bounded per call. */
import { Counter } from "./counters.ts";
import { dropIdleMemory } from "./drop_memory.ts";
import { shedCopies, shedForPut } from "./dynamic_replication.ts";
import { lastUsedMs, relist } from "./leases.ts";
import { LifeEvent } from "./life_log.ts";
import { RecencyList, type TenantOrder } from "./lru.ts";
import { ObjectFlag } from "./objects.ts";
import { offloadBeforeEviction } from "./offload.ts";
import { placeReplicas } from "./placement.ts";
import { isAnyReachable, listFor } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** Objects that one put may evict, and one tick. */
const MAX_PER_PUT = 512;
const MAX_PER_TICK = 256;

/**
 * Evicts until `state.request` finds room. `false` when there is nothing more to evict or too much
 * would have to go; the next ticks then free a whole eviction ratio. Nothing is evicted for what no
 * segment could hold.
 */
export function makeRoom(state: CoreState, nowMs: number): boolean {
  const { counters, request } = state;
  if (!state.segments.couldHold(request.size)) return false;
  if (state.hot.copies.size > 0 && shedForPut(state, nowMs)) return true;
  state.lives.evicting = LifeEvent.EVICTED_FOR_PUT;
  const enough = request.size + state.config.evictionRatio * counters.get(Counter.CAPACITY_BYTES);
  for (let i = 0; i < MAX_PER_PUT && state.offloadingBytes < enough; i++) {
    const victim = nextVictim(state, nowMs);
    if (victim === 0) break;
    if (i === 0) {
      counters.add(Counter.EVICTIONS_ATTEMPTED, 1);
      counters.add(Counter.PUT_EVICTIONS, 1);
    }
    const longest = evict(state, victim, nowMs);
    if (longest < request.size || placeReplicas(state) === 0) continue;
    counters.add(Counter.EVICTIONS_SUCCESSFUL, 1);
    return true;
  }
  const ratio = state.config.evictionRatio;
  state.wantedBytes = Math.max(state.wantedBytes, ratio * counters.get(Counter.CAPACITY_BYTES));
  return false;
}

/**
 * Evicts a bounded number of objects when memory is fuller than the watermark, or when a put found
 * no room. Returns whether there is more to do.
 */
export function evictSlice(state: CoreState, nowMs: number): boolean {
  const { counters, config } = state;
  const capacity = counters.get(Counter.CAPACITY_BYTES);
  if (capacity === 0) return false;
  state.lives.evicting = LifeEvent.EVICTED;
  const { evictionHighWatermarkRatio: high, evictionRatio } = config;
  const allocated = counters.get(Counter.ALLOCATED_BYTES);
  if (allocated / capacity > high) {
    const wanted = Math.floor(allocated - (high - evictionRatio) * capacity);
    if (state.wantedBytes <= 0) counters.add(Counter.EVICTIONS_ATTEMPTED, 1);
    state.wantedBytes = Math.max(state.wantedBytes, wanted - state.offloadingBytes);
  }
  if (state.wantedBytes > 0 && state.hot.copies.size > 0) {
    state.wantedBytes -= shedCopies(state, state.wantedBytes, nowMs);
  }
  let evicted = 0;
  let kept = 0;
  while (state.wantedBytes > 0 && evicted + kept < MAX_PER_TICK) {
    const victim = nextVictim(state, nowMs);
    if (victim === 0) {
      state.wantedBytes = 0;
      break;
    }
    const before = counters.get(Counter.EVICTED_BYTES) + state.offloadingBytes;
    evict(state, victim, nowMs);
    const freed = counters.get(Counter.EVICTED_BYTES) + state.offloadingBytes - before;
    state.wantedBytes -= freed;
    if (freed > 0) evicted++;
    else kept++;
  }
  if (evicted > 0 && state.wantedBytes <= 0) counters.add(Counter.EVICTIONS_SUCCESSFUL, 1);
  return state.wantedBytes > 0 && evicted > 0;
}

/**
 * Evicts a tenant's own objects until `state.request` fits into `limit` bytes. `false` when there is
 * nothing more to evict or too much would have to go.
 */
export function makeQuotaRoom(
  state: CoreState,
  tenant: number,
  limit: number,
  nowMs: number,
): boolean {
  const { counters, quotas, config, request: { size, wanted } } = state;
  const most = limit - size * wanted;
  const enough = size * wanted + config.evictionRatio * limit;
  let evicted = false;
  for (
    let i = 0;
    i < MAX_PER_PUT && quotas.charged(tenant) > most && state.offloadingBytes < enough;
    i++
  ) {
    const victim = nextVictimOf(state, tenant, nowMs);
    if (victim === 0) break;
    if (i === 0) {
      counters.add(Counter.EVICTIONS_ATTEMPTED, 1);
      counters.add(Counter.PUT_EVICTIONS, 1);
    }
    const before = quotas.charged(tenant);
    evict(state, victim, nowMs);
    const freed = before - quotas.charged(tenant);
    if (freed > 0) quotas.countEvicted(tenant, freed);
    evicted ||= freed > 0;
  }
  if (evicted) counters.add(Counter.EVICTIONS_SUCCESSFUL, 1);
  return quotas.charged(tenant) <= most;
}

/** The object that was used least recently of those that may be evicted now, or 0. */
export function nextVictim(state: CoreState, nowMs: number): number {
  const { order, pinnedOrder } = state.recency;
  const victim = oldestOfAll(state, order, RecencyList.FRESH, RecencyList.READ, nowMs);
  if (victim !== 0 || !state.config.allowEvictSoftPinnedObjects) return victim;
  const { PINNED_FRESH, PINNED_READ } = RecencyList;
  return oldestOfAll(state, pinnedOrder, PINNED_FRESH, PINNED_READ, nowMs);
}

/** {@linkcode nextVictim} among the objects of one tenant. */
function nextVictimOf(state: CoreState, tenant: number, nowMs: number): number {
  if (tenant >= state.recency.tenantLimit) return 0;
  const victim = oldest(state, tenant, RecencyList.FRESH, RecencyList.READ, nowMs);
  if (victim !== 0 || !state.config.allowEvictSoftPinnedObjects) return victim;
  return oldest(state, tenant, RecencyList.PINNED_FRESH, RecencyList.PINNED_READ, nowMs);
}

function oldestOfAll(
  state: CoreState,
  { ready, asleep }: TenantOrder,
  fresh: RecencyList,
  read: RecencyList,
  nowMs: number,
): number {
  const { objects, recency } = state;
  while (asleep.firstKey <= nowMs) {
    const tenant = asleep.first;
    asleep.remove(tenant);
    ready.set(tenant, -Infinity);
  }
  while (ready.size > 0) {
    const tenant = ready.first;
    const victim = oldest(state, tenant, fresh, read, nowMs);
    const leased = recency.head(tenant, read);
    if (leased !== 0 && objects.leaseUntil(leased) > nowMs) {
      asleep.set(tenant, objects.leaseUntil(leased));
    }
    if (victim === 0) {
      ready.remove(tenant);
      continue;
    }
    const usedMs = lastUsedMs(state, victim);
    if (usedMs > ready.firstKey) ready.set(tenant, usedMs);
    if (ready.first === tenant) return victim;
  }
  return 0;
}

function oldest(
  state: CoreState,
  tenant: number,
  fresh: RecencyList,
  read: RecencyList,
  nowMs: number,
): number {
  const { objects, recency } = state;
  let first = recency.head(tenant, fresh);
  while (first !== 0 && objects.leaseUntil(first) > nowMs) {
    recency.append(read, first);
    first = recency.head(tenant, fresh);
  }
  const second = recency.head(tenant, read);
  if (second === 0 || objects.leaseUntil(second) > nowMs) return first;
  if (first === 0) return second;
  return lastUsedMs(state, first) <= lastUsedMs(state, second) ? first : second;
}

/**
 * Evicts an object, with the others of its group, or has it written to disk first. What only awaited
 * owners have counts as just read: nothing could be put in its place. Returns the longest free block that
 * came of it, in bytes.
 */
function evict(state: CoreState, victim: number, nowMs: number): number {
  const { objects, groups, recency } = state;
  if (state.awaitedUntilMs !== Infinity && !isAnyReachable(state, victim)) {
    objects.setLeaseUntil(victim, nowMs + state.config.defaultKvLeaseTtlMs);
    recency.append(listFor(state, victim, true), victim);
    return 0;
  }
  if (!objects.is(victim, ObjectFlag.GROUPED)) return evictOne(state, victim, nowMs);
  const group = groups.of(victim)!;
  let leasedUntilMs = 0;
  for (let member = group.first; member !== 0; member = groups.next(member)) {
    leasedUntilMs = Math.max(leasedUntilMs, objects.leaseUntil(groups.slot(member)));
  }
  if (leasedUntilMs > nowMs) {
    objects.setLeaseUntil(victim, leasedUntilMs);
    recency.append(listFor(state, victim, true), victim);
    return 0;
  }
  const softPinned = objects.is(victim, ObjectFlag.SOFT_PIN);
  let longest = 0;
  for (let member = group.first; member !== 0;) {
    const slot = groups.slot(member);
    member = groups.next(member);
    const listed = objects.list(slot) !== RecencyList.NONE;
    if (listed && (softPinned || !objects.is(slot, ObjectFlag.SOFT_PIN))) {
      longest = Math.max(longest, evictOne(state, slot, nowMs));
    }
  }
  return longest;
}

function evictOne(state: CoreState, slot: number, nowMs: number): number {
  const { recency } = state;
  if (state.config.offloadOnEvict && !offloadBeforeEviction(state, slot, nowMs)) {
    relist(state, slot, nowMs);
    return 0;
  }
  recency.remove(slot);
  return dropIdleMemory(state, slot, nowMs);
}
