/**
 * An object's name: text is taken as UTF-8, bytes as they are. Bytes must not change until the
 * operation has settled.
 *
 * @example
 * ```ts ignore
 * const keys: Key[] = ["layer/0", crypto.getRandomValues(new Uint8Array(16))];
 * ```
 */
export type Key = string | Uint8Array;

const encoder = new TextEncoder();
const MAX_SHOWN = 64;
/** Characters up to which a loop is faster than an encoder. */
const SHORT_KEY = 128;

/** The bytes of a key. `TypeError` for what is no key, and for text with an unpaired surrogate. */
export function keyBytes(key: Key): Uint8Array {
  if (typeof key === "string") {
    const short = key.length <= SHORT_KEY ? asciiBytes(key) : null;
    if (short !== null) return short;
    if (!key.isWellFormed()) {
      throw new TypeError("A key has an unpaired surrogate: give it as bytes");
    }
    return encoder.encode(key);
  }
  if (key instanceof Uint8Array) return key;
  throw new TypeError(`A key is a string or a Uint8Array, not ${describe(key)}`);
}

/** The bytes of text, or `null` when it is not all ASCII. */
function asciiBytes(text: string): Uint8Array | null {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return null;
    bytes[i] = unit;
  }
  return bytes;
}

/** The bytes of several keys. `TypeError` when they are no array of keys. */
export function keysBytes(keys: readonly Key[]): Uint8Array[] {
  if (!Array.isArray(keys)) throw new TypeError(`Keys are an array, not ${describe(keys)}`);
  return keys.map(keyBytes);
}

/** A key as errors name it: quoted text, cut when it is long. */
export function showKey(key: Uint8Array): string {
  const text = new TextDecoder().decode(key.subarray(0, MAX_SHOWN));
  return JSON.stringify(text) + (key.length > MAX_SHOWN ? "..." : "");
}

/** What kind of value something is, for an error. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== "object") return `the ${typeof value} ${JSON.stringify(value) ?? ""}`.trim();
  return `a value of type ${value.constructor?.name ?? "object"}`;
}
