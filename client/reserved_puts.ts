import { TransportErrorCode } from "../proto/coro_rpc/header.ts";
import { StoreError } from "../proto/error.ts";
import type { GivenBack, ReservedMemory } from "../proto/messages.ts";
import type { ReplicaDescriptor, ReplicateConfig, Uuid } from "../proto/types.ts";
import type { MasterClient } from "./master_client.ts";
import type { ReplicaChoice } from "./replica_choice.ts";
import { CallError } from "./rpc_client.ts";
import { type Clock, within } from "./transfer/clock.ts";

/**
 * Whether puts go into memory that was reserved ahead.
 *
 * @example
 * ```ts ignore
 * const client = await StoreClient.connect({ reservedPuts: "off" });
 * ```
 */
export type ReservedPutsChoice = "on" | "off";

/** Larger values are put as ever: their bytes take so long that a call more does not matter. */
const MAX_BYTES = 4 << 20;
/** Kinds of puts that are remembered, and reservations of each. */
const MAX_SHAPES = 8;
const MAX_OF_SHAPE = 2;
/** Bytes of all reservations, copies included. */
const MAX_RESERVED_BYTES = 64 << 20;
/** A shape is worth a reservation when its puts are at most so many milliseconds apart. */
const RECENT_MS = 1000;
/** What was not used for so many milliseconds is given back. */
const IDLE_MS = 2000;
/** A master that does not know the calls is not asked again for so many milliseconds. */
const UNKNOWN_MS = 60_000;
/**
 * Values go ahead of the question whether their key is free while the account of them is above zero: one
 * that was stored adds 1, one in vain takes 4, so at most about a fifth of them are in vain for long.
 */
const ACCOUNT_START = 8;
const ACCOUNT_MAX = 16;
const ACCOUNT_MIN = -16;
const COST_IN_VAIN = 4;

/** Memory that the master keeps for a put of this client. */
export interface Reservation {
  /** The number of the write that it is for. */
  readonly writeId: number;
  readonly replicas: readonly ReplicaDescriptor[];
  /** When it was asked for, on the client's clock. */
  readonly askedAt: number;
  /** Milliseconds from then on within which it must begin to be written. */
  readonly useWithinMs: number;
  /** Bytes may have been sent there. */
  written: boolean;
}

/** Puts of one size that are placed alike. */
export interface PutShape {
  readonly size: number;
  readonly config: ReplicateConfig;
  readonly name: string | number;
  readonly free: Reservation[];
  /** Reservations that have been asked for. */
  asked: number;
  /** The last put, and whether the one before it was a short while before. */
  lastAtMs: number;
  isFrequent: boolean;
}

export interface ReservedPutsOptions {
  /** With `off` nothing is reserved. */
  choice: ReservedPutsChoice;
  master: MasterClient;
  clock: Clock;
  clientId: Uuid;
  tenantId: Uint8Array;
  peers: ReplicaChoice;
}

/**
 * The reservations of a client: a few, of sizes that it has put lately. What they are for is in
 * `reserved_write.ts`.
 */
export class ReservedPuts {
  /** Puts into reserved memory so far that were stored, and those whose key was taken. */
  stored = 0;
  inVain = 0;
  readonly #options: ReservedPutsOptions;
  readonly #shapes = new Map<string | number, PutShape>();
  #account = ACCOUNT_START;
  #unknownUntilMs = -Infinity;
  #cancelLook: (() => void) | null = null;
  #closed = false;

  constructor(options: ReservedPutsOptions) {
    this.#options = options;
  }

  /**
   * Notes a put of `size` bytes; `null` when none like it goes into reserved memory. `defaults` is what
   * puts without options have.
   */
  begin(size: number, config: ReplicateConfig, defaults: ReplicateConfig): PutShape | null {
    const { choice, clock } = this.#options;
    if (choice === "off" || this.#closed || size > MAX_BYTES) return null;
    const { groupIds, nofReplicaNum, dfsReplicaNum } = config;
    if (groupIds !== null || nofReplicaNum > 0 || dfsReplicaNum > 0) return null;
    const nowMs = clock.now();
    const name = config === defaults ? size : `${size} ${JSON.stringify(config)}`;
    let shape = this.#shapes.get(name);
    if (shape === undefined) {
      shape = { size, config, name, free: [], asked: 0, lastAtMs: -Infinity, isFrequent: false };
      if (this.#shapes.size >= MAX_SHAPES) this.#forgetOldest();
      this.#shapes.set(name, shape);
    }
    shape.isFrequent = nowMs - shape.lastAtMs <= RECENT_MS;
    shape.lastAtMs = nowMs;
    return shape;
  }

  /** A reservation to write to, which nobody else gets; `null` = there is none. */
  take(shape: PutShape): Reservation | null {
    if (this.#account <= 0) return null;
    for (let one = shape.free.pop(); one !== undefined; one = shape.free.pop()) {
      if (this.#isGood(one)) return one;
      this.giveBack([one]);
    }
    return null;
  }

  /** Whether the end of a put should ask for memory for the next one, which is {@linkcode took} then. */
  wants(shape: PutShape): boolean {
    if (this.#closed || !shape.isFrequent || this.#account <= 0) return false;
    if (shape.free.length + shape.asked >= MAX_OF_SHAPE) return false;
    if (this.#options.clock.now() < this.#unknownUntilMs) return false;
    let bytes = bytesOf(shape);
    for (const other of this.#shapes.values()) {
      bytes += bytesOf(other) * (other.free.length + other.asked);
    }
    if (bytes > MAX_RESERVED_BYTES) return false;
    shape.asked++;
    return true;
  }

  /** The answer to that; `null` = none came. */
  took(shape: PutShape, writeId: number, askedAt: number, memory: ReservedMemory | null): void {
    shape.asked--;
    if (memory === null) return this.giveBack([{ writeId, written: false }]);
    const { replicas, useWithinMs } = memory;
    if (replicas.length === 0) return;
    this.keep(shape, { writeId, replicas, askedAt, useWithinMs, written: false });
  }

  /** Whether a call failed because the master does not know it, which is then not asked for a while. */
  isUnknown(error: unknown): boolean {
    const isUnknown = error instanceof CallError &&
      error.transportCode === TransportErrorCode.FUNCTION_NOT_REGISTERED;
    if (isUnknown) this.#unknownUntilMs = this.#options.clock.now() + UNKNOWN_MS;
    return isUnknown;
  }

  /** Notes what became of a put: `ahead` = its bytes went before the key was asked for. */
  note(ahead: boolean, stored: boolean): void {
    if (!ahead) {
      // Had it gone ahead, that would have been of use.
      if (stored && this.#account <= 0) this.#account++;
      return;
    }
    if (stored) this.stored++;
    else this.inVain++;
    this.#account = stored
      ? Math.min(ACCOUNT_MAX, this.#account + 1)
      : Math.max(ACCOUNT_MIN, this.#account - COST_IN_VAIN);
  }

  /** Gives reservations back, without waiting. The master takes them back by itself later, too. */
  giveBack(reservations: readonly GivenBack[]): void {
    void this.#giveBack(reservations);
  }

  /** Gives everything back; an answer is waited for at most `limitMs`. */
  async close(limitMs: number): Promise<void> {
    this.#closed = true;
    this.#cancelLook?.();
    this.#cancelLook = null;
    const left = Array.from(this.#shapes.values()).flatMap(({ free }) => free.splice(0));
    this.#shapes.clear();
    if (left.length > 0) await within(this.#options.clock, limitMs, this.#giveBack(left));
  }

  /** The next put like it may have a reservation. */
  keep(shape: PutShape, reservation: Reservation): void {
    const isKnown = !this.#closed && this.#shapes.get(shape.name) === shape;
    if (!isKnown || shape.free.length >= MAX_OF_SHAPE || !this.#isGood(reservation)) {
      return this.giveBack([reservation]);
    }
    shape.free.push(reservation);
    this.#cancelLook ??= this.#options.clock.after(IDLE_MS, () => this.#look());
  }

  #isGood({ replicas, askedAt, useWithinMs }: Reservation): boolean {
    const { clock, peers } = this.#options;
    return clock.now() - askedAt < useWithinMs &&
      replicas.every(({ location }) =>
        location.kind === "memory" && !peers.isSuspected(location.buffer.transportEndpoint)
      );
  }

  /** Gives back what is idle or too old. */
  #look(): void {
    const { clock } = this.#options;
    const nowMs = clock.now();
    const idle: Reservation[] = [];
    let left = 0;
    for (const [name, shape] of this.#shapes) {
      const isIdle = nowMs - shape.lastAtMs >= IDLE_MS;
      const kept = shape.free.splice(0).filter((one) => {
        if (!isIdle && this.#isGood(one)) return true;
        idle.push(one);
        return false;
      });
      shape.free.push(...kept);
      left += kept.length;
      if (isIdle && shape.asked === 0) this.#shapes.delete(name);
    }
    this.#cancelLook = left === 0 ? null : clock.after(IDLE_MS, () => this.#look());
    if (idle.length > 0) this.giveBack(idle);
  }

  #forgetOldest(): void {
    let oldest: [string | number, PutShape] | null = null;
    for (const entry of this.#shapes) {
      if (oldest === null || entry[1].lastAtMs < oldest[1].lastAtMs) oldest = entry;
    }
    if (oldest === null) return;
    this.#shapes.delete(oldest[0]);
    const free = oldest[1].free.splice(0);
    if (free.length > 0) this.giveBack(free);
  }

  async #giveBack(reservations: readonly GivenBack[]): Promise<void> {
    const { master, clock, clientId, tenantId } = this.#options;
    if (clock.now() < this.#unknownUntilMs) return;
    const given = reservations.map(({ writeId, written }) => ({ writeId, written }));
    try {
      await master.giveBack({ clientId, reservations: given, tenantId });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }
}

function bytesOf({ size, config }: PutShape): number {
  return size * config.replicaNum;
}
