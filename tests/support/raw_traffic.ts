/** Connections that send whatever bytes they are told to. */
import type { Socket } from "node:net";
import type { MasterProcess } from "./master_process.ts";
import type { Random } from "./random.ts";

/** Hands bytes to the system; does not mind when the other side has hung up. */
export function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    socket.write(bytes, () => resolve());
  });
}

/** Resolves when the other side has closed the connection. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    socket.once("close", () => resolve());
    socket.resume();
  });
}

/** Opens `count` connections, a few at a time, and does something with each. */
export async function connectMany(
  master: MasterProcess,
  port: number,
  count: number,
  use: (socket: Socket, i: number) => Promise<void>,
): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let at = 0; at < count; at += 50) {
    const some = Array.from({ length: Math.min(50, count - at) }, async (_, i) => {
      const socket = await master.dial(port);
      sockets.push(socket);
      await use(socket, at + i);
    });
    await Promise.all(some);
  }
  return sockets;
}

export function randomBytes(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.u32();
  return bytes;
}
