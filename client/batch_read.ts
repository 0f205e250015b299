import { ErrorCode } from "../proto/error_code.ts";
import type { BufferDescriptor, ReplicaList } from "../proto/types.ts";
import { attemptReads, type ReadAttempt } from "./attempt_reads.ts";
import { answers, cutBatch, MAX_VALUE_BYTES } from "./batch.ts";
import { failureOf, whyOver } from "./budget.ts";
import type { StoreContext } from "./context.ts";
import { EarlyBatch, type EarlyGroup } from "./early_batch.ts";
import type { Place, PlaceName } from "./known_places.ts";
import {
  elsewhere,
  MAX_LEASES,
  MAX_WRONG,
  pushReads,
  readableBuffers,
  readTimeoutMs,
} from "./replica_reads.ts";
import type { ReadPiece } from "./read_piece.ts";
import { pause } from "./transfer/clock.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import { TransferCode } from "./transfer/engine.ts";

/**
 * Says what to read of the object at a position of the batch, given its size; an error code when
 * that size does not do.
 */
export type BatchReadPlan = (index: number, size: number) => readonly ReadPiece[] | number;

/** An object whose replicas are known and that has not been read yet. */
interface OpenItem {
  readonly index: number;
  /** Where it can be read yet, best first. */
  readonly buffers: BufferDescriptor[];
  readonly leaseEndsAt: number;
  readonly size: number;
  /** See `ValueChecks.expected`. */
  readonly expected: number;
  /** It is held: the master was not asked. */
  readonly held: boolean;
  /** A replica had other bytes than were written. */
  wrong: boolean;
}

/** An item that is being read, and which operations do it. */
interface Reading {
  readonly item: OpenItem;
  readonly sums: boolean;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads parts of several objects: for each run of the batch one look-up of those that are not held, and
 * one batch of transfers, and a further one for items whose replica failed. What is held or known to be
 * somewhere is read there during the look-up. Resolves with a code per item, in order;
 * rejects for no failure of an item or a call.
 */
export async function readBatch(
  store: StoreContext,
  keys: readonly Uint8Array[],
  plan: BatchReadPlan,
  mayBegin = true,
): Promise<Int32Array> {
  const batch = new BatchReader(store, keys, plan, mayBegin);
  await batch.run();
  return batch.codes;
}

class BatchReader {
  readonly codes: Int32Array;
  readonly #store: StoreContext;
  readonly #keys: readonly Uint8Array[];
  readonly #plan: BatchReadPlan;
  /** Whether reads may begin before the answer. */
  readonly #mayBegin: boolean;
  /** Leases that ended while an item was being read. */
  readonly #expired: Uint8Array;
  /** Look-ups whose replicas had other bytes than were written. */
  readonly #wrong: Uint8Array;
  readonly #names: readonly PlaceName[];

  constructor(
    store: StoreContext,
    keys: readonly Uint8Array[],
    plan: BatchReadPlan,
    mayBegin: boolean,
  ) {
    this.#mayBegin = mayBegin;
    this.#store = store;
    this.#keys = keys;
    this.#plan = plan;
    this.codes = new Int32Array(keys.length);
    this.#expired = new Uint8Array(keys.length);
    this.#wrong = new Uint8Array(keys.length);
    this.#names = keys.map((key) => store.places.nameOf(key));
  }

  async run(): Promise<void> {
    let pending: number[] = [];
    const held: OpenItem[] = [];
    const { clock, places } = this.#store;
    const nowMs = clock.now();
    for (const [i, key] of this.#keys.entries()) {
      const place = places.findHeld(this.#names[i], nowMs);
      if (key.length === 0) this.codes[i] = ErrorCode.INVALID_PARAMS;
      else if (place !== undefined) held.push(this.#heldItem(i, place));
      else pending.push(i);
    }
    if (held.length > 0) {
      const again: number[] = [];
      // The request leaves first.
      const others = this.#readAsked(pending, again, this.#mayBegin);
      await null;
      if (places.needsTurn(nowMs)) await pause(clock, 0);
      await Promise.all([others, this.#readAll(held, again, true)]);
      pending = again;
    }
    for (let early = this.#mayBegin && held.length === 0; pending.length > 0; early = false) {
      const again: number[] = [];
      await this.#readAsked(pending, again, early);
      pending = again;
    }
  }

  /** Looks items up and reads them; what needs another lease is added to `again`. */
  async #readAsked(pending: readonly number[], again: number[], early: boolean): Promise<void> {
    for (const [from, to] of cutBatch(pending.map((i) => this.#keys[i]))) {
      const over = whyOver(this.#store);
      if (over === null) await this.#readRun(pending.slice(from, to), again, early);
      else for (const i of pending.slice(from, to)) this.codes[i] = over;
    }
  }

  /** Looks a run up and reads it, early if so; what needs another lease is added to `again`. */
  async #readRun(run: readonly number[], again: number[], early: boolean): Promise<void> {
    const { master, clock, places, tenantId } = this.#store;
    const askedAt = clock.now();
    const keys = run.map((i) => this.#keys[i]);
    const names = run.map((i) => this.#names[i]);
    const asked = answers(
      keys.length,
      master.batchGetReplicaList({ keys, tenantId }, places.takesHolds),
    );
    // The request leaves first.
    await null;
    const begun = new EarlyBatch(
      this.#store,
      names,
      (at, size) => this.#plan(run[at], size),
      askedAt,
      early,
    );
    const lists = await asked;
    if (begun.groups.length === 0 && places.listens) places.answered(clock.now() - askedAt);
    const open: OpenItem[] = [];
    // Of those whose memory is still being read into.
    const late: OpenItem[] = [];
    const confirmed = new Map<EndpointOperation, OpenItem>();
    for (const [at, index] of run.entries()) {
      const { code, value } = lists[at];
      this.codes[index] = code;
      const read = begun.take(at, lists[at]);
      if (code !== ErrorCode.OK || value === null) continue;
      places.leaseTtlMs = value.leaseTtlMs;
      places.hold(names[at], value, askedAt);
      const item = this.#openItem(index, value, askedAt, read?.buffers);
      if (item === null) continue;
      if (read !== null) confirmed.set(read.op, item);
      else if (begun.reads(at)) late.push(item);
      else open.push(item);
    }
    const [retries] = await Promise.all([
      Promise.all(begun.groups.map((group) => this.#finishEarly(group, confirmed, again))),
      this.#readAll(open, again, true),
    ]);
    await this.#readAll([...late, ...retries.flat()], again, false);
  }

  /** Reads items, group by group. */
  async #readAll(items: OpenItem[], again: number[], first: boolean): Promise<void> {
    let open = items;
    while (open.length > 0) {
      const count = groupLength(open);
      const retries = await this.#readGroup(open.slice(0, count), again, first);
      open = [...retries, ...open.slice(count)];
      first = false;
    }
  }

  /** Waits for early reads; returns the items to read from their next replica. */
  async #finishEarly(
    group: EarlyGroup,
    confirmed: ReadonlyMap<EndpointOperation, OpenItem>,
    again: number[],
  ): Promise<OpenItem[]> {
    const ops = group.confirmed;
    const owners = ops.map((op) => confirmed.get(op)!);
    const ends = owners.map(({ leaseEndsAt }) => leaseEndsAt);
    const timeoutMs = readTimeoutMs(this.#store, Math.min(Infinity, ...ends));
    if (ops.length === 0 || timeoutMs < 1) {
      await group.drop();
      return owners;
    }
    const reading = owners.map((item, at) => ({ item, sums: true, start: at, end: at + 1 }));
    const read = await group.finish(timeoutMs);
    return this.#judge(reading, ops, owners, read, again, group.isShort);
  }

  #openItem(
    index: number,
    list: ReplicaList,
    askedAt: number,
    ordered: readonly BufferDescriptor[] | undefined,
  ): OpenItem | null {
    const buffers = ordered === undefined ? readableBuffers(this.#store, list) : [...ordered];
    if (buffers === null) {
      this.codes[index] = ErrorCode.NOT_SUPPORTED;
      return null;
    }
    const leaseEndsAt = askedAt + list.leaseTtlMs;
    const expected = this.#store.checks.expected(list);
    return {
      ...{ index, buffers, leaseEndsAt, size: buffers[0].size },
      ...{ expected, held: false, wrong: false },
    };
  }

  #heldItem(index: number, place: Place): OpenItem {
    const { checks, choice, endpoint } = this.#store;
    return {
      ...{ index, buffers: choice.order(place.replicas, endpoint.name), size: place.size },
      ...{ leaseEndsAt: place.leaseEndsAtMs, expected: checks.expectedOf(place.crc) },
      ...{ held: true, wrong: false },
    };
  }

  /**
   * Reads a group and returns the items to read from their next replica. A lease that ended before
   * the transfer began is not the item's fault, except in the first group of a run.
   */
  async #readGroup(
    group: readonly OpenItem[],
    again: number[],
    first: boolean,
  ): Promise<OpenItem[]> {
    const { checks } = this.#store;
    const ops: EndpointOperation[] = [];
    const owners: OpenItem[] = [];
    const reading: Reading[] = [];
    let timeoutMs = this.#store.transferTimeoutMs;
    for (const item of group) {
      const itemMs = readTimeoutMs(this.#store, item.leaseEndsAt);
      if (itemMs === 0 && whyOver(this.#store) === null) {
        this.#needLease(item, again, first);
        continue;
      }
      const [buffer] = item.buffers;
      const pieces = this.#plan(item.index, buffer.size);
      if (typeof pieces === "number") {
        this.codes[item.index] = pieces;
        continue;
      }
      const start = ops.length;
      const sums = checks.covers(pieces, buffer.size, item.expected);
      pushReads(ops, buffer, pieces, sums);
      while (owners.length < ops.length) owners.push(item);
      reading.push({ item, sums, start, end: ops.length });
      timeoutMs = Math.min(timeoutMs, itemMs);
    }
    const another = (at: number) => elsewhere(ops[at], owners[at].buffers);
    const read = await attemptReads(this.#store, ops, timeoutMs, another);
    return this.#judge(reading, ops, owners, read, again);
  }

  /**
   * Takes what has become of reads and returns the items to read from their next replica, or from the
   * same one where the time of the read was short.
   */
  #judge(
    reading: readonly Reading[],
    ops: readonly EndpointOperation[],
    owners: readonly OpenItem[],
    { codes, moved }: ReadAttempt,
    again: number[],
    isShort = false,
  ): OpenItem[] {
    const { checks, clock } = this.#store;
    const endedAt = clock.now();
    const failed = new Set<OpenItem>();
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] !== TransferCode.OK) failed.add(owners[i]);
    }
    const elsewhereRead = new Set(Array.from(moved, (i) => owners[i]));
    const retries: OpenItem[] = [];
    for (const { item, sums, start, end } of reading) {
      let served = 0;
      if (!failed.has(item)) {
        if (endedAt >= item.leaseEndsAt) {
          this.#needLease(item, again, true);
          continue;
        }
        served = elsewhereRead.has(item) ? 1 : 0;
        const buffer = item.buffers[served];
        const key = this.#keys[item.index];
        if (!sums || checks.isRight(key, buffer, item.expected, ops, start, end)) {
          if (item.held) this.#store.places.readHeld(1, endedAt);
          continue;
        }
        item.wrong = true;
      } else if (isShort && codes[start] === TransferCode.TIMEOUT) {
        retries.push(item);
        continue;
      }
      item.buffers.splice(served, 1);
      if (item.buffers.length > 0) retries.push(item);
      else if (item.held && whyOver(this.#store) === null) this.#letGo(item, again);
      else if (item.wrong) this.#needOther(item, again);
      else this.codes[item.index] = failureOf(this.#store);
    }
    return retries;
  }

  /** Has an item looked up again whose replicas had other bytes than were written. */
  #needOther({ index }: OpenItem, again: number[]): void {
    if (++this.#wrong[index] < MAX_WRONG) again.push(index);
    else this.codes[index] = ErrorCode.OBJECT_NOT_FOUND;
  }

  /** Has an item looked up that could not be read where it is held. */
  #letGo({ index, wrong }: OpenItem, again: number[]): void {
    if (wrong) this.#wrong[index]++;
    this.#store.places.release(this.#names[index]);
    again.push(index);
  }

  #needLease(item: OpenItem, again: number[], counts: boolean): void {
    if (item.held) return this.#letGo(item, again);
    const { index } = item;
    if (counts && ++this.#expired[index] >= MAX_LEASES) {
      this.codes[index] = ErrorCode.LEASE_EXPIRED;
    } else {
      again.push(index);
    }
  }
}

/** How many of the first items are read in one batch of transfers. */
function groupLength(items: readonly OpenItem[]): number {
  let bytes = 0;
  for (let i = 0; i < items.length; i++) {
    bytes += items[i].size;
    if (bytes > MAX_VALUE_BYTES && i > 0) return i;
  }
  return items.length;
}
