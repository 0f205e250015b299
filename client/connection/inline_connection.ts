import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { errnoName } from "../../ffi/errno.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { NativeRpcConnection, type RpcClientLibrary } from "../../ffi/rpc_client.ts";
import { formatHostPort } from "../transfer/address.ts";
import { inlineBudget } from "../transfer/inline_budget.ts";
import { SETTLED } from "../transfer/settled.ts";
import type { Connection, ConnectionOwner, ConnectionTarget } from "./connection.ts";

/** Microseconds that what was sent may be slept for on the calling thread. */
export const INLINE_WAIT_US = 150;
/** Sends that do not sleep after answers have come later than that, again and again. */
const MAX_SKIPS = 64;
const IN_BYTES = 128 << 10;
/** Chunks taken at a time when the event loop has told of input. */
const MAX_CHUNKS = 16;
/** Milliseconds for an address of a name that has further ones. */
const NEXT_ADDRESS_MS = 250;

/**
 * A connection of the C shim. What is awaited after a send is waited for on this thread for a moment,
 * which takes half of the time of going through the event loop; what takes longer comes from a poll on
 * another thread, which is parked all the time and not woken by answers that come in that moment.
 */
export class InlineConnection implements Connection {
  readonly #library: RpcClientLibrary;
  readonly #target: ConnectionTarget;
  readonly #owner: ConnectionOwner;
  readonly #inlineWaitUs: number;
  readonly #in = new Uint8Array(IN_BYTES);
  readonly #gaveUp = Promise.withResolvers<void>();
  #native: NativeRpcConnection | null = null;
  #failure: Error | null = null;
  #closed = false;
  /** The parked poll looks for input. */
  #watching = false;
  /** Sleeps in a row that were too short, and sends left that do not sleep because of that. */
  #misses = 0;
  #skips = 0;
  /** What has been sent is to be slept for when this turn's other work is done. */
  #sleepIsDue = false;
  /** Settles when nothing is left of the connection. */
  readonly done: Promise<void>;

  constructor(
    library: RpcClientLibrary,
    target: ConnectionTarget,
    owner: ConnectionOwner,
    inlineWaitUs = INLINE_WAIT_US,
  ) {
    this.#library = library;
    this.#target = target;
    this.#owner = owner;
    this.#inlineWaitUs = inlineWaitUs;
    this.done = this.#run();
  }

  send(bytes: Uint8Array, taken: () => void): void {
    const native = this.#native;
    if (native === null || this.#failure !== null) return;
    let unsent: number;
    try {
      unsent = native.send(bytes);
    } catch (error) {
      return this.destroy(asError("write", error));
    }
    taken();
    if (this.#watching || this.#sleepIsDue || !this.#owner.expects()) return;
    if (unsent > 0) return this.#watch(native, true);
    this.#sleepIsDue = true;
    void SETTLED.then(this.#awaitSoon);
  }

  readonly #awaitSoon = (): void => void SETTLED.then(this.#await);

  /**
   * Waits for what was sent. Who has sent it may have begun transfers behind it, and these have had
   * their turn by now, so that they go on while the server works.
   */
  readonly #await = (): void => {
    this.#sleepIsDue = false;
    const native = this.#native;
    if (native === null || this.#failure !== null || this.#watching) return;
    if (this.#owner.expects() && this.#maySleep()) this.#sleep(native);
    if (this.#failure === null && this.#owner.expects()) this.#watch(native, true);
  };

  destroy(error: Error): void {
    this.#failure ??= error;
    this.#native?.shutdown();
    this.#gaveUp.resolve();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.destroy(new Error("the connection was closed"));
    return this.done;
  }

  async #run(): Promise<void> {
    try {
      const native = await this.#connect();
      // It may have been given up while the result was on its way.
      if (native !== null && this.#failure === null) {
        this.#owner.opened();
        await this.#serve(native);
      }
    } catch (error) {
      this.#failure ??= asError("read", error);
    }
    if (this.#native !== null) this.#watch(this.#native, false);
    await this.#native?.[Symbol.asyncDispose]();
    this.#native = null;
    if (!this.#closed) this.#owner.lost(this.#failure ?? new Error("the server hung up"));
  }

  /** Tries the addresses of the host, one after the other; `null` when it was given up. */
  async #connect(): Promise<NativeRpcConnection | null> {
    const { port, clock } = this.#target;
    const hosts = await this.#hosts();
    let failure: Error | null = null;
    for (const [i, host] of hosts.entries()) {
      if (this.#failure !== null) return null;
      let native: NativeRpcConnection | null = null;
      const cancel = i + 1 < hosts.length
        ? clock.after(NEXT_ADDRESS_MS, () => native?.shutdown())
        : () => {};
      try {
        native = this.#native = new NativeRpcConnection(this.#library, host, port);
        if (await native.poll() !== null) {
          native.flush();
          return native;
        }
      } catch (error) {
        failure = asError("connect", error, ` ${formatHostPort(host, port)}`);
      } finally {
        cancel();
      }
      this.#native = null;
      await native?.[Symbol.asyncDispose]();
    }
    if (this.#failure !== null) return null;
    throw failure ?? new Error(`${this.#target.host} has no address that answers`);
  }

  /** The numeric addresses of the host. */
  async #hosts(): Promise<string[]> {
    const { host } = this.#target;
    if (isIP(host) !== 0) {
      await Promise.resolve();
      return [host];
    }
    const found = lookup(host, { all: true });
    found.catch(() => {});
    const first = await Promise.race([found, this.#gaveUp.promise]);
    return (first ?? []).map(({ address }) => address);
  }

  /** Does what the poll tells of, until the connection ends. */
  async #serve(native: NativeRpcConnection): Promise<void> {
    while (this.#failure === null) {
      const seen = await native.poll();
      inlineBudget.renew();
      if (seen === null || this.#failure !== null) return;
      if (seen.output) native.flush();
      if (seen.input && !this.#takeChunks(native)) return;
      if (!this.#owner.expects()) this.#watch(native, false);
    }
  }

  /** Takes what has arrived; whether the connection goes on. */
  #takeChunks(native: NativeRpcConnection): boolean {
    for (let i = 0; i < MAX_CHUNKS; i++) {
      const length = native.receive(this.#in, 0);
      if (length < 0) return false;
      if (length > 0) this.#owner.received(this.#in.subarray(0, length));
      if (length < IN_BYTES || this.#failure !== null) break;
    }
    return true;
  }

  #watch(native: NativeRpcConnection, input: boolean): void {
    if (this.#watching === input) return;
    this.#watching = input;
    native.watch(input);
    if (input) inlineBudget.enter();
    else inlineBudget.leave();
  }

  #maySleep(): boolean {
    if (this.#inlineWaitUs === 0 || inlineBudget.isSpent || !inlineBudget.isAlone) return false;
    if (this.#skips === 0) return true;
    this.#skips--;
    return false;
  }

  /** Sleeps until everything awaited has come, or for the moment that is allowed. */
  #sleep(native: NativeRpcConnection): void {
    const begun = performance.now();
    let spentMs = 0;
    let leftUs = this.#inlineWaitUs;
    try {
      while (leftUs > 0 && this.#failure === null && this.#owner.expects()) {
        const length = native.receive(this.#in, leftUs);
        if (length < 0) this.destroy(new Error("the server hung up"));
        else if (length > 0) this.#owner.received(this.#in.subarray(0, length));
        spentMs = performance.now() - begun;
        leftUs = Math.floor(this.#inlineWaitUs - spentMs * 1000);
      }
    } catch (error) {
      this.destroy(asError("read", error));
    }
    inlineBudget.spend(spentMs);
    if (!this.#owner.expects()) this.#misses = 0;
    else this.#skips = Math.min(2 ** this.#misses++ - 1, MAX_SKIPS);
  }
}

/** An error of the shim as Node words it. */
function asError(verb: string, error: unknown, where = ""): Error {
  if (!(error instanceof NativeError)) return error as Error;
  return new Error(`${verb} ${errnoName(error.errno)}${where}`, { cause: error });
}
