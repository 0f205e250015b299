/**
 * Times, counts and sizes of rounds that fit the machine: a lease that is over before any read is
 * tests nothing, and nor does one that nobody outlasts.
 */
import type { StoreClient } from "../../client/store_client.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { STAMP_BYTES } from "./stamps.ts";

/** How long calls take where nothing stands still. */
export interface Speed {
  /** Of an upsert or a get of a few bytes, several under way: what one more costs. */
  readonly callMs: number;
  /** What {@linkcode LARGEST} bytes cost beside that. */
  readonly bytesMs: number;
}

export interface Pace {
  readonly leaseMs: number;
  /** Of the master's time-outs for writes. */
  readonly discardS: number;
  readonly releaseS: number;
  /** Of silence that ends the session of a client. */
  readonly clientTtlS: number;
  /** What a client waits for calls, transfers and handshakes; `null`: the defaults. */
  readonly patienceMs: number | null;
  /** Held calls that are under way at a time. */
  readonly readers: number;
  readonly writers: number;
  /** What others rest after each of their calls, so that they leave the machine to those that count. */
  readonly restMs: number;
  readonly keys: number;
  /** Of values. */
  readonly smallest: number;
  readonly largest: number;
  /** Of values of clients that are stopped, so that it hits them in the middle of one. */
  readonly stoppedLargest: number;
  readonly poolBytes: number;
}

export const LARGEST = 128 << 10;
const SMALLEST = 4 << 10;
/** Below it a machine gets the times for which these rounds were made. */
const QUICK_MS = 2;
/** Calls that fit into a lease where they are slow. */
const CALLS_A_LEASE = 50;
/** What a held read and a held write, with those that are tried again, cost in calls. */
const CALLS_A_ROUND = 4;
/** Calls that others leave to them between two of their own. */
const CALLS_A_REST = 80;
/** Bytes cost at most such a part of a call. */
const PART_OF_BYTES = 1 / 2;
/** Of the pool, where values have up to {@linkcode LARGEST} bytes. */
const BYTES_PER_KEY = 90 << 10;
const BYTES_PER_WRITER = 80 << 10;

/** One in so many writers outlasts the discard time-out. */
export const LONG_WRITES = 3;
/** The longest holds, in leases. */
export const READ_LEASES = { least: 0.5, most: 4 } as const;
export const WRITE_LEASES = 3;

/**
 * The longest that a write is held. With checksums it outlasts the time after which memory is given
 * out without asking; what is left without them is promised within that time only.
 */
export function longestWriteMs({ discardS, releaseS }: Pace, storeChecksum: boolean): number {
  return storeChecksum ? (releaseS + 1) * 1000 : (discardS + releaseS) / 2 * 1000;
}

/** How long a client is stopped so that its session ends. */
export function longStopMs(clientTtlS: number): number {
  return 1300 * clientTtlS;
}

function within(value: number, least: number, most: number): number {
  return Math.min(Math.max(Math.ceil(value), least), most);
}

/** What fits a machine of a speed. */
export function paceOf({ callMs, bytesMs }: Speed): Pace {
  const isQuick = callMs < QUICK_MS;
  const leaseMs = isQuick ? 40 : Math.ceil(CALLS_A_LEASE * callMs);
  const clientTtlS = isQuick ? 2 : Math.ceil(Math.max(4, 6 * leaseMs / 1000));
  const discardS = Math.ceil(3 * leaseMs / 1000);
  // Who is stopped until its session ends is back before that.
  const releaseS = Math.max(2 * discardS + 2, Math.ceil(longStopMs(clientTtlS) / 1000) + 1);
  const largest = within(LARGEST * PART_OF_BYTES * callMs / bytesMs, 4 * SMALLEST, LARGEST);
  const keys = isQuick ? 400 : 64;
  const roundMs = CALLS_A_ROUND * callMs;
  const readMs = leaseMs * (READ_LEASES.least + READ_LEASES.most) / 2;
  const writeMs = leaseMs * WRITE_LEASES / 2 * (1 - 1 / LONG_WRITES) +
    (discardS + releaseS + 1) / 2 * 1000 / LONG_WRITES;
  const writers = isQuick ? 160 : within(writeMs / roundMs, 16, 160);
  return {
    ...{ leaseMs, discardS, releaseS, clientTtlS, writers, keys },
    patienceMs: isQuick ? null : 60_000,
    readers: isQuick ? 32 : within(readMs / roundMs, 8, 64),
    restMs: isQuick ? 0 : CALLS_A_REST * callMs,
    smallest: SMALLEST,
    largest: largest - largest % STAMP_BYTES,
    stoppedLargest: largest * (isQuick ? 8 : 2),
    poolBytes: (keys * BYTES_PER_KEY + writers * BYTES_PER_WRITER) * largest / LARGEST | 0,
  };
}

/** Calls under way at a time while they are measured, and how many are. */
const TOGETHER = 4;
const PAIRS = 16;
const SERIES = 8;

/**
 * How fast a client's upserts and gets are: in the best of a few series, as what disturbs the others
 * is over some time.
 */
export async function measureSpeed(client: StoreClient): Promise<Speed> {
  let next = 0;
  const perCall = async (value: Uint8Array) => {
    let left = PAIRS;
    const lane = async () => {
      while (left-- > 0) {
        const key = `pace/${next++ % 64}`;
        await client.upsert(key, value);
        if (await client.get(key) === null) {
          throw new StoreError(ErrorCode.OBJECT_NOT_FOUND, `${key} was just stored`);
        }
      }
    };
    const begunMs = performance.now();
    await Promise.all(Array.from({ length: TOGETHER }, lane));
    return (performance.now() - begunMs) / (2 * PAIRS);
  };
  let callMs = Infinity, largeMs = Infinity;
  for (let i = 0; i < SERIES; i++) {
    callMs = Math.min(callMs, await perCall(new Uint8Array(SMALLEST)));
    largeMs = Math.min(largeMs, await perCall(new Uint8Array(LARGEST)));
  }
  return { callMs, bytesMs: Math.max(0.001, largeMs - callMs) };
}
