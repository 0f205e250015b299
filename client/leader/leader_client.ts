import { ErrorCode } from "../../proto/error_code.ts";
import type { Rpc } from "../../proto/messages.ts";
import type { RpcCaller } from "../master_client.ts";
import { CallError } from "../rpc_client.ts";
import { parseHostPort } from "../transfer/address.ts";
import { type Clock, pause } from "../transfer/clock.ts";
import { errorText } from "../transfer/error_text.ts";
import { NobodyLeadsError } from "./absence.ts";
import { type Dial, dialTcp, type MasterLine } from "./dial.ts";
import { certain, resendOf, revocationOf } from "./retry.ts";
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
  /** Default {@linkcode dialTcp}. */
  dial?: Dial;
  log: (line: string) => void;
}

/** A connection to the leader of the moment. */
interface Connection {
  readonly address: string;
  readonly rpc: MasterLine;
}

/**
 * Calls the procedures of whichever master leads. When it stops answering, or another one leads, a call
 * goes to the new leader if it was not sent, if it only reads, or if it is about a write with a number
 * (see `retry.ts`); it is begun no later than `requestTimeoutMs` after it was made. Other calls fail
 * with `RPC_FAIL`: they may or may not have been done. Failures are those of `RpcClient`; `RPC_FAIL`,
 * too, when no leader was found in `connectTimeoutMs`.
 */
export class LeaderClient implements RpcCaller, AsyncDisposable {
  readonly #options: LeaderClientOptions;
  readonly #closing = new AbortController();
  #connection: Connection | null = null;
  #missed = true;
  /** Why no leader was found. */
  #absence: Error = new Error("nobody answered in time who leads");
  /** What the log was told of that last. */
  #told = "";
  #searching: Promise<void> | null = null;
  /** Resolved, and replaced, when a leader is found or the one there is answers again. */
  #news = Promise.withResolvers<void>();
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

  async call<Q, R>(rpc: Rpc<Q, R>, request: Q, writeId = 0): Promise<R> {
    const { clock, requestTimeoutMs } = this.#options;
    const deadline = clock.now() + requestTimeoutMs;
    let connection = this.#connection ?? await this.#leader(rpc);
    try {
      return await this.#send(connection, rpc, request, writeId);
    } catch (error) {
      let failure = error;
      for (;;) {
        const turned = await this.#turned(connection, failure, deadline);
        if (turned === null) throw failure;
        const resend = isUnanswered(failure) ? resendOf(rpc, writeId) : "read";
        if (resend === "never" || (resend === "start" && turned === connection)) throw failure;
        connection = turned;
        let answer: R;
        try {
          if (resend === "start") {
            const revocation = revocationOf(rpc, request);
            await this.#send(connection, revocation.rpc, revocation.request, writeId);
          }
          answer = await this.#send(connection, rpc, request, writeId);
        } catch (error) {
          if (!isUnanswered(failure) || isUnanswered(error)) failure = error;
          else if (!isAbsence(error)) throw failure;
          continue;
        }
        const known = resend === "finish" ? certain(answer) : answer;
        if (known === null) throw failure;
        return known;
      }
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#cancelWatch();
    this.#tellNews();
    await Promise.all([this.#connection?.rpc.close(), this.#searching]);
    await this.#options.source.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One attempt. */
  async #send<Q, R>(
    connection: Connection,
    rpc: Rpc<Q, R>,
    request: Q,
    writeId: number,
  ): Promise<R> {
    try {
      const answer = await connection.rpc.call(rpc, request, writeId);
      this.#answered(connection);
      return answer;
    } catch (error) {
      if (isAbsence(error) && connection === this.#connection) {
        this.#missed = true;
        this.#search();
      } else if (error instanceof CallError && error.fate === "refused") {
        this.#answered(connection);
      }
      throw error;
    }
  }

  #answered(connection: Connection): void {
    if (!this.#missed || connection !== this.#connection) return;
    this.#missed = false;
    this.#tellNews();
  }

  /**
   * Where a call that failed at `from` can be sent again, once there is such a place: another leader,
   * or the same one if it answers again; `null` if that is not so by the deadline, or not worth a try.
   */
  async #turned(from: Connection, error: unknown, deadline: number): Promise<Connection | null> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    if (!isAbsence(error)) return null;
    while (clock.now() < deadline && !signal.aborted) {
      if (this.#connection !== from || !this.#missed) return this.#connection;
      await this.#awaitNews(deadline);
    }
    return null;
  }

  async #awaitNews(deadline: number): Promise<void> {
    const { clock } = this.#options;
    const waited = new AbortController();
    void this.#news.promise.then(() => waited.abort());
    await pause(clock, Math.max(0, deadline - clock.now()), waited.signal);
  }

  #tellNews(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers<void>();
  }

  async #leader<Q, R>({ name }: Rpc<Q, R>): Promise<Connection> {
    const { clock, connectTimeoutMs, source } = this.#options;
    const { signal } = this.#closing;
    await source.open();
    const deadline = clock.now() + connectTimeoutMs;
    while (this.#connection === null && clock.now() < deadline && !signal.aborted) {
      this.#search();
      await this.#awaitNews(deadline);
    }
    if (this.#connection !== null && !signal.aborted) return this.#connection;
    if (signal.aborted) throw unsent(`Cannot call ${name}: this client is closed`);
    const cause = this.#absence;
    throw unsent(`Cannot call ${name}: no master leads: ${errorText(cause)}`, { cause });
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

  /** Says what goes on without a leader, once; before the first one, who calls is told. */
  #tell(line: string): void {
    if (this.#connection === null || line === this.#told) return;
    this.#told = line;
    this.#options.log(line);
  }

  /** Asks who leads, and turns to another one; whether there was one. */
  async #look(): Promise<boolean> {
    const { source, clock, connectTimeoutMs, requestTimeoutMs, log } = this.#options;
    const { dial = dialTcp } = this.#options;
    let address: string | null;
    try {
      address = await source.find();
    } catch (error) {
      this.#absence = error instanceof Error ? error : new Error(String(error));
      this.#tell(`cannot ask who leads: ${errorText(error)}`);
      return false;
    }
    const previous = this.#connection;
    if (address === null) this.#absence = new NobodyLeadsError(source.nobody);
    else this.#told = "";
    if (address === null || address === previous?.address || this.#closing.signal.aborted) {
      return false;
    }
    const parsed = parseHostPort(address);
    if (parsed === null || parsed.port === null) {
      this.#absence = new Error(`the leader's address is malformed: ${JSON.stringify(address)}`);
      this.#tell(this.#absence.message);
      return false;
    }
    const { host, port } = parsed;
    const rpc = dial({ host, port, clock, connectTimeoutMs, requestTimeoutMs });
    this.#connection = { address, rpc };
    this.#missed = false;
    this.#tellNews();
    if (previous !== null) {
      log(`the master at ${address} leads now`);
      void previous.rpc.close();
      this.onChange();
    }
    return true;
  }
}

function unsent(message: string, options: ErrorOptions = {}): CallError {
  return new CallError(ErrorCode.RPC_FAIL, message, "unsent", options);
}

/** Whether nobody answered. */
function isAbsence(error: unknown): boolean {
  return error instanceof CallError && error.fate !== "refused";
}

/** Whether a call may have been done though it failed. */
function isUnanswered(error: unknown): boolean {
  return error instanceof CallError && error.fate === "unanswered";
}
