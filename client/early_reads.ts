import type { BufferDescriptor } from "../proto/types.ts";
import { type BegunReads, patienceFor } from "./attempt.ts";
import type { StoreContext } from "./context.ts";
import type { Place } from "./known_places.ts";
import type { ReadPiece } from "./read_piece.ts";
import { pushReads, usableMs } from "./replica_reads.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";

/** Between two times that are taken for the same. */
const SAME_MS = 5;

/**
 * Reads that begin where an object was, before the master has said that it is there. They count when
 * its answer says so; otherwise they are dropped, and nothing of what they read is left.
 */
export class EarlyReads implements BegunReads {
  readonly begunAtMs: number;
  readonly #store: StoreContext;
  readonly #ops: readonly EndpointOperation[];
  readonly #stop = new AbortController();
  readonly #codes: Promise<Int32Array>;
  /** When they are given up by themselves. */
  readonly #endsAtMs: number;

  /** Begins reads from one peer, which take `timeoutMs` at most. */
  constructor(store: StoreContext, ops: readonly EndpointOperation[], timeoutMs: number) {
    const { clock, endpoint, traffic } = store;
    this.begunAtMs = clock.now();
    this.#endsAtMs = this.begunAtMs + timeoutMs;
    this.#store = store;
    this.#ops = ops;
    const { signal: stop } = this.#stop;
    const signal = traffic?.signal === undefined ? stop : AbortSignal.any([traffic.signal, stop]);
    const begin = () => endpoint.transfer(ops, timeoutMs, { ...traffic, signal });
    // A copy in this process is made at once: the question to the master leaves before.
    this.#codes = ops[0].endpoint === endpoint.name ? Promise.resolve().then(begin) : begin();
    this.#codes.catch(() => {});
  }

  async finish(timeoutMs: number): Promise<Int32Array> {
    const { clock } = this.#store;
    if (this.#endsAtMs <= clock.now() + timeoutMs + SAME_MS) return await this.#codes;
    const cancel = clock.after(timeoutMs, () => this.stop());
    try {
      return await this.#codes;
    } finally {
      cancel();
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Resolves when no byte can arrive any more, and zeros have taken the place of those of `ops`. */
  async drop(ops = this.#ops): Promise<void> {
    this.stop();
    await this.#codes.catch(() => {});
    ops.forEach(wipe);
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
  if (earlyTimeoutMs(store, 0, false) < 1) return null;
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

/** Milliseconds for early reads of so many bytes, which can be read elsewhere or not. */
export function earlyTimeoutMs(store: StoreContext, bytes: number, hasOther: boolean): number {
  const ms = usableMs(store, store.places.leaseTtlMs);
  return hasOther ? Math.min(ms, patienceFor(store, bytes)) : ms;
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
