/** Query parameters as bytes: a key may be anything, so it never passes through text decoding. */

/** The raw text of the first parameter `name` in a URL, or `null`. */
export function rawParameter(url: string, name: string): string | null {
  const start = url.indexOf("?");
  if (start < 0) return null;
  const end = url.indexOf("#", start);
  for (const part of url.slice(start + 1, end < 0 ? undefined : end).split("&")) {
    const equals = part.indexOf("=");
    if ((equals < 0 ? part : part.slice(0, equals)) === name) {
      return equals < 0 ? "" : part.slice(equals + 1);
    }
  }
  return null;
}

/**
 * Undoes percent-encoding. An escape that is malformed stands for itself; `+` is a blank only with
 * `plusIsBlank`.
 */
export function percentDecode(text: string, plusIsBlank = false): Uint8Array<ArrayBuffer> {
  const source = new TextEncoder().encode(text);
  let length = 0;
  for (let i = 0; i < source.length; i++) {
    let byte = source[i];
    if (byte === PERCENT && i + 2 < source.length) {
      const high = hexDigit(source[i + 1]);
      const low = hexDigit(source[i + 2]);
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        i += 2;
      }
    } else if (byte === PLUS && plusIsBlank) {
      byte = BLANK;
    }
    source[length++] = byte;
  }
  return source.subarray(0, length);
}

const PERCENT = 0x25;
const PLUS = 0x2b;
const BLANK = 0x20;

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Parts of `bytes` between commas; like the reference's list, an empty part is a key of its own. */
export function splitAtCommas(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let end = bytes.indexOf(COMMA); end >= 0; end = bytes.indexOf(COMMA, start)) {
    parts.push(bytes.subarray(start, end));
    start = end + 1;
  }
  parts.push(bytes.subarray(start));
  return parts;
}

const COMMA = 0x2c;

/** Orders byte strings by their bytes, a prefix before what it starts. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** A parameter as text, `null` = not given. */
export function textParameter(url: string, name: string): string | null {
  const raw = rawParameter(url, name);
  return raw === null ? null : new TextDecoder().decode(percentDecode(raw));
}
