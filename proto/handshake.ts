/**
 * Frames of the handshake port: an 8-byte little-endian length, a byte for the type, and JSON. One
 * request and one reply per connection. An older framing has no type byte; its first byte is that of
 * the JSON text.
 */
import { ProtocolError } from "./error.ts";
import {
  type JsonObject,
  type JsonValue,
  parseJsonExact,
  stringifyJsonExact,
} from "./json_exact.ts";
import { asObject, textField } from "./metadata/fields.ts";

/** Largest frame, type byte included, that the reference takes by default. */
export const DEFAULT_MAX_HANDSHAKE_BYTES: number = 1 << 20;

export const HandshakeType = {
  /** Connects queue pairs; a peer without RDMA answers {@linkcode EMPTY_CONNECTION}. */
  CONNECTION: 0,
  /** Asks for the peer's segment document; `null` when the peer publishes it elsewhere. */
  METADATA: 1,
  /** Delivers a {@linkcode Notification}. */
  NOTIFY: 2,
  /** Asks whether the peer is there; answered with {@linkcode PROBE_REPLY}. */
  PROBE: 3,
} as const;
export type HandshakeType = (typeof HandshakeType)[keyof typeof HandshakeType];

export interface HandshakeFrame {
  type: HandshakeType;
  /** The frame came without a type byte; the reply must come without one too. */
  untyped: boolean;
  body: JsonValue;
}

/**
 * A message that one engine leaves with another, beside a transfer.
 *
 * @example
 * ```ts ignore
 * const client = await StoreClient.connect({ onNotify: ({ name, message }) => log(name, message) });
 * ```
 */
export interface Notification {
  /** Who left it, as that engine calls itself. */
  name: string;
  /** The message. */
  message: string;
}

export const PROBE_REPLY: JsonObject = { status: "success" };
export const NOTIFY_REPLY: JsonObject = { name: "", notify_msg: "success" };

/** What a node without RDMA answers to a connection handshake. */
export const EMPTY_CONNECTION: JsonObject = {
  local_gid: "",
  local_lid: 0,
  local_nic_path: "",
  payload: "",
  peer_nic_path: "",
  qp_num: [],
  reply_msg: "",
};

/** The peer takes connections with TLS only. */
export class TlsExpectedError extends ProtocolError {
  constructor() {
    super("it speaks TLS only");
  }
}

/** How an alert begins that a node with TLS answers to a plain handshake; as a length, 8 GiB. */
const TLS_ALERT = [0x15, 3, 3, 0, 2];
const LENGTH_BYTES = 8;
const MAX_TYPE = HandshakeType.PROBE;
const FIRST_CAPACITY = 1024;

/** A whole frame. `RangeError` when it would be above `maxBytes`. */
export function encodeHandshake(
  frame: HandshakeFrame,
  maxBytes: number = DEFAULT_MAX_HANDSHAKE_BYTES,
): Uint8Array {
  const json = new TextEncoder().encode(stringifyJsonExact(frame.body));
  const typeBytes = frame.untyped ? 0 : 1;
  const length = typeBytes + json.length;
  if (length > maxBytes) {
    throw new RangeError(`A handshake of ${length} bytes is above the limit of ${maxBytes}`);
  }
  const bytes = new Uint8Array(LENGTH_BYTES + length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  if (!frame.untyped) bytes[LENGTH_BYTES] = frame.type;
  bytes.set(json, LENGTH_BYTES + typeBytes);
  return bytes;
}

/** Gathers the one frame that a connection carries in each direction. */
export class HandshakeDecoder {
  readonly #maxBytes: number;
  #held = new Uint8Array(FIRST_CAPACITY);
  #heldLength = 0;
  #done = false;

  constructor(maxBytes: number = DEFAULT_MAX_HANDSHAKE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Takes bytes as they arrive and returns the frame once it is whole; what follows it is ignored.
   * `ProtocolError` for a length of 0 or above the limit, and for a body that is not JSON;
   * {@linkcode TlsExpectedError} for an alert of TLS.
   */
  feed(chunk: Uint8Array): HandshakeFrame | null {
    if (this.#done) throw new Error("The handshake frame was already returned");
    this.#hold(chunk);
    if (this.#isAlert()) throw new TlsExpectedError();
    if (this.#heldLength < LENGTH_BYTES) return null;
    const view = new DataView(this.#held.buffer);
    const length = view.getUint32(0, true);
    if (view.getUint32(4, true) !== 0 || length > this.#maxBytes || length === 0) {
      throw new ProtocolError(
        `A handshake announces ${view.getBigUint64(0, true)} bytes, not 1 to ${this.#maxBytes}`,
      );
    }
    if (this.#heldLength < LENGTH_BYTES + length) return null;
    this.#done = true;
    return this.#decode(this.#held.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
  }

  #isAlert(): boolean {
    return this.#heldLength >= TLS_ALERT.length && TLS_ALERT.every((b, i) => this.#held[i] === b);
  }

  #decode(frame: Uint8Array): HandshakeFrame {
    const untyped = frame[0] > MAX_TYPE;
    const body = parseJsonExact(untyped ? frame : frame.subarray(1), { maxBytes: this.#maxBytes });
    const type = untyped ? HandshakeType.CONNECTION : frame[0] as HandshakeType;
    return { type, untyped, body };
  }

  #hold(chunk: Uint8Array): void {
    const wanted = LENGTH_BYTES + this.#maxBytes - this.#heldLength;
    const part = chunk.length > wanted ? chunk.subarray(0, wanted) : chunk;
    const length = this.#heldLength + part.length;
    if (length > this.#held.length) {
      const grown = new Uint8Array(Math.max(length, this.#held.length * 2));
      grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(part, this.#heldLength);
    this.#heldLength = length;
  }
}

/** Reads the body of a notification. `ProtocolError` when it is not one. */
export function parseNotification(body: JsonValue): Notification {
  const document = asObject(body, "a notification");
  return {
    name: textField(document, "name", "a notification"),
    message: textField(document, "notify_msg", "a notification"),
  };
}

/** The body of a notification. */
export function notificationJson({ name, message }: Notification): JsonObject {
  return { name, notify_msg: message };
}
