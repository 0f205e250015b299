/** Asks a transfer engine's handshake port whether anybody is there. */
import { connect } from "node:net";
import {
  encodeHandshake,
  HandshakeDecoder,
  HandshakeType,
  PROBE_REPLY,
  TlsExpectedError,
} from "../../proto/handshake.ts";
import { asObject } from "../../proto/metadata/fields.ts";

const MAX_ANSWER_BYTES = 4096;
const request = encodeHandshake({ type: HandshakeType.PROBE, untyped: false, body: {} });

/**
 * Sends a probe and waits for the answer that a transfer engine gives. False when nothing can be
 * connected to in time, the connection ends, or the answer is another one. A process that takes the
 * connection and stays silent is taken to be there: handshake servers serve one connection at a
 * time, and may be busy. So is one that answers with an alert, because it speaks TLS only.
 */
export function probeHandshake(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const decoder = new HandshakeDecoder(MAX_ANSWER_BYTES);
    const socket = connect({ host, port });
    const finish = (alive: boolean) => {
      clearTimeout(timer);
      socket.removeAllListeners("data");
      socket.destroy();
      resolve(alive);
    };
    let connected = false;
    const timer = setTimeout(() => finish(connected), timeoutMs);
    socket.on("connect", () => {
      connected = true;
      socket.write(request);
    });
    socket.on("data", (chunk: Uint8Array) => {
      const verdict = isProbeReply(decoder, chunk);
      if (verdict !== null) finish(verdict);
    });
    socket.on("error", () => finish(false));
    socket.on("close", () => finish(false));
  });
}

/** Whether the answer is the right one; `null` while it is not whole. */
function isProbeReply(decoder: HandshakeDecoder, chunk: Uint8Array): boolean | null {
  try {
    const frame = decoder.feed(chunk);
    if (frame === null) return null;
    const { status } = asObject(frame.body, "a probe reply");
    return frame.type === HandshakeType.PROBE && !frame.untyped && status === PROBE_REPLY.status;
  } catch (error) {
    return error instanceof TlsExpectedError;
  }
}
