import type { Socket } from "node:net";
import {
  EMPTY_CONNECTION,
  encodeHandshake,
  HandshakeDecoder,
  type HandshakeFrame,
  HandshakeType,
  type Notification,
  NOTIFY_REPLY,
  parseNotification,
  PROBE_REPLY,
} from "../../proto/handshake.ts";
import type { JsonValue } from "../../proto/json_exact.ts";
import { asObject } from "../../proto/metadata/fields.ts";
import type { Clock } from "./clock.ts";

export interface HandshakeServerOptions {
  clock: Clock;
  /** Milliseconds that a connection may take from its first to its last byte. */
  timeoutMs: number;
  /** Bytes of a request frame. */
  maxLength: number;
  /** Connections beyond these are closed at once; default 1024. */
  maxConnections?: number;
  /** What is answered to a request for the segment document: the document, or `null`. */
  document: () => JsonValue;
  /** Called with each message that a peer leaves; throwing refuses the message. */
  onNotify?: (notification: Notification) => void;
  /** Answers requests to connect queue pairs; absent = there are none here. */
  onConnection?: (body: JsonValue) => Promise<JsonValue>;
}

const DEFAULT_MAX_CONNECTIONS = 1024;

/**
 * Answers handshakes of peers: one request per connection, any number of connections at once. A
 * silent, slow or malformed peer costs its own connection and nothing else.
 */
export class HandshakeServer {
  readonly #options: HandshakeServerOptions;
  readonly #sockets = new Set<Socket>();
  #closed = false;

  constructor(options: HandshakeServerOptions) {
    this.#options = options;
  }

  /** Serves a connection, half of which may be closed; `first` has been read from it already. */
  accept(socket: Socket, first: Uint8Array | null): void {
    const { maxConnections = DEFAULT_MAX_CONNECTIONS } = this.#options;
    if (this.#closed || this.#sockets.size >= maxConnections) {
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    serve(socket, first, this.#options);
  }

  /** Drops every connection, and those that come later. */
  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

function serve(
  socket: Socket,
  first: Uint8Array | null,
  options: HandshakeServerOptions,
): void {
  const decoder = new HandshakeDecoder(options.maxLength);
  let answered = false;
  const cancel = options.clock.after(options.timeoutMs, () => socket.destroy());
  socket.on("close", cancel);
  socket.on("error", () => socket.destroy());
  socket.on("end", () => answered ? socket.end() : socket.destroy());
  const take = (chunk: Uint8Array) => {
    if (answered) return;
    try {
      const request = decoder.feed(chunk);
      if (request === null) return;
      answered = true;
      const { type, untyped } = request;
      const send = (body: JsonValue) => {
        if (!socket.destroyed) socket.end(encodeHandshake({ type, untyped, body }));
      };
      const body = answer(request, options);
      if (body instanceof Promise) body.then(send).catch(() => socket.destroy());
      else send(body);
    } catch {
      socket.destroy();
    }
  };
  socket.on("data", take);
  if (first !== null) take(first);
}

function answer(
  { type, body }: HandshakeFrame,
  options: HandshakeServerOptions,
): JsonValue | Promise<JsonValue> {
  switch (type) {
    case HandshakeType.CONNECTION:
      asObject(body, "a connection handshake");
      return options.onConnection?.(body) ?? EMPTY_CONNECTION;
    case HandshakeType.METADATA:
      return options.document();
    case HandshakeType.NOTIFY:
      return deliver(parseNotification(body), options);
    case HandshakeType.PROBE:
      return PROBE_REPLY;
  }
}

/** A reply with an empty message tells the sender that nobody took the notification. */
function deliver(notification: Notification, options: HandshakeServerOptions): JsonValue {
  try {
    options.onNotify?.(notification);
    return NOTIFY_REPLY;
  } catch {
    return { name: "", notify_msg: "" };
  }
}
