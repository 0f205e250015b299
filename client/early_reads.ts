import type { BufferDescriptor } from "../proto/types.ts";
import { type BegunReads, patienceFor } from "./attempt.ts";
import type { StoreContext } from "./context.ts";
import type { Place } from "./known_places.ts";
import type { ReadPiece } from "./read_piece.ts";
import { pushReads, usableMs } from "./replica_reads.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import { TransferCode } from "./transfer/engine.ts";
import { Stop } from "./transfer/stop.ts";

/** The codes of one operation that is done. */
const DONE = new Int32Array(1);
/** Between two times that are taken for the same. */
const SAME_MS = 5;

/**
 * Reads that begin where an object was, before the master has said that it is there. They count when
 * its answer says so; otherwise they are dropped, and nothing of what they read is left.
 */
export class EarlyReads implements BegunReads {
  readonly begunAtMs: number;
  readonly isShort: boolean;
  codes: Int32Array | null = null;
  readonly #store: StoreContext;
  readonly #ops: readonly EndpointOperation[];
  readonly #stop = new Stop();
  /** When they are given up by themselves. */
  readonly #endsAtMs: number;
  readonly #hasOther: boolean;
  #ended = false;
  #endedAtMs: number | null = null;
  #failure: unknown = null;
  /** Ends what the caller's signal does. */
  #abort: (() => void) | null = null;
  /** Whoever waits for the end. */
  #wake: (() => void) | null = null;

  /**
   * Begins reads from one peer, which can be read elsewhere, too, or not; the master was asked at
   * `askedAt`.
   */
  constructor(
    store: StoreContext,
    ops: readonly EndpointOperation[],
    askedAt: number,
    hasOther: boolean,
  ) {
    const { endpoint, traffic } = store;
    let bytes = 0;
    for (const { length } of ops) bytes += length;
    const usable = usableMs(store, store.places.leaseTtlMs);
    // What cannot be ended has to be waited for when it was in vain.
    const isHasty = hasOther || !endpoint.endsReads;
    const timeoutMs = isHasty ? Math.min(usable, patienceFor(store, bytes)) : usable;
    this.isShort = timeoutMs < 1 || (isHasty && !hasOther);
    this.begunAtMs = askedAt;
    this.#endsAtMs = askedAt + timeoutMs;
    this.#store = store;
    this.#ops = ops;
    this.#hasOther = hasOther;
    if (timeoutMs < 1) {
      this.#end(new Int32Array(ops.length).fill(TransferCode.TIMEOUT));
      return;
    }
    const stop = this.#stop;
    const { priority, signal } = traffic ?? {};
    const stoppable = priority === undefined ? { signal: stop } : { priority, signal: stop };
    if (signal !== undefined) {
      signal.addEventListener("abort", this.#abort = () => stop.abort());
      if (signal.aborted) stop.abort();
    }
    const failed = (error: unknown) => {
      this.#failure = error;
      this.#end(null);
    };
    if (ops.length === 1) {
      const { clock, places } = store;
      const begunAt = places.isSmall(bytes) ? clock.now() : -1;
      const done = (code: TransferCode) => {
        if (begunAt >= 0) places.took(ops[0].endpoint, clock.now() - begunAt);
        this.#end(code === TransferCode.OK ? DONE : Int32Array.of(code));
      };
      endpoint.begin(ops[0], timeoutMs, stoppable, done, failed);
    } else {
      endpoint.transfer(ops, timeoutMs, stoppable).then((codes) => this.#end(codes), failed);
    }
  }

  /** Of reads with several replicas, which teach how long a peer takes. */
  get endedAtMs(): number | null {
    return this.#endedAtMs;
  }

  async finish(timeoutMs: number): Promise<Int32Array> {
    const { clock } = this.#store;
    const isSooner = this.#endsAtMs > clock.now() + timeoutMs + SAME_MS;
    const cancel = isSooner ? clock.after(timeoutMs, () => this.stop()) : null;
    await this.#over();
    cancel?.();
    if (this.codes === null) throw this.#failure;
    return this.codes;
  }

  #end(codes: Int32Array | null): void {
    this.codes = codes;
    this.#ended = true;
    if (this.#hasOther) this.#endedAtMs = this.#store.clock.now();
    if (this.#abort !== null) {
      this.#store.traffic?.signal?.removeEventListener("abort", this.#abort);
    }
    this.#wake?.();
  }

  /** Resolves when all of them have ended. */
  #over(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      const before = this.#wake;
      this.#wake = () => {
        before?.();
        resolve();
      };
    });
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Resolves when no byte can arrive any more, and zeros have taken the place of those of `ops`. */
  async drop(ops = this.#ops): Promise<void> {
    const { choice, clock, replicaPatienceMs } = this.#store;
    this.stop();
    await this.#over();
    ops.forEach(wipe);
    const { codes } = this;
    if (ops !== this.#ops) return;
    const isOver = clock.now() - this.begunAtMs >= replicaPatienceMs;
    if (!isOver || codes === null || codes.every((code) => code === TransferCode.OK)) return;
    // It could not be ended, and no healthy peer takes so long.
    choice.note(this.#ops[0].endpoint, false);
  }
}

/** A read of a whole object that begins early, and the replicas that it may be read from. */
export interface EarlyRead {
  readonly op: EndpointOperation;
  /** Best first; `op` reads the first one. */
  readonly buffers: BufferDescriptor[];
}

/**
 * What to read early of an object; `null` when that is not to be: the peer has just failed, it is not
 * the whole object in one piece, or `plan`, which tells the pieces, throws or returns `null`.
 */
export function earlyReadOf(
  store: StoreContext,
  place: Place,
  plan: (size: number) => readonly ReadPiece[] | null,
): EarlyRead | null {
  const { choice, checks, endpoint } = store;
  const buffers = choice.order(place.replicas, endpoint.name);
  const [buffer] = buffers;
  if (choice.isSuspected(buffer.transportEndpoint)) return null;
  let pieces: readonly ReadPiece[] | null;
  try {
    pieces = plan(place.size);
  } catch {
    // The object may be of another size by now.
    return null;
  }
  if (pieces?.length !== 1 || !checks.covers(pieces, place.size, place.crc)) return null;
  const ops: EndpointOperation[] = [];
  pushReads(ops, buffer, pieces, true);
  return { op: ops[0], buffers };
}

/** Memory that was read into in vain may hold bytes of an object that nobody asked for. */
function wipe({ local, localOffset, length }: EndpointOperation): void {
  try {
    if (local instanceof Uint8Array || local.device === undefined) {
      const bytes = local instanceof Uint8Array ? local : local.bytes;
      bytes.fill(0, localOffset, localOffset + length);
    } else {
      local.device.write(localOffset, new Uint8Array(length));
    }
  } catch {
    // The memory was given back, or its device failed.
  }
}
