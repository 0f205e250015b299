/** What agents say to each other: bytes in messages of the engine, which are text. */
import { Buffer } from "node:buffer";
import { refuse } from "../options.ts";

/** Bytes of one message at most; a handshake of the engine carries 1 MiB of text. */
export const MAX_MESSAGE_BYTES: number = 512 << 10;

const PREFIX = "snowskin-agent/1 ";

/**
 * `message` is for the caller, `metadata` are those of the sender, `ask` wants those of the receiver
 * sent to the address that it holds, and `forget` takes those of the sender back.
 */
export type MessageKind = "message" | "metadata" | "ask" | "forget";

const KINDS: readonly MessageKind[] = ["message", "metadata", "ask", "forget"];

/** One message. */
export interface AgentMessage {
  readonly kind: MessageKind;
  readonly body: Uint8Array;
}

/** A message as text. `EngineError` `INVALID_ARGUMENT` for more than {@linkcode MAX_MESSAGE_BYTES}. */
export function encodeMessage(kind: MessageKind, body: Uint8Array): string {
  if (body.length > MAX_MESSAGE_BYTES) {
    refuse(kind, `${body.length} bytes`, `at most ${MAX_MESSAGE_BYTES} bytes`);
  }
  return `${PREFIX}${kind} ${Buffer.from(body).toString("base64")}`;
}

/** Reads a message; one of somebody who is no agent is for the caller. */
export function decodeMessage(text: string): AgentMessage {
  const [kind, base64] = text.startsWith(PREFIX) ? text.slice(PREFIX.length).split(" ") : [];
  const known = KINDS.find((one) => one === kind);
  if (known === undefined || base64 === undefined) {
    return { kind: "message", body: new TextEncoder().encode(text) };
  }
  return { kind: known, body: new Uint8Array(Buffer.from(base64, "base64")) };
}

/** Bytes of a message that may be given as text. */
export function messageBytes(message: Uint8Array | string): Uint8Array {
  return typeof message === "string" ? new TextEncoder().encode(message) : message;
}
