import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { Rpc } from "../../proto/messages.ts";
import type { RpcCaller } from "../master_client.ts";
import { RpcClient } from "../rpc_client.ts";
import { parseHostPort } from "../transfer/address.ts";
import { type Clock, pause } from "../transfer/clock.ts";
import type { LeaderSource } from "./source.ts";

/** Between two looks for the leader: while it is missed, and while it answers. */
const SEARCH_MS = 100;
const WATCH_MS = 1000;

export interface LeaderClientOptions {
  source: LeaderSource;
  clock: Clock;
  /** Milliseconds that a call waits for a leader and a connection to it. */
  connectTimeoutMs: number;
  requestTimeoutMs: number;
  log: (line: string) => void;
}

/** A connection to the leader of the moment. */
interface Connection {
  readonly address: string;
  readonly rpc: RpcClient;
}

/**
 * Calls the procedures of whichever master leads. When it stops answering, or another one leads, the
 * calls that are under way fail with `RPC_FAIL` (they may or may not have been done; nothing is sent
 * twice) and those that follow go to the new leader. Failures are those of `RpcClient`; `RPC_FAIL`,
 * too, when no leader was found in `connectTimeoutMs`.
 */
export class LeaderClient implements RpcCaller, AsyncDisposable {
  readonly #options: LeaderClientOptions;
  readonly #closing = new AbortController();
  #connection: Connection | null = null;
  #missed = true;
  #searching: Promise<void> | null = null;
  #awaited = Promise.withResolvers<void>();
  #cancelWatch = () => {};
  /** Called when another master leads than before. */
  onChange: () => void = () => {};

  constructor(options: LeaderClientOptions) {
    this.#options = options;
    if (options.source.cheap) this.#watch();
  }

  /** `host:port` of the leader, as far as it is known. */
  get address(): string | null {
    return this.#connection?.address ?? null;
  }

  async call<Q, R>(rpc: Rpc<Q, R>, request: Q): Promise<R> {
    const connection = this.#connection ?? await this.#leader(rpc);
    try {
      const answer = await connection.rpc.call(rpc, request);
      if (this.#missed && connection === this.#connection) this.#missed = false;
      return answer;
    } catch (error) {
      if (isAbsence(error) && connection === this.#connection) {
        this.#missed = true;
        this.#search();
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#cancelWatch();
    this.#awaited.resolve();
    await Promise.all([this.#connection?.rpc.close(), this.#searching]);
    await this.#options.source.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #leader<Q, R>({ name }: Rpc<Q, R>): Promise<Connection> {
    const { clock, connectTimeoutMs, source } = this.#options;
    const { signal } = this.#closing;
    await source.open();
    const deadline = clock.now() + connectTimeoutMs;
    while (this.#connection === null && clock.now() < deadline && !signal.aborted) {
      this.#search();
      const waited = new AbortController();
      void this.#awaited.promise.then(() => waited.abort());
      await pause(clock, Math.max(0, deadline - clock.now()), waited.signal);
    }
    if (this.#connection !== null && !signal.aborted) return this.#connection;
    const why = signal.aborted ? "this client is closed" : "no master leads";
    throw new StoreError(ErrorCode.RPC_FAIL, `Cannot call ${name}: ${why}`);
  }

  /** Looks for the leader until one answers. */
  #search(): void {
    this.#searching ??= this.#searchOn().finally(() => this.#searching = null);
  }

  async #searchOn(): Promise<void> {
    const { signal } = this.#closing;
    while (this.#missed && !signal.aborted) {
      if (await this.#look()) return;
      await pause(this.#options.clock, SEARCH_MS, signal);
    }
  }

  #watch(): void {
    this.#cancelWatch = this.#options.clock.after(WATCH_MS, () => {
      void this.#look().finally(() => {
        if (!this.#closing.signal.aborted) this.#watch();
      });
    });
  }

  /** Asks who leads, and turns to another one; whether there was one. */
  async #look(): Promise<boolean> {
    const { source, clock, connectTimeoutMs, requestTimeoutMs, log } = this.#options;
    let address: string | null;
    try {
      address = await source.find();
    } catch (error) {
      log(`cannot ask who leads: ${error instanceof Error ? error.message : error}`);
      return false;
    }
    const previous = this.#connection;
    if (address === null || address === previous?.address || this.#closing.signal.aborted) {
      return false;
    }
    const parsed = parseHostPort(address);
    if (parsed === null || parsed.port === null) {
      log(`the leader's address is malformed: ${JSON.stringify(address)}`);
      return false;
    }
    const { host, port } = parsed;
    const rpc = new RpcClient({ host, port, clock, connectTimeoutMs, requestTimeoutMs });
    this.#connection = { address, rpc };
    this.#missed = false;
    this.#awaited.resolve();
    if (previous !== null) {
      log(`the master at ${address} leads now`);
      void previous.rpc.close();
      this.#awaited = Promise.withResolvers<void>();
      this.onChange();
    }
    return true;
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof StoreError &&
    (error.code === ErrorCode.RPC_FAIL || error.code === ErrorCode.RPC_TIMEOUT);
}
