import type { StoreContext } from "./context.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";
import { Opcode, TransferCode } from "./transfer/engine.ts";

/** Bytes for each millisecond below which a peer counts as slow: 64 MiB a second. */
const PATIENT_BYTES_PER_MS = 65_536;

/** Failures that do not show that the peer is in trouble. */
const ANSWERS: readonly number[] = [
  TransferCode.ADDRESS_NOT_REGISTERED,
  TransferCode.INVALID_ARGUMENT,
  TransferCode.MEMORY,
];

/** Operations that have begun already. */
export interface BegunReads {
  /** Milliseconds of the clock. */
  readonly begunAtMs: number;
  /** When the last one ended; `null` before. */
  readonly endedAtMs: number | null;
  /** They have less time than others, so that one that runs out shows nothing and is begun again. */
  readonly isShort: boolean;
  /** Their codes once all of them have ended; `null` before. */
  readonly codes: Int32Array | null;
  /** The same; those that have not ended after so many milliseconds are stopped. */
  finish(timeoutMs: number): Promise<Int32Array>;
  /** Ends them soon. */
  stop(): void;
}

/**
 * Runs operations for at most `timeoutMs` (0 = there is no time, all of them time out) and notes for
 * later reads which peers work. Those that `isHasty`, and those with a peer that failed a short while
 * ago, are only waited for as long as a healthy peer may take; they fail with `TIMEOUT` then.
 * Those that have `begun` are waited for instead of run.
 */
export async function attempt(
  store: StoreContext,
  ops: readonly EndpointOperation[],
  timeoutMs: number,
  isHasty: (at: number) => boolean,
  begun?: BegunReads,
): Promise<Int32Array> {
  if (timeoutMs < 1) return new Int32Array(ops.length).fill(TransferCode.TIMEOUT);
  if (begun !== undefined) {
    const codes = await begun.finish(timeoutMs);
    noteCodes(store, ops, codes, begun.isShort ? 0 : timeoutMs);
    return codes;
  }
  const { choice } = store;
  const hasty: number[] = [];
  let bytes = 0;
  for (let i = 0; i < ops.length; i++) {
    if (!choice.isSuspected(ops[i].endpoint) && !isHasty(i)) continue;
    hasty.push(i);
    bytes += ops[i].length;
  }
  const patienceMs = patienceFor(store, bytes);
  const codes = hasty.length === 0 || patienceMs >= timeoutMs
    ? await store.endpoint.transfer(ops, timeoutMs, store.traffic)
    : await transferBoth(store, ops, hasty, patienceMs, timeoutMs);
  noteCodes(store, ops, codes, timeoutMs);
  return codes;
}

/** {@linkcode attempt} of one operation that is not hasty. */
export function attemptOne(
  store: StoreContext,
  op: EndpointOperation,
  timeoutMs: number,
  begun?: BegunReads,
): Promise<TransferCode> {
  if (timeoutMs < 1) return Promise.resolve(TransferCode.TIMEOUT);
  if (begun !== undefined) {
    const done = ([code]: Int32Array) => {
      noteCode(store, op, code, begun.isShort ? 0 : timeoutMs);
      return code as TransferCode;
    };
    if (begun.codes !== null) return Promise.resolve(done(begun.codes));
    return begun.finish(timeoutMs).then(done);
  }
  const ms = store.choice.isSuspected(op.endpoint)
    ? Math.min(timeoutMs, patienceFor(store, op.length))
    : timeoutMs;
  return new Promise((resolve, reject) => {
    const done = (code: TransferCode) => {
      noteCode(store, op, code, timeoutMs);
      resolve(code);
    };
    store.endpoint.begin(op, ms, store.traffic, done, reject);
  });
}

/** Milliseconds that a healthy peer may take for bytes. */
export function patienceFor({ replicaPatienceMs }: StoreContext, bytes: number): number {
  return Math.floor(replicaPatienceMs + bytes / PATIENT_BYTES_PER_MS);
}

/** Notes which peers work, as the codes of operations that had `timeoutMs` show. */
export function noteCodes(
  store: StoreContext,
  ops: readonly EndpointOperation[],
  codes: Int32Array,
  timeoutMs: number,
): void {
  for (let i = 0; i < codes.length; i++) noteCode(store, ops[i], codes[i], timeoutMs);
}

function noteCode(
  { choice, replicaPatienceMs }: StoreContext,
  { endpoint, opcode }: EndpointOperation,
  code: number,
  timeoutMs: number,
): void {
  if (code === TransferCode.OK) return choice.note(endpoint, true);
  if (code === TransferCode.ADDRESS_NOT_REGISTERED && opcode === Opcode.READ) choice.readsFenced++;
  if (code === TransferCode.CANCELLED) return;
  // Who had less time than a healthy peer may take is not to blame.
  if (code !== TransferCode.TIMEOUT || timeoutMs >= replicaPatienceMs) {
    choice.note(endpoint, false, ANSWERS.includes(code));
  }
}

async function transferBoth(
  { endpoint, traffic }: StoreContext,
  ops: readonly EndpointOperation[],
  hasty: readonly number[],
  patienceMs: number,
  timeoutMs: number,
): Promise<Int32Array> {
  if (hasty.length === ops.length) return endpoint.transfer(ops, patienceMs, traffic);
  const quick = new Set(hasty);
  const calm = Array.from(ops.keys()).filter((i) => !quick.has(i));
  const codes = new Int32Array(ops.length);
  const run = async (which: readonly number[], ms: number) => {
    const results = await endpoint.transfer(which.map((i) => ops[i]), ms, traffic);
    which.forEach((i, at) => codes[i] = results[at]);
  };
  await Promise.all([run(hasty, patienceMs), run(calm, timeoutMs)]);
  return codes;
}
