/**
 * Tells what a connection to a node's port begins with. A handshake is a length, a type byte (or none,
 * then `{`), and JSON; a transfer request is a size, an address and more. Where the address has its
 * last byte, which is 0 in every one that nodes of ours publish, a handshake has text, or has ended:
 * see `docs/decisions/0012-one-port-for-handshakes-and-data.md`. The C shim has the same rule.
 */

/** What a connection begins with; `unknown` = more bytes are needed. */
export type FirstBytes = "unknown" | "request" | "handshake";

const LENGTH_BYTES = 8;
const LAST_TYPE = 3;
const BRACE = 0x7b;
/** The widest limit that a handshake can be given. */
const MAX_LENGTH = 64 << 20;
/** Bytes of a request's size and address. */
export const TELLING_BYTES = 16;

/** Judges the first `length` of `bytes`. */
export function firstBytes(bytes: Uint8Array, length: number): FirstBytes {
  if (length < LENGTH_BYTES) return "unknown";
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const announced = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (announced === 0 || announced > MAX_LENGTH) return "request";
  if (length === LENGTH_BYTES) return "unknown";
  if (bytes[LENGTH_BYTES] > LAST_TYPE && bytes[LENGTH_BYTES] !== BRACE) return "request";
  for (let i = LENGTH_BYTES + 1; i < Math.min(length, TELLING_BYTES); i++) {
    if (!isText(bytes[i])) return "request";
  }
  const end = LENGTH_BYTES + announced;
  if (end >= TELLING_BYTES) return length < TELLING_BYTES ? "unknown" : "handshake";
  if (length < end) return "unknown";
  return length === end && isSmallObject(bytes.subarray(LENGTH_BYTES, end))
    ? "handshake"
    : "request";
}

/**
 * Whether a frame is an object, after its type byte or alone. Nothing follows a handshake, while the
 * rest of a request's header comes with its start: the network would have to cut the header in front
 * of its 12th byte or so, and the address to end in these bytes, for the two to look the same.
 */
function isSmallObject(frame: Uint8Array): boolean {
  const text = String.fromCharCode(...frame.subarray(frame[0] === BRACE ? 0 : 1)).trimEnd();
  return text.startsWith("{") && text.endsWith("}");
}

/** JSON text holds no control characters but these. */
function isText(byte: number): boolean {
  return byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}
