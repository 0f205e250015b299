import { attempt, type BegunReads, noteCodes, patienceFor } from "./attempt.ts";
import type { StoreContext } from "./context.ts";
import { pause } from "./transfer/clock.ts";
import type { Traffic } from "./transfer/door.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import { TransferCode } from "./transfer/engine.ts";

/** The same bytes at another replica. */
export interface Elsewhere {
  readonly endpoint: string;
  readonly remoteAddress: bigint;
  /** There is no third replica. */
  readonly isLast: boolean;
}

/** What became of reads. */
export interface ReadAttempt {
  /** A `TransferCode` for each operation. */
  readonly codes: Int32Array;
  /** Operations whose bytes come from elsewhere. */
  readonly moved: ReadonlySet<number>;
}

/** Bytes with one peer beyond which nothing is read a second time: they would have to be kept. */
const MAX_HEDGE_BYTES = 64 << 20;
/** Turns of promises within which a read that ended at once is known to have ended. */
const TURNS_AT_ONCE = 12;
/** Milliseconds that a timer may be late before this process counts as held up. */
const HELD_UP_MS = 10;

const NONE: ReadonlySet<number> = new Set();

/**
 * Runs reads as {@linkcode attempt} does, and begins those that are slow for their peer a second time
 * where their bytes are `elsewhere`. The second reads go into memory of their own. Whichever is
 * complete first counts, and the other one is cancelled; bytes of a second read are only moved to
 * where they belong when the first has certainly ended. Reads that have `begun` are with one peer, and
 * either all of them are elsewhere or none.
 */
export async function attemptReads(
  store: StoreContext,
  ops: readonly EndpointOperation[],
  timeoutMs: number,
  elsewhere: (at: number) => Elsewhere | null,
  begun?: BegunReads,
): Promise<ReadAttempt> {
  const isHasty = (at: number) => elsewhere(at) !== null;
  if (!store.hedges.enabled || timeoutMs < 1) {
    return { codes: await attempt(store, ops, timeoutMs, isHasty, begun), moved: NONE };
  }
  const single: number[] = [];
  const groups = new Map<string, number[]>();
  for (let i = 0; i < ops.length; i++) {
    const { endpoint } = ops[i];
    if (endpoint === store.endpoint.name || !isHasty(i)) single.push(i);
    else if (!groups.get(endpoint)?.push(i)) groups.set(endpoint, [i]);
  }
  if (groups.size === 0) {
    return { codes: await attempt(store, ops, timeoutMs, isHasty, begun), moved: NONE };
  }
  const codes = new Int32Array(ops.length);
  const moved = new Set<number>();
  const parts = Array.from(groups.values(), async (which) => {
    const there = (at: number) => elsewhere(which[at])!;
    const part = new HedgedRead(store, which.map((i) => ops[i]), there, begun);
    const results = await part.run(timeoutMs);
    which.forEach((i, at) => {
      codes[i] = results[at];
      if (part.moved.has(at)) moved.add(i);
    });
  });
  if (single.length > 0) {
    parts.push(
      attempt(store, single.map((i) => ops[i]), timeoutMs, (at) => isHasty(single[at]))
        .then((results) => single.forEach((i, at) => codes[i] = results[at])),
    );
  }
  await Promise.all(parts);
  return { codes, moved };
}

/** Reads from one peer, all of which can be read elsewhere. */
class HedgedRead {
  /** Operations whose bytes come from elsewhere. */
  readonly moved = new Set<number>();
  readonly #store: StoreContext;
  readonly #ops: readonly EndpointOperation[];
  readonly #elsewhere: (at: number) => Elsewhere;
  readonly #begun: BegunReads | undefined;
  readonly #bytes: number;
  readonly #begunAt: number;

  constructor(
    store: StoreContext,
    ops: readonly EndpointOperation[],
    elsewhere: (at: number) => Elsewhere,
    begun: BegunReads | undefined,
  ) {
    this.#store = store;
    this.#ops = ops;
    this.#elsewhere = elsewhere;
    this.#begun = begun;
    this.#bytes = ops.reduce((sum, { length }) => sum + length, 0);
    this.#begunAt = begun?.begunAtMs ?? store.clock.now();
  }

  async run(timeoutMs: number): Promise<Int32Array> {
    const { hedges } = this.#store;
    hedges.earn(this.#bytes);
    const patienceMs = Math.min(timeoutMs, patienceFor(this.#store, this.#bytes));
    let ended: Int32Array | null = null;
    const { codes, stop } = this.#first(patienceMs);
    const first = codes.then((codes) => ended = codes);
    for (let i = 0; i < TURNS_AT_ONCE && ended === null; i++) await null;
    if (ended === null) await this.#wait(first);
    if (ended !== null || !this.#mayHedge()) return this.#settle(await first, timeoutMs, null);
    return await this.#race(first, stop, timeoutMs, patienceMs);
  }

  /** The first reads, which may have begun. */
  #first(patienceMs: number): { codes: Promise<Int32Array>; stop: () => void } {
    const begun = this.#begun;
    if (begun !== undefined) return { codes: begun.finish(patienceMs), stop: () => begun.stop() };
    const stop = new AbortController();
    const traffic = this.#traffic(stop.signal);
    const codes = this.#store.endpoint.transfer(this.#ops, patienceMs, traffic);
    return { codes, stop: () => stop.abort() };
  }

  /** Waits until the read has ended or is slow for its peer. */
  async #wait(first: Promise<Int32Array>): Promise<void> {
    const { clock, hedges } = this.#store;
    const dueMs = hedges.patienceMs(this.#ops[0].endpoint, this.#bytes);
    await hedges.slow.wait(clock, dueMs - this.#tookMs(), first);
    // A process that stood still has not yet seen what arrived meanwhile.
    if (this.#tookMs() > dueMs + HELD_UP_MS) await Promise.race([first, pause(clock, 1)]);
  }

  /** Whether a second read is worth it, and can be paid. */
  #mayHedge(): boolean {
    const { choice, hedges } = this.#store;
    if (this.#bytes > MAX_HEDGE_BYTES) return false;
    const inVain = !choice.isSuspected(this.#ops[0].endpoint) &&
      this.#ops.some((_, at) => choice.isSuspected(this.#elsewhere(at).endpoint));
    return !inVain && hedges.spend(this.#bytes);
  }

  async #race(
    first: Promise<Int32Array>,
    stopFirst: () => void,
    timeoutMs: number,
    patienceMs: number,
  ): Promise<Int32Array> {
    const { endpoint } = this.#store;
    const spare = new Uint8Array(this.#bytes);
    let isLast = true;
    let filled = 0;
    const ops = this.#ops.map((op, at) => {
      const { isLast: last, ...there } = this.#elsewhere(at);
      isLast &&= last;
      const localOffset = filled;
      filled += op.length;
      return { ...op, ...there, local: spare, localOffset };
    });
    const stopSecond = new AbortController();
    const restMs = Math.max(1, Math.floor(timeoutMs - this.#tookMs()));
    const second = endpoint.transfer(
      ops,
      isLast ? restMs : Math.min(restMs, patienceMs),
      this.#traffic(stopSecond.signal),
    );
    second.catch(() => {});
    const quick = await Promise.race([
      first.then((codes) => ({ codes, isFirst: true })),
      second.then((codes) => ({ codes, isFirst: false })),
    ]);
    if (quick.isFirst && isDone(quick.codes)) {
      stopSecond.abort();
      return this.#settle(quick.codes, timeoutMs, null);
    }
    if (!quick.isFirst && isDone(quick.codes)) stopFirst();
    const codes = quick.isFirst ? quick.codes : await first;
    const others = quick.isFirst ? await second : quick.codes;
    return this.#settle(codes, timeoutMs, { ops, codes: others, spare });
  }

  /** Notes who was quick and who was not, and takes the bytes of a second read where they are needed. */
  #settle(
    codes: Int32Array,
    timeoutMs: number,
    second: { ops: EndpointOperation[]; codes: Int32Array; spare: Uint8Array } | null,
  ): Int32Array {
    const { choice, hedges } = this.#store;
    const { endpoint } = this.#ops[0];
    const lost = second !== null && isDone(second.codes) && !isDone(codes);
    if (isDone(codes)) hedges.took(endpoint, this.#bytes, this.#tookMs());
    noteCodes(this.#store, this.#ops, codes, timeoutMs);
    if (second === null) return codes;
    noteCodes(this.#store, second.ops, second.codes, timeoutMs);
    if (lost) {
      choice.lost(endpoint);
      hedges.won++;
    }
    for (const [at, { length, localOffset }] of second.ops.entries()) {
      if (codes[at] === TransferCode.OK || second.codes[at] !== TransferCode.OK) continue;
      const bytes = second.spare.subarray(localOffset, localOffset + length);
      const op = this.#ops[at];
      codes[at] = place(op, bytes);
      const { crc32c } = second.ops[at];
      if (crc32c !== undefined) op.crc32c = crc32c;
      this.moved.add(at);
    }
    return codes;
  }

  #traffic(stop: AbortSignal): Traffic {
    const { traffic } = this.#store;
    const signal = traffic?.signal === undefined ? stop : AbortSignal.any([traffic.signal, stop]);
    return { ...traffic, signal };
  }

  #tookMs(): number {
    return (this.#begun?.endedAtMs ?? this.#store.clock.now()) - this.#begunAt;
  }
}

function isDone(codes: Int32Array): boolean {
  return codes.every((code) => code === TransferCode.OK);
}

/** Puts bytes where an operation would have put them. */
function place({ local, localOffset }: EndpointOperation, bytes: Uint8Array): TransferCode {
  try {
    if (!(local instanceof Uint8Array) && local.device !== undefined) {
      local.device.write(localOffset, bytes);
    } else {
      (local instanceof Uint8Array ? local : local.bytes).set(bytes, localOffset);
    }
    return TransferCode.OK;
  } catch {
    // The memory was given back, or its device failed.
    return TransferCode.MEMORY;
  }
}
