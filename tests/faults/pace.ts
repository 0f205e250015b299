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
  readonly poolBytes: number;
}

export const LARGEST = 128 << 10;
const SMALLEST = 4 << 10;
/** Below it a machine gets the times for which these rounds were made. */
const QUICK_MS = 2;
/** Calls that fit into a lease where they are slow. */
const CALLS_A_LEASE = 40;
/** What a held read and a held write, with those that are tried again, cost in calls. */
const CALLS_A_ROUND = 5;
/** Bytes cost at most such a part of a call. */
const PART_OF_BYTES = 1 / 2;
const POOL_PER_KEY = 120 << 10;

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

function within(value: number, least: number, most: number): number {
  return Math.min(Math.max(Math.ceil(value), least), most);
}

/** What fits a machine of a speed. */
export function paceOf({ callMs, bytesMs }: Speed): Pace {
  const isQuick = callMs < QUICK_MS;
  const leaseMs = isQuick ? 40 : Math.ceil(CALLS_A_LEASE * callMs);
  const discardS = Math.ceil(3 * leaseMs / 1000);
  const releaseS = 2 * discardS + 2;
  const largest = within(LARGEST * PART_OF_BYTES * callMs / bytesMs, 4 * SMALLEST, LARGEST);
  const keys = isQuick ? 400 : 64;
  const roundMs = CALLS_A_ROUND * callMs;
  const readMs = leaseMs * (READ_LEASES.least + READ_LEASES.most) / 2;
  const writeMs = leaseMs * WRITE_LEASES / 2 * (1 - 1 / LONG_WRITES) +
    (discardS + releaseS + 1) / 2 * 1000 / LONG_WRITES;
  return {
    ...{ leaseMs, discardS, releaseS, keys },
    clientTtlS: isQuick ? 2 : Math.ceil(Math.max(5, 6 * leaseMs / 1000)),
    patienceMs: isQuick ? null : 60_000,
    readers: isQuick ? 32 : within(readMs / roundMs, 8, 64),
    writers: isQuick ? 160 : within(writeMs / roundMs, 16, 160),
    restMs: isQuick ? 0 : 30 * callMs,
    smallest: SMALLEST,
    largest: largest - largest % STAMP_BYTES,
    poolBytes: keys * POOL_PER_KEY * largest / LARGEST | 0,
  };
}

/** Calls under way at a time while they are measured. */
const TOGETHER = 4;
const WARM_UP = 40;
const MEASURED = 60;

/** How fast a client's upserts and gets are, which nothing disturbs. */
export async function measureSpeed(client: StoreClient): Promise<Speed> {
  let next = 0;
  const perCall = async (length: number, count: number) => {
    const value = new Uint8Array(length);
    let left = count;
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
    return (performance.now() - begunMs) / (2 * count);
  };
  await perCall(LARGEST, WARM_UP);
  const callMs = await perCall(SMALLEST, MEASURED);
  const bytesMs = Math.max(0.001, await perCall(LARGEST, MEASURED) - callMs);
  return { callMs, bytesMs };
}
