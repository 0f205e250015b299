import { connect, type Socket } from "node:net";
import type { Connection, ConnectionOwner, ConnectionTarget } from "./connection.ts";

/** A connection of `node:net`. */
class SocketConnection implements Connection {
  readonly #socket: Socket;
  #failure: Error | null = null;
  #closed = false;

  constructor({ host, port }: ConnectionTarget, owner: ConnectionOwner) {
    const socket = this.#socket = connect({ host, port, noDelay: true, keepAlive: true });
    socket.on("connect", () => this.#closed || owner.opened());
    socket.on("data", (chunk) => this.#closed || owner.received(chunk));
    socket.on("error", (error) => this.#failure ??= error);
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      if (!this.#closed) owner.lost(this.#failure ?? new Error("the server hung up"));
    });
  }

  send(bytes: Uint8Array, taken: () => void): void {
    this.#socket.write(bytes, taken);
  }

  destroy(error: Error): void {
    this.#failure ??= error;
    this.#socket.destroy();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#socket.closed) return;
    await new Promise<void>((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }
}

/** Connects through `node:net`. */
export function connectSocket(target: ConnectionTarget, owner: ConnectionOwner): Connection {
  return new SocketConnection(target, owner);
}
