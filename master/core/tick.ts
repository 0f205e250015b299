/** The core's periodic work: time-outs, sessions, eviction, sweeping up. Every call is bounded. */
import { ExtentState } from "./allocator.ts";
import { stepAutoCompaction } from "./auto_compaction.ts";
import { Counter } from "./counters.ts";
import { takeOut } from "./departures.ts";
import type { Disk } from "./disks.ts";
import { stepReplication } from "./dynamic_replication.ts";
import { evictSlice } from "./eviction.ts";
import { tickFences } from "./fencing.ts";
import { relist } from "./leases.ts";
import { LifeEvent } from "./life_log.ts";
import { RecencyList } from "./lru.ts";
import { dropExtent, forgetDisk, forgetSegment, freeExtent } from "./mount_mutations.ts";
import { expireClient, giveUpAwaiting } from "./mounts.ts";
import {
  endSoftPin,
  eraseObject,
  queueSoftPin,
  removeReplica,
  settleOwedEnd,
} from "./mutations.ts";
import { stepJobs } from "./job_steps.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { cancelOffload } from "./offload_queue.ts";
import { tickTasks } from "./orders.ts";
import { preempt } from "./puts.ts";
import { expireReservations, nextExpiryMs } from "./reserved_writes.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";
import { abandonTransfer } from "./transfer_end.ts";
import { TransferKind } from "./transfers.ts";

/** Things of each kind that one tick deals with. */
const BUDGET = 512;
/** Sessions age by ticks, so these must come even when nothing else is due. */
const LONGEST_PAUSE_MS = 500;

/** Told when a client has expired: its id and the names of the segments that went with it. */
export type ExpiryListener = (segmentNames: string[]) => void;

/** Does what is due. Returns the milliseconds until it is wanted again, 0 = there is more to do. */
export function tick(state: CoreState, nowMs: number, onExpired: ExpiryListener): number {
  state.clients.tick(nowMs);
  state.holds.tick(nowMs);
  tickAnswers(state, nowMs);
  tickGraceful(state, nowMs);
  const lost = giveUpAwaiting(state, nowMs);
  if (lost.length > 0) onExpired(lost);
  let more = expireClients(state, nowMs, onExpired);
  more = endSoftPins(state, nowMs) || more;
  more = expireOwedEnds(state, nowMs) || more;
  more = expireReservations(state, nowMs) || more;
  more = discardWrites(state, nowMs) || more;
  more = discardTransfers(state, nowMs) || more;
  more = freeHeld(state, nowMs) || more;
  tickTasks(state, nowMs);
  tickFences(state, nowMs);
  stepAutoCompaction(state, nowMs);
  more = stepJobs(state, nowMs) || more;
  stepReplication(state, nowMs);
  more = sweepSegments(state) || more;
  more = sweepDisks(state, nowMs) || more;
  more = evictSlice(state, nowMs) || more;
  return more ? 0 : untilNext(state, nowMs);
}

function untilNext(state: CoreState, nowMs: number): number {
  const { config, writes, transfers } = state;
  let untilMs = LONGEST_PAUSE_MS;
  const due = (timeMs: number) => untilMs = Math.min(untilMs, Math.max(1, timeMs - nowMs));
  due(state.quarantine.firstTime);
  due(state.softPins.firstTime);
  if (writes.oldest !== 0) due(writes.startMs(writes.oldest) + config.putStartReleaseTimeoutMs + 1);
  due(nextExpiryMs(state));
  const transfer = transfers.oldest;
  if (transfer !== null) due(transfer.startMs + config.putStartReleaseTimeoutMs + 1);
  due(state.jobs.nextMs);
  for (const entry of state.segments.graceful) due(entry.unmountAtMs);
  due(nowMs + state.clients.untilExpiry(config.clientTtlMs) + 1);
  due(nowMs + state.awaitedUntilMs - state.clients.awakeMs);
  return untilMs;
}

/** Time for what operators ask about. */
function tickAnswers(state: CoreState, nowMs: number): void {
  state.misses.explain();
  state.lookups.tick(nowMs);
  state.lives.tick(Math.floor((nowMs + state.config.epochOffsetMs) / 1000));
}

function tickGraceful(state: CoreState, nowMs: number): void {
  if (state.segments.graceful.size === 0) return;
  const due = Array.from(state.segments.graceful).filter((entry) => entry.unmountAtMs <= nowMs);
  if (due.length > 0) takeOut(state, due, nowMs);
}

function expireClients(state: CoreState, nowMs: number, onExpired: ExpiryListener): boolean {
  const lost: SegmentEntry[] = [];
  let left = BUDGET;
  for (; left > 0; left--) {
    const client = state.clients.expired(state.config.clientTtlMs);
    if (client === null) break;
    if (client.pings) endWritesOf(state, client.index, nowMs);
    const segments = expireClient(state, client);
    if (segments.length === 0) continue;
    lost.push(...segments);
    for (const { index } of segments) state.lives.expired.add(index);
    onExpired(Array.from(new Set(segments.map(({ name }) => name.name))));
  }
  if (lost.length > 0) takeOut(state, lost, nowMs);
  return left === 0;
}

/**
 * Gives up what a client that has fallen silent was writing. Its memory is kept until nobody can
 * write it any more: that is soon where its owner can keep the writer out.
 */
function endWritesOf(state: CoreState, client: number, nowMs: number): void {
  const { writes } = state;
  for (let write = writes.oldest; write !== 0;) {
    const next = writes.next(write);
    if (writes.client(write) === client) preempt(state, writes.slot(write), nowMs);
    write = next;
  }
}

function freeHeld(state: CoreState, nowMs: number): boolean {
  const { quarantine, extents } = state;
  for (let i = 0; i < BUDGET; i++) {
    const extent = quarantine.next(nowMs, extents);
    if (extent === 0) return false;
    freeExtent(state, extent);
  }
  return true;
}

function endSoftPins(state: CoreState, nowMs: number): boolean {
  const { softPins, objects, recency } = state;
  for (let i = 0; i < BUDGET; i++) {
    if (softPins.firstTime > nowMs) return false;
    const slot = softPins.firstItem;
    const queuedMs = softPins.firstTime;
    softPins.pop();
    if (objects.softPinQueued(slot) !== queuedMs) continue;
    objects.setSoftPinQueued(slot, 0);
    const untilMs = objects.softPinUntil(slot);
    if (untilMs === 0) continue;
    if (untilMs > nowMs) {
      queueSoftPin(state, slot, untilMs);
      continue;
    }
    endSoftPin(state, slot);
    const list = objects.list(slot);
    if (list === RecencyList.PINNED_READ && objects.leaseUntil(slot) > nowMs) {
      recency.append(RecencyList.READ, slot);
    } else if (list !== RecencyList.NONE) {
      objects.setLeaseUntil(slot, Math.max(objects.leaseUntil(slot), untilMs));
      recency.append(RecencyList.FRESH, slot);
    }
  }
  return true;
}

/** Forgets ends that are not expected any more. */
function expireOwedEnds(state: CoreState, nowMs: number): boolean {
  let budget = BUDGET;
  for (const owed of state.owedEnds.all()) {
    if (owed.untilMs > nowMs) return false;
    settleOwedEnd(state, owed);
    if (--budget === 0) return true;
  }
  return false;
}

/** Ends writes whose clients have not been heard of until the release time-out. */
function discardWrites(state: CoreState, nowMs: number): boolean {
  const { writes, config } = state;
  for (let i = 0; i < BUDGET; i++) {
    const write = writes.oldest;
    if (write === 0) return false;
    if (nowMs - writes.startMs(write) <= config.putStartReleaseTimeoutMs) return false;
    preempt(state, writes.slot(write), nowMs);
  }
  return true;
}

/** Ends copies, moves, promotions and offloads that were never finished. */
function discardTransfers(state: CoreState, nowMs: number): boolean {
  const { transfers, config, counters } = state;
  const startedBefore = nowMs - config.putStartReleaseTimeoutMs;
  for (let i = 0; i < BUDGET; i++) {
    const transfer = transfers.oldest;
    if (transfer === null || transfer.startMs >= startedBefore) break;
    if (transfer.kind === TransferKind.PROMOTION) counters.add(Counter.PROMOTIONS_EXPIRED, 1);
    abandonTransfer(state, transfer, 0, nowMs);
  }
  for (const [name, startMs] of transfers.unwanted) {
    if (startMs >= startedBefore) break;
    transfers.unwanted.delete(name);
  }
  for (let i = 0; i < BUDGET; i++) {
    const offload = transfers.oldestOffload;
    if (offload === null || offload.startMs >= startedBefore) return false;
    cancelOffload(state, offload.slot);
    relist(state, offload.slot, nowMs);
  }
  return true;
}

/** Removes what lay in unmounted segments. */
function sweepSegments(state: CoreState): boolean {
  let budget = BUDGET;
  while (budget > 0) {
    const entry = state.segments.dead[0];
    if (entry === undefined) return false;
    budget = sweepSegment(state, entry, budget);
  }
  return true;
}

function sweepSegment(state: CoreState, entry: SegmentEntry, budget: number): number {
  const { extents, lives } = state;
  const expired = lives.expired.has(entry.index);
  const reason = expired ? LifeEvent.OWNER_EXPIRED : LifeEvent.OWNER_UNMOUNTED;
  for (; budget > 0; budget--) {
    const extent = entry.allocator.first;
    if (extent === 0) {
      forgetSegment(state, entry);
      lives.expired.delete(entry.index);
      return budget - 1;
    }
    if (extents.state(extent) === ExtentState.USED) {
      const replica = extents.owner(extent);
      const slot = state.replicas.slot(replica);
      removeReplica(state, slot, replica, 0, false);
      afterLoss(state, slot, reason);
    }
    dropExtent(state, entry);
  }
  return 0;
}

/** Removes what lay on disks that were unmounted, and cancels what was asked of their owners. */
function sweepDisks(state: CoreState, nowMs: number): boolean {
  let budget = BUDGET;
  while (budget > 0) {
    const disk = state.disks.dead[0];
    if (disk === undefined) return false;
    budget = sweepDisk(state, disk, budget, nowMs);
  }
  return true;
}

function sweepDisk(state: CoreState, disk: Disk, budget: number, nowMs: number): number {
  const { replicas, disks, transfers, config } = state;
  if (!disk.swept) {
    disk.swept = true;
    for (const { slot, client } of Array.from(transfers.offloads.values())) {
      if (client !== disk.client) continue;
      cancelOffload(state, slot);
      relist(state, slot, nowMs);
    }
    for (const transfer of Array.from(transfers.transfers.values())) {
      if (transfer.kind !== TransferKind.PROMOTION || transfer.client !== disk.client) continue;
      state.counters.add(Counter.PROMOTIONS_CANCELLED, 1);
      const holdUntilMs = transfer.startMs + config.putStartReleaseTimeoutMs;
      abandonTransfer(state, transfer, holdUntilMs, nowMs);
    }
  }
  for (; budget > 0; budget--) {
    if (disk.first === 0) {
      forgetDisk(state, disk);
      return budget - 1;
    }
    const replica = disks.replica(disk.first);
    const slot = replicas.slot(replica);
    removeReplica(state, slot, replica, 0, false);
    afterLoss(state, slot, LifeEvent.DISK_GONE);
  }
  return 0;
}

/** After an object has lost a replica for good: it goes if that was the last. */
function afterLoss(state: CoreState, slot: number, reason: LifeEvent): void {
  const { objects, recency } = state;
  if (objects.link(slot, ObjectLink.REPLICA) === 0) eraseObject(state, slot, 0, reason);
  else if (!objects.is(slot, ObjectFlag.IN_MEMORY)) recency.remove(slot);
}
