/** Something that answers handshakes, and nothing else, at a port of its own. */
import { createServer } from "node:net";
import {
  HandshakeServer,
  type HandshakeServerOptions,
} from "../../client/transfer/handshake_server.ts";

export interface HandshakeListener {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens at `host`; the system chooses the port. */
export async function listenHandshakes(
  host: string,
  options: HandshakeServerOptions,
): Promise<HandshakeListener> {
  const handshakes = new HandshakeServer(options);
  const server = createServer(
    { allowHalfOpen: true, noDelay: true },
    (socket) => handshakes.accept(socket, null),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port: 0 }, resolve);
  });
  const { port } = server.address() as { port: number };
  return {
    port,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      handshakes.close();
      return closed;
    },
  };
}
