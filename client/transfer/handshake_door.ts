import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:net";
import type { TakeHandshake } from "./engine.ts";

/**
 * A Unix socket in the abstract name space, where the C shim delivers connections that begin with a
 * handshake: JavaScript cannot take a socket over by its number.
 */
export class HandshakeDoor {
  /** Name of the socket, without the byte 0 in front. */
  readonly name: string;
  readonly #server: Server;

  private constructor(name: string, server: Server) {
    this.name = name;
    this.#server = server;
  }

  /** Listens under a name that nobody can guess. Rejects with the system's error. */
  static open(take: TakeHandshake): Promise<HandshakeDoor> {
    const name = `snowskin-handshake-${randomBytes(16).toString("hex")}`;
    const server = createServer({ allowHalfOpen: true }, (socket) => take(socket, null));
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path: `\0${name}` }, () => {
        server.off("error", reject);
        server.on("error", () => {});
        resolve(new HandshakeDoor(name, server));
      });
    });
  }

  /** Stops listening; connections that were taken belong to who took them. */
  close(): void {
    this.#server.close();
  }
}
