import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Expected } from "../proto/messages.ts";

const LATIN1 = new TextDecoder("latin1");
/** Keys of one call to the master. */
const MAX_KEYS = 1024;
/** Bytes of keys of one call, which with everything else must fit a frame. */
const MAX_KEY_BYTES = 8 << 20;
/** Bytes of values that are under way between one start and one end. */
export const MAX_VALUE_BYTES: number = 256 << 20;

/**
 * Cuts items into runs that fit one call: `[from, to)` each, in order. A run holds at least one item,
 * however large, and with `distinct` no key twice.
 */
export function cutBatch(
  keys: readonly Uint8Array[],
  valueBytes: (i: number) => number = () => 0,
  distinct = false,
): [from: number, to: number][] {
  const runs: [number, number][] = [];
  let from = 0;
  let keyBytes = 0;
  let bytes = 0;
  const seen = new Set<string>();
  for (let i = 0; i < keys.length; i++) {
    const size = valueBytes(i);
    const name = distinct ? LATIN1.decode(keys[i]) : "";
    const full = seen.has(name) || i - from >= MAX_KEYS ||
      keyBytes + keys[i].length > MAX_KEY_BYTES ||
      bytes + size > MAX_VALUE_BYTES;
    if (full && i > from) {
      runs.push([from, i]);
      from = i;
      keyBytes = bytes = 0;
      seen.clear();
    }
    if (distinct) seen.add(name);
    keyBytes += keys[i].length;
    bytes += size;
  }
  if (keys.length > from) runs.push([from, keys.length]);
  return runs;
}

/** The answers of a batch call; when the call itself failed, its code for every item. */
export async function answers<T>(
  count: number,
  call: Promise<Expected<T>[]>,
): Promise<Expected<T>[]> {
  try {
    const answered = await call;
    if (answered.length === count) return answered;
    return failures(count, ErrorCode.INTERNAL_ERROR);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return failures(count, error.code);
  }
}

function failures<T>(count: number, code: number): Expected<T>[] {
  return Array.from({ length: count }, () => ({ code, value: null }));
}

/**
 * Asks the master about several keys, in as many calls as that takes; the empty key, which no object
 * has, is answered with `INVALID_PARAMS`.
 */
export async function callForKeys<T>(
  keys: readonly Uint8Array[],
  call: (keys: Uint8Array[]) => Promise<Expected<T>[]>,
): Promise<Expected<T>[]> {
  const filled = keys.filter((key) => key.length > 0);
  const answered: Expected<T>[] = [];
  for (const [from, to] of cutBatch(filled)) {
    answered.push(...await answers(to - from, call(filled.slice(from, to))));
  }
  if (filled.length === keys.length) return answered;
  const results = answered.values();
  return keys.map((key) =>
    key.length > 0
      ? results.next().value as Expected<T>
      : { code: ErrorCode.INVALID_PARAMS, value: null }
  );
}
