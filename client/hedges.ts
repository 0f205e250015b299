import { SlowReads } from "./slow_reads.ts";

/** Bytes of a size class; each class is twice as wide as the one before. */
const FIRST_CLASS_SHIFT = 12;
const CLASSES = 21;
const MAX_PEERS = 4096;

/** No read is begun a second time before that: less is the noise of a busy host. */
const LEAST_PATIENCE_MS = 10;
/** For a peer of which nothing is known, besides what its bytes take at a slow 64 MiB a second. */
const FIRST_PATIENCE_MS = 100;
const SLOW_BYTES_PER_MS = 65_536;
/** Reads that may be begun a second time at once, in bytes, after a time without trouble. */
const BURST_BYTES = 16 << 20;

/**
 * When a read is begun a second time, at another replica: how long each peer takes for how many bytes,
 * and what may be spent. The patience with a peer is twice what it takes plus eight times how much
 * that varies, as the time-outs of RFC 6298 are made. Second reads have a share of the bytes that are
 * read; one is allowed while the account is not overdrawn.
 */
export class Hedges {
  /** Reads begun a second time so far, and those of them that were used. */
  begun = 0;
  won = 0;
  /** Whoever waits for a read to become slow. */
  readonly slow = new SlowReads();
  readonly #share: number;
  /** Mean and deviation of the milliseconds of each class, -1 = unknown. */
  readonly #pace = new Map<string, Float64Array>();
  #account: number;

  /** `percent` of the bytes read may be read a second time; 0 = none. */
  constructor(percent: number) {
    this.#share = percent / 100;
    this.#account = percent > 0 ? BURST_BYTES : 0;
  }

  /** Whether anything is ever read a second time. */
  get enabled(): boolean {
    return this.#share > 0;
  }

  /** Milliseconds that a read may take before it is begun a second time. */
  patienceMs(peer: string, bytes: number): number {
    const pace = this.#pace.get(peer);
    const at = classOf(bytes) * 2;
    if (pace === undefined || pace[at] < 0) return FIRST_PATIENCE_MS + bytes / SLOW_BYTES_PER_MS;
    return Math.max(LEAST_PATIENCE_MS, 2 * pace[at] + 8 * pace[at + 1]);
  }

  /** Notes how long a read took. */
  took(peer: string, bytes: number, ms: number): void {
    let pace = this.#pace.get(peer);
    if (pace === undefined) {
      if (this.#pace.size >= MAX_PEERS) this.#pace.clear();
      this.#pace.set(peer, pace = new Float64Array(CLASSES * 2).fill(-1));
    }
    const at = classOf(bytes) * 2;
    if (pace[at] < 0) {
      pace[at] = ms;
      pace[at + 1] = ms / 2;
      return;
    }
    pace[at + 1] += (Math.abs(ms - pace[at]) - pace[at + 1]) / 4;
    pace[at] += (ms - pace[at]) / 8;
  }

  /** Counts a read towards what may be spent on second ones. */
  earn(bytes: number): void {
    this.#account = Math.min(BURST_BYTES, this.#account + bytes * this.#share);
  }

  /** Whether these bytes may be read a second time; they are accounted for then. */
  spend(bytes: number): boolean {
    if (this.#account <= 0) return false;
    this.#account -= bytes;
    this.begun++;
    return true;
  }
}

function classOf(bytes: number): number {
  const blocks = Math.min(0xffff_ffff, bytes / (1 << FIRST_CLASS_SHIFT));
  return Math.min(CLASSES - 1, 32 - Math.clz32(blocks));
}
