import { createServer, type Server, type Socket } from "node:net";
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
  /** Address to bind. */
  host: string;
  /** Port to bind; 0 = the system chooses. */
  port: number;
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
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>, port: number) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = port;
  }

  /** Binds and listens. Rejects with the system's error, as when the port is in use. */
  static listen(options: HandshakeServerOptions): Promise<HandshakeServer> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      serve(socket, options);
    });
    server.maxConnections = options.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: options.host, port: options.port }, () => {
        server.off("error", reject);
        server.on("error", () => {});
        const { port } = server.address() as { port: number };
        resolve(new HandshakeServer(server, sockets, port));
      });
    });
  }

  /** Stops listening and drops every connection. */
  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    return closed;
  }
}

function serve(socket: Socket, options: HandshakeServerOptions): void {
  const decoder = new HandshakeDecoder(options.maxLength);
  let answered = false;
  const cancel = options.clock.after(options.timeoutMs, () => socket.destroy());
  socket.on("close", cancel);
  socket.on("error", () => socket.destroy());
  socket.on("end", () => answered ? socket.end() : socket.destroy());
  socket.on("data", (chunk) => {
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
  });
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
