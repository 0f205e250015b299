/**
 * Bodies of a handshake of type CONNECTION: queue pairs of two RDMA devices get to know each other.
 * The side that dials sends its numbers, the other connects and answers its own, and the first says
 * `ready_ack` when it is connected, too, if both know that member. Names are the reference's.
 */
import { ProtocolError } from "./error.ts";
import type { JsonObject, JsonValue } from "./json_exact.ts";
import { asArray, asObject, integerField, textField } from "./metadata/fields.ts";

/** One side's half of the exchange. */
export interface RdmaHandshake {
  /** `server@device` of the sender. */
  localNicPath: string;
  /** `server@device` that the sender wants or answers to. */
  peerNicPath: string;
  localLid: number;
  /** 16 two-digit hexadecimal bytes joined by `:`. */
  localGid: string;
  qpNumbers: number[];
  /** Why the connection is refused; empty = it is not. */
  replyMessage: string;
  /** `null` when the sender does not know this member. */
  readyAck: boolean | null;
}

const U24 = { low: 0, high: 0xff_ffff };
const LID = { low: 0, high: 0xffff, fallback: 0 };

/** Reads a body; `ProtocolError` when it is none. */
export function parseRdmaHandshake(body: JsonValue): RdmaHandshake {
  const what = "an RDMA handshake";
  const json = asObject(body, what);
  const ack = json.ready_ack;
  if (ack !== undefined && typeof ack !== "boolean") {
    throw new ProtocolError(`ready_ack of ${what} is neither true nor false`);
  }
  return {
    localNicPath: textField(json, "local_nic_path", what),
    peerNicPath: textField(json, "peer_nic_path", what),
    localLid: integerField(json, "local_lid", what, LID),
    localGid: textField(json, "local_gid", what),
    qpNumbers: asArray(json.qp_num ?? [], `qp_num of ${what}`).map((number) =>
      integerField({ qp_num: number }, "qp_num", what, U24)
    ),
    replyMessage: textField(json, "reply_msg", what),
    readyAck: ack ?? null,
  };
}

/** The body of one side's half. */
export function rdmaHandshakeJson(handshake: RdmaHandshake): JsonObject {
  const json: JsonObject = {
    local_gid: handshake.localGid,
    local_lid: handshake.localLid,
    local_nic_path: handshake.localNicPath,
    payload: "",
    peer_nic_path: handshake.peerNicPath,
    qp_num: handshake.qpNumbers,
    reply_msg: handshake.replyMessage,
  };
  if (handshake.readyAck !== null) json.ready_ack = handshake.readyAck;
  return json;
}

/** A GID as documents and handshakes write it. */
export function formatGid(gid: Uint8Array): string {
  return Array.from(gid, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Reads {@linkcode formatGid}; `ProtocolError` for anything else. */
export function parseGid(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){15}$/i.test(text)) {
    throw new ProtocolError(`${JSON.stringify(text)} is no GID`);
  }
  return Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
}

/** `server@device`. */
export function nicPath(server: string, device: string): string {
  return `${server}@${device}`;
}
