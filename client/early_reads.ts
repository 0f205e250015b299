import type { BufferDescriptor } from "../proto/types.ts";
import { type BegunReads, patienceFor } from "./attempt.ts";
import type { StoreContext } from "./context.ts";
import type { Place } from "./known_places.ts";
import type { ReadPiece } from "./read_piece.ts";
import { pushReads, usableMs } from "./replica_reads.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import { TransferCode } from "./transfer/engine.ts";
import { Stop } from "./transfer/stop.ts";

/** Between two times that are taken for the same. */
const SAME_MS = 5;

/**
 * Reads that begin where an object was, before the master has said that it is there. They count when
 * its answer says so; otherwise they are dropped, and nothing of what they read is left.
 */
export class EarlyReads implements BegunReads {
  readonly begunAtMs: number;
  endedAtMs: number | null = null;
  readonly isShort: boolean;
  readonly #store: StoreContext;
  readonly #ops: readonly EndpointOperation[];
  readonly #stop = new Stop();
  /** When they are given up by themselves. */
  readonly #endsAtMs: number;
  codes: Int32Array | null = null;
  #failure: unknown = null;
  /** Whoever waits for the end. */
  #wake: (() => void) | null = null;

  /** Begins reads from one peer, which can be read elsewhere, too, or not. */
  constructor(store: StoreContext, ops: readonly EndpointOperation[], hasOther: boolean) {
    const { clock, endpoint, traffic } = store;
    let bytes = 0;
    for (const { length } of ops) bytes += length;
    // What cannot be ended has to be waited for when it was in vain.
    this.isShort = !hasOther && !endpoint.endsReads;
    const usable = usableMs(store, store.places.leaseTtlMs);
    const timeoutMs = hasOther || this.isShort
      ? Math.min(usable, patienceFor(store, bytes))
      : usable;
    this.begunAtMs = clock.now();
    this.#endsAtMs = this.begunAtMs + timeoutMs;
    this.#store = store;
    this.#ops = ops;
    const stop = this.#stop;
    const { priority, signal } = traffic ?? {};
    const stoppable = priority === undefined ? { signal: stop } : { priority, signal: stop };
    const abort = () => stop.abort();
    const ended = () => {
      this.endedAtMs = clock.now();
      signal?.removeEventListener("abort", abort);
      this.#wake?.();
    };
    const failed = (error: unknown) => {
      this.#failure = error;
      ended();
    };
    if (ops.length === 1) {
      const done = (code: TransferCode) => {
        this.codes = Int32Array.of(code);
        ended();
      };
      endpoint.begin(ops[0], timeoutMs, stoppable, done, failed);
    } else {
      const done = (codes: Int32Array) => {
        this.codes = codes;
        ended();
      };
      endpoint.transfer(ops, timeoutMs, stoppable).then(done, failed);
    }
    if (signal === undefined || this.endedAtMs !== null) return;
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
  }

  async finish(timeoutMs: number): Promise<Int32Array> {
    const { clock } = this.#store;
    const isSooner = this.#endsAtMs > clock.now() + timeoutMs + SAME_MS;
    const cancel = isSooner ? clock.after(timeoutMs, () => this.stop()) : null;
    await this.#end();
    cancel?.();
    if (this.codes === null) throw this.#failure;
    return this.codes;
  }

  /** Resolves when all of them have ended. */
  #end(): Promise<void> {
    if (this.endedAtMs !== null) return Promise.resolve();
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
    await this.#end();
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
  if (usableMs(store, store.places.leaseTtlMs) < 1) return null;
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
