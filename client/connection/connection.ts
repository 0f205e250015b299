import type { Clock } from "../transfer/clock.ts";

export interface ConnectionTarget {
  /** Name or numeric address. */
  host: string;
  port: number;
  clock: Clock;
}

/** What a connection tells whoever opened it; never during a call of {@linkcode Connect}. */
export interface ConnectionOwner {
  /** Bytes can be sent. */
  opened(): void;
  /** Bytes have arrived, and are valid during the call. */
  received(chunk: Uint8Array): void;
  /** The connection, or the attempt to make one, has ended; nothing is told after that. */
  lost(error: Error): void;
  /** Whether bytes are awaited: a connection may then sleep for them. */
  expects(): boolean;
}

/** A connection, or an attempt to make one. */
export interface Connection {
  /**
   * Sends bytes, once it is open; `taken` is called when they may change. Owners may be told of
   * bytes that arrive before the call returns.
   */
  send(bytes: Uint8Array, taken: () => void): void;
  /** Gives the connection up; the owner is told that it was lost, later and with this error. */
  destroy(error: Error): void;
  /** Gives the connection up; the owner is told nothing more. Resolves when nothing is left of it. */
  close(): Promise<void>;
}

/** Begins to connect. Does not throw. */
export type Connect = (target: ConnectionTarget, owner: ConnectionOwner) => Connection;
