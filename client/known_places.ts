import { crcOf } from "../proto/object_checksum.ts";
import {
  type BufferDescriptor,
  type ReplicaDescriptor,
  type ReplicaList,
  ReplicaStatus,
} from "../proto/types.ts";

/** Objects that are remembered, at least; up to twice as many may be. */
const MIN_PLACES = 8192;
/** Longer keys, and objects with more replicas, are not remembered. */
const MAX_KEY_BYTES = 512;
const MAX_REPLICAS = 8;
/**
 * Early reads go on while the account of them is above zero: one that was used adds 1, one in vain
 * takes 4, so at most about a fifth of them are in vain for long.
 */
const ACCOUNT_START = 8;
const ACCOUNT_MAX = 16;
const ACCOUNT_MIN = -16;
const COST_IN_VAIN = 4;

/**
 * When reads begin early: never, always, or where the master's answer takes its time.
 *
 * @example
 * ```ts ignore
 * const client = await StoreClient.connect({ earlyReads: "off" });
 * ```
 */
export type EarlyReadsChoice = "off" | "on" | "auto";

/**
 * Whether objects that were looked up a moment ago are read again without asking the master.
 *
 * @example
 * ```ts ignore
 * const client = await StoreClient.connect({ heldReads: "off" });
 * ```
 */
export type HeldReadsChoice = "off" | "on";

/**
 * Milliseconds of an answer from which on beginning early is worth it: a master of the same host
 * answers in less, and shares the processors with the read.
 */
const SLOW_ANSWER_MS = 0.2;
/** How far the median of answers follows one of them. */
const STEP = 1.1;
/** One in so many reads waits, to see how long an answer takes when nothing else goes on. */
const LISTEN_EVERY = 64;
/** Bytes up to which it depends on the peer whether a read is begun early. */
const SMALL_BYTES = 32 << 10;
/** Milliseconds that a small read must take for that: beginning it costs some microseconds itself. */
const WORTH_MS = 0.02;
/** One in so many small reads that are not worth it is begun early, to see whether that is still so. */
const PROBE_EVERY = 256;
const MAX_PEERS = 4096;

type MemoryReplica = ReplicaDescriptor & {
  location: { kind: "memory"; buffer: BufferDescriptor };
};

/**
 * Share of a hold that is used: a clock that runs slow by as much as the rest still does not make it
 * last longer than the master lets it. And share of a lease beyond which what is left of it is not
 * begun with.
 */
const USABLE_HOLD = 0.99;
const USABLE_LEASE = 0.5;

/**
 * Milliseconds for which reads of what is held may follow each other without a turn of the event loop:
 * they need not wait for anything, and a loop of them would stop timers and sockets. A pause between two
 * of them from which on they do not follow each other.
 */
const LONGEST_RUN_MS = 50;
const BREAK_MS = 2;

/** Where an object was. */
export interface Place {
  /** Its replicas in memory, all complete, in the master's order. */
  readonly replicas: readonly ReplicaDescriptor[];
  /** Bytes of the object. */
  readonly size: number;
  /** CRC-32C of the object; -1 = it has none of ours, and is remembered only because it is held. */
  readonly crc: number;
  /** Before this time of the clock the key has this version, and what is said here is so. */
  heldUntilMs: number;
  /** Until then the bytes are guarded, as of the look-up that the hold came with. */
  leaseEndsAtMs: number;
}

/** A name for a key in {@linkcode KnownPlaces}; `null` = it is not remembered. */
export type PlaceName = string | null;

/**
 * Where objects were when this client last heard of them: from its own look-ups, and when it wrote
 * them. A read may begin where the table says, and counts when the master's answer says the same, or
 * at once while the object is held. Bounded: what was not asked for lately is forgotten.
 *
 * The same means the same replica id, endpoint, address, size and checksum. The ids of replicas are
 * never used twice and a complete replica does not change, so bytes that were read between two answers
 * that name it are its bytes. The checksum stands behind that, for masters that do otherwise.
 */
export class KnownPlaces {
  /** Reads begun before the answer so far, and those of them that were used. */
  begun = 0;
  used = 0;
  /** Objects read without asking the master, because they were held. */
  held = 0;
  /** When the last one of them ended, and the first one of those that followed each other began. */
  #heldEndMs = -Infinity;
  #runSinceMs = -Infinity;
  readonly #choice: EarlyReadsChoice;
  /** Median milliseconds of answers of late, about; 0 before the first. */
  #answerMs = 0;
  #reads = 0;
  #asked = 0;
  /** What small early reads have taken of late, by peer. */
  readonly #smallMs = new Map<string, number>();
  #passedOver = 0;
  #young = new Map<string, Place>();
  #old = new Map<string, Place>();
  #account = ACCOUNT_START;
  /** The last lease that was given, in milliseconds; `Infinity` before the first. */
  leaseTtlMs = Infinity;

  /** With `off`, and without holds, nothing is remembered. */
  constructor(choice: EarlyReadsChoice, readonly takesHolds = false) {
    this.#choice = choice;
  }

  /** What the other methods take for a key. */
  nameOf(key: Uint8Array): PlaceName {
    if (key.length > MAX_KEY_BYTES || !this.takesHolds && !this.#remembers) return null;
    // A character for each byte; a decoder takes five times as long for so few.
    return String.fromCharCode.apply(null, key as unknown as number[]);
  }

  /** Whether it is remembered for early reads where objects are. */
  get #remembers(): boolean {
    // It costs some microseconds, which is too much while answers come at once.
    return this.#choice === "on" || this.#choice === "auto" && this.#answerMs >= SLOW_ANSWER_MS;
  }

  /** Where an object is whose key has the version that is said there at this time of the clock. */
  findHeld(name: PlaceName, nowMs: number): Place | undefined {
    if (name === null || !this.takesHolds) return undefined;
    const place = this.find(name);
    return place !== undefined && nowMs < place.heldUntilMs ? place : undefined;
  }

  /** Whether reads of what is held have gone on for so long that one has to let others have a turn. */
  needsTurn(nowMs: number): boolean {
    if (nowMs - this.#heldEndMs >= BREAK_MS) this.#runSinceMs = nowMs;
    if (nowMs - this.#runSinceMs < LONGEST_RUN_MS) return false;
    this.#runSinceMs = nowMs;
    return true;
  }

  /** Notes that objects which were held have been read. */
  readHeld(objects: number, nowMs: number): void {
    this.held += objects;
    this.#heldEndMs = nowMs;
  }

  /** This client is about to change an object, or could not read it: it asks from now on. */
  release(name: PlaceName): void {
    const place = this.find(name);
    if (place !== undefined) place.heldUntilMs = -Infinity;
  }

  /** {@linkcode KnownPlaces.release} of a key. */
  releaseKey(key: Uint8Array): void {
    if (this.takesHolds) this.release(this.nameOf(key));
  }

  /** Where an object was; `undefined` when that is not known. */
  find(name: PlaceName): Place | undefined {
    if (name === null) return undefined;
    const place = this.#young.get(name);
    if (place !== undefined) return place;
    const old = this.#old.get(name);
    if (old !== undefined) this.#keep(name, old);
    return old;
  }

  /** Whether reads may begin early now, as far as earlier ones were of use. */
  get mayRead(): boolean {
    return this.#account > 0;
  }

  /** Whether the next look-up takes long enough that something should be done meanwhile. */
  get isSlow(): boolean {
    if (this.#choice !== "auto") return this.#choice === "on";
    return this.#answerMs >= SLOW_ANSWER_MS && ++this.#reads % LISTEN_EVERY !== 0;
  }

  /** Whether it is of interest how long the next answer takes: one in a few. */
  get listens(): boolean {
    return this.#choice === "auto" && (this.#asked++ & 3) === 0;
  }

  /** Notes how long an answer took while nothing was read. */
  answered(ms: number): void {
    // No mean: now and then an answer waits for the event loop.
    if (this.#answerMs === 0) this.#answerMs = ms;
    else if (ms > this.#answerMs) this.#answerMs *= STEP;
    else this.#answerMs /= STEP;
  }

  /** Whether an object is worth to be read early: a few KiB in the memory of this host are not. */
  isWorth({ replicas, size }: Place): boolean {
    if (this.#choice === "on" || size > SMALL_BYTES || replicas.length > 1) return true;
    const ms = this.#smallMs.get((replicas[0] as MemoryReplica).location.buffer.transportEndpoint);
    return ms === undefined || ms >= WORTH_MS || ++this.#passedOver % PROBE_EVERY === 0;
  }

  /** Whether it is of interest how long a read takes. */
  isSmall(bytes: number): boolean {
    return this.#choice === "auto" && bytes <= SMALL_BYTES;
  }

  /** Notes how long a small read from a peer took. */
  took(endpoint: string, ms: number): void {
    const before = this.#smallMs.get(endpoint);
    if (before === undefined && this.#smallMs.size >= MAX_PEERS) this.#smallMs.clear();
    this.#smallMs.set(endpoint, before === undefined ? ms : before + (ms - before) / 4);
  }

  /**
   * Takes an answer about an object, or what became of its write: what there is to remember is
   * remembered, anything else forgotten. `before` is what was found for it.
   */
  learn(
    name: PlaceName,
    replicas: readonly ReplicaDescriptor[],
    objectChecksum: bigint | null,
    before?: Place,
  ): void {
    if (name === null) return;
    if (before !== undefined && isAt(before, replicas, objectChecksum)) {
      // Had it been read early, that would have been of use.
      if (!this.mayRead) this.#account++;
      return;
    }
    const place = this.#remembers ? placeOf(replicas, objectChecksum) : null;
    if (place !== null && place.crc >= 0) this.#keep(name, place);
    else this.forget(name);
  }

  /**
   * Takes what the master has promised with an answer that was asked for at a time of the clock. What is
   * said of the object was learned before.
   */
  hold(name: PlaceName, list: ReplicaList, askedAtMs: number): void {
    const { holdMs = 0, leaseTtlMs } = list;
    if (name === null || !this.takesHolds || holdMs === 0) return;
    let place = this.find(name);
    if (place === undefined || !isAt(place, list.replicas, list.objectChecksum)) {
      const seen = placeOf(list.replicas, list.objectChecksum);
      if (seen === null) return;
      this.#keep(name, place = seen);
    }
    const usableMs = Math.min(holdMs * USABLE_HOLD, leaseTtlMs * USABLE_LEASE);
    place.heldUntilMs = Math.max(place.heldUntilMs, askedAtMs + usableMs);
    place.leaseEndsAtMs = Math.max(place.leaseEndsAtMs, askedAtMs + leaseTtlMs);
  }

  /** An object was written: where to, and what the master was told of its bytes. */
  wrote(
    key: Uint8Array,
    replicas: readonly ReplicaDescriptor[],
    objectChecksum: bigint | null,
  ): void {
    const name = this.nameOf(key);
    if (name === null) return;
    if (!this.#remembers) return this.forget(name);
    const complete = { status: ReplicaStatus.COMPLETE };
    this.learn(name, replicas.map((replica) => ({ ...replica, ...complete })), objectChecksum);
  }

  /** This client is about to change it does not know which objects. */
  forgetAll(): void {
    this.#young.clear();
    this.#old.clear();
  }

  /** An object is not there. */
  forget(name: PlaceName): void {
    if (name === null) return;
    this.#young.delete(name);
    this.#old.delete(name);
  }

  /** Notes whether a read that had begun early was of use. */
  note(used: boolean): void {
    this.begun++;
    if (used) this.used++;
    this.#account = used
      ? Math.min(ACCOUNT_MAX, this.#account + 1)
      : Math.max(ACCOUNT_MIN, this.#account - COST_IN_VAIN);
  }

  #keep(name: string, place: Place): void {
    if (this.#young.size >= MIN_PLACES && !this.#young.has(name)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, place);
  }
}

/** Whether an answer says that an object is where it was, and is what it was. */
export function isAt(
  { replicas: known, size, crc }: Place,
  replicas: readonly ReplicaDescriptor[],
  objectChecksum: bigint | null,
): boolean {
  if (crcOf(objectChecksum) !== crc) return false;
  let at = 0;
  for (const replica of replicas) {
    if (!isReadable(replica)) continue;
    if (at === known.length) return false;
    const { id, location } = known[at++] as MemoryReplica;
    const { buffer } = replica.location;
    const same = id === replica.id && buffer.size === size &&
      location.buffer.bufferAddress === buffer.bufferAddress &&
      location.buffer.transportEndpoint === buffer.transportEndpoint;
    if (!same) return false;
  }
  return at === known.length;
}

/** What there is to remember of an object; `null` when this client could not read it. */
function placeOf(
  replicas: readonly ReplicaDescriptor[],
  objectChecksum: bigint | null,
): Place | null {
  const readable = replicas.filter(isReadable);
  if (readable.length === 0 || readable.length > MAX_REPLICAS) return null;
  const { size } = readable[0].location.buffer;
  if (readable.some(({ location }) => location.buffer.size !== size)) return null;
  const never = { heldUntilMs: -Infinity, leaseEndsAtMs: -Infinity };
  return { replicas: readable, size, crc: crcOf(objectChecksum), ...never };
}

function isReadable(replica: ReplicaDescriptor): replica is MemoryReplica {
  return replica.status === ReplicaStatus.COMPLETE && replica.location.kind === "memory";
}
