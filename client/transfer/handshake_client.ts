import { connect, isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import { ProtocolError } from "../../proto/error.ts";
import {
  encodeHandshake,
  HandshakeDecoder,
  HandshakeType,
  notificationJson,
  PROBE_REPLY,
  TlsExpectedError,
} from "../../proto/handshake.ts";
import type { JsonValue } from "../../proto/json_exact.ts";
import {
  parseSegmentDocument,
  type SegmentDocument,
} from "../../proto/metadata/segment_document.ts";
import { formatHostPort } from "./address.ts";
import type { Clock } from "./clock.ts";
import type { TlsIdentity } from "./tls.ts";

export interface HandshakeOptions {
  clock: Clock;
  /** Milliseconds for the whole exchange. */
  timeoutMs: number;
  /** Bytes of a reply frame. */
  maxLength: number;
  /** Present: over TLS, and the peer's certificate has to cover its host. */
  tls?: TlsIdentity;
}

/** What is said of a peer that hangs up in the TLS handshake, or answers something else. */
const NO_TLS = /secure TLS connection|InvalidContentType|wrong version number/;

/**
 * Sends one request to a peer's handshake port and resolves with the body of its reply. Rejects with
 * `ProtocolError` for a malformed reply and with `Error` when the peer cannot be reached, hangs up or
 * stays silent.
 */
export function exchangeHandshake(
  host: string,
  port: number,
  type: HandshakeType,
  body: JsonValue,
  options: HandshakeOptions,
): Promise<JsonValue> {
  const peer = formatHostPort(host, port);
  const request = encodeHandshake({ type, untyped: false, body }, options.maxLength);
  return new Promise((resolve, reject) => {
    const decoder = new HandshakeDecoder(options.maxLength);
    const { tls } = options;
    const socket = tls === undefined
      ? connect({ host, port, noDelay: true })
      : connectTls({ host, port, minVersion: "TLSv1.3", ...identity(tls, host) });
    const finish = () => {
      cancel();
      socket.destroy();
    };
    const fail = (error: Error) => {
      finish();
      reject(error);
    };
    const cancel = options.clock.after(
      options.timeoutMs,
      () => fail(new Error(`The handshake with ${peer} took over ${options.timeoutMs} ms`)),
    );
    socket.on(tls === undefined ? "connect" : "secureConnect", () => socket.write(request));
    socket.on("data", (chunk) => {
      try {
        const reply = decoder.feed(chunk);
        if (reply === null) return;
        if (reply.untyped || reply.type !== type) {
          throw new ProtocolError(`${peer} answered a handshake of type ${type} with another`);
        }
        finish();
        resolve(reply.body);
      } catch (error) {
        fail(error instanceof TlsExpectedError ? refusal(error) : error as Error);
      }
    });
    const refusal = (cause: Error) => {
      const how = tls === undefined ? "" : " over TLS";
      const hint = NO_TLS.test(cause.message) ? " (does it speak TLS?)" : "";
      return new Error(`Cannot shake hands with ${peer}${how}: ${cause.message}${hint}`, { cause });
    };
    socket.on("close", () => fail(new Error(`${peer} closed the connection during a handshake`)));
    socket.on("error", (cause) => fail(refusal(cause)));
  });
}

/** What we show, and the name that we ask for; addresses are no names. */
function identity({ cert, key, ca }: TlsIdentity, host: string) {
  return { cert, key, ca, ...(isIP(host) === 0 && { servername: host }) };
}

/** Asks a peer for its segment document; `null` when it publishes the document elsewhere. */
export async function requestDocument(
  host: string,
  port: number,
  options: HandshakeOptions,
): Promise<SegmentDocument | null> {
  const reply = await exchangeHandshake(host, port, HandshakeType.METADATA, {}, options);
  return reply === null ? null : parseSegmentDocument(reply);
}

/** Whether somebody answers handshakes at the address. Never rejects. */
export async function probe(
  host: string,
  port: number,
  options: HandshakeOptions,
): Promise<boolean> {
  try {
    const reply = await exchangeHandshake(host, port, HandshakeType.PROBE, {}, options);
    return typeof reply === "object" && reply !== null && !Array.isArray(reply) &&
      reply.status === PROBE_REPLY.status;
  } catch (error) {
    return (error as Error).cause instanceof TlsExpectedError;
  }
}

/** Leaves a message with a peer's engine. Rejects with `Error` when it is not accepted. */
export async function sendNotification(
  host: string,
  port: number,
  notification: { name: string; message: string },
  options: HandshakeOptions,
): Promise<void> {
  const body = notificationJson(notification);
  const reply = await exchangeHandshake(host, port, HandshakeType.NOTIFY, body, options);
  const accepted = typeof reply === "object" && reply !== null && !Array.isArray(reply) &&
    typeof reply.notify_msg === "string" && reply.notify_msg !== "";
  if (!accepted) throw new Error(`${formatHostPort(host, port)} refused a notification`);
}
