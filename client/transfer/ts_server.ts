import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "./clock.ts";
import type { ListenOptions, TakeHandshake } from "./engine.ts";
import type { TsRegions } from "./ts_regions.ts";
import { type SessionCounters, TsSession } from "./ts_session.ts";

/** How often stalled sessions are looked for. */
const SWEEP_MS = 500;
/** How long a refused peer may take to close. */
const LINGER_MS = 2000;

export interface TsServerOptions {
  clock: Clock;
  /** Connections served at once; more are closed at accept. */
  maxConnections: number;
  /** How long a peer may be silent in the middle of a request. */
  stallTimeoutMs: number;
}

/** Serves published regions to peers. */
export class TsServer {
  readonly #regions: TsRegions;
  readonly #options: TsServerOptions;
  readonly #sessions = new Set<TsSession>();
  readonly counters: SessionCounters = {
    servedReads: 0,
    servedWrites: 0,
    servedReadBytes: 0,
    servedWriteBytes: 0,
    refused: 0,
    readsFenced: 0,
  };
  #server: Server | null = null;
  /** No room for more: who never sent anything has to go. */
  #crowded = false;
  #cancelSweep: (() => void) | null = null;

  constructor(regions: TsRegions, options: TsServerOptions) {
    this.#regions = regions;
    this.#options = options;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  /** Resolves with the port; rejects with the system's error. */
  async listen(host: string, { port = 0, onHandshake }: ListenOptions): Promise<number> {
    if (this.#server !== null) throw new Error("The transfer engine listens already");
    const server = createServer(
      { allowHalfOpen: true, noDelay: true },
      (socket) => this.#accept(socket, onHandshake),
    );
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port }, resolve);
      });
    } catch (error) {
      this.#server = null;
      throw error;
    }
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : port;
  }

  async close(): Promise<void> {
    this.#cancelSweep?.();
    this.#cancelSweep = null;
    const server = this.#server;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const session of this.#sessions) session.destroy();
    await closed;
  }

  #accept(socket: Socket, onHandshake: TakeHandshake | undefined): void {
    if (this.#sessions.size >= this.#options.maxConnections) {
      this.#crowded = true;
      socket.destroy();
      return;
    }
    const { clock } = this.#options;
    const session = new TsSession(socket, this.#regions, this.counters, () => clock.now());
    this.#sessions.add(session);
    const forget = () => this.#sessions.delete(session);
    socket.on("close", forget);
    if (onHandshake !== undefined) {
      session.onHandshake = (first) => {
        forget();
        onHandshake(socket, first);
      };
    }
    this.#cancelSweep ??= clock.after(SWEEP_MS, () => this.#sweep());
  }

  #sweep(): void {
    const { clock, stallTimeoutMs } = this.#options;
    const now = clock.now();
    for (const session of this.#sessions) {
      const limit = session.lingering ? LINGER_MS : stallTimeoutMs;
      const mayGo = session.owes || (this.#crowded && !session.heard);
      if (mayGo && now - session.active > limit) session.destroy();
    }
    this.#crowded = false;
    this.#cancelSweep = this.#sessions.size > 0 ? clock.after(SWEEP_MS, () => this.#sweep()) : null;
  }
}
