import { setImmediate } from "node:timers";
import type { NativeRpcServer } from "../../ffi/rpc_server.ts";
import { RpcKind } from "../../ffi/rpc_symbols.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Replies } from "./replies.ts";

/** Longest sleep of an idle loop: how late a signal of the operating system may be seen. */
const IDLE_POLL_MS = 100;
/** Under load the thread's own event loop gets a turn this often. */
const TURN_EVERY_MS = 20;
const TICK_EVERY_MS = 10;

export interface NativeLoopOptions {
  server: NativeRpcServer;
  dispatcher: Dispatcher;
  replies: Replies;
  maxFrameBytes: number;
  /** Milliseconds, monotonic. */
  clock: () => number;
  /** The core's periodic work; returns how many milliseconds until it is wanted again. */
  tick: (nowMs: number) => number;
  /** Called when somebody has written to the server's wake descriptor. */
  onWake: () => void;
}

function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * The thread that owns the core: polls sockets through the shim, serves what has arrived, lets the
 * core do its periodic work. Signals are seen in the turns that it gives its event loop.
 */
export class NativeLoop {
  readonly #options: NativeLoopOptions;
  #stopping = false;

  constructor(options: NativeLoopOptions) {
    this.#options = options;
  }

  /** Longest time in milliseconds that one batch has taken, since the last time it was asked for. */
  takeWorstBatchMs(): number {
    const worst = this.#worstBatchMs;
    this.#worstBatchMs = 0;
    return worst;
  }
  #worstBatchMs = 0;

  stop(): void {
    this.#stopping = true;
  }

  /** Serves until {@linkcode stop}; the last replies are sent before it returns. */
  async run(): Promise<void> {
    const { server, dispatcher, replies, maxFrameBytes, clock, tick, onWake } = this.#options;
    let now = clock();
    let nextTick = now;
    let lastTurn = now;
    const visit = (
      connection: number,
      kind: number,
      seq: number,
      functionId: number,
      bytes: Uint8Array,
      start: number,
      end: number,
    ) => {
      if (kind === RpcKind.TOO_LARGE) dispatcher.tooLarge(connection, seq, maxFrameBytes);
      else dispatcher.request(connection, seq, functionId, bytes, start, end, now);
    };
    while (!this.#stopping) {
      const sleep = Math.min(IDLE_POLL_MS, Math.max(0, Math.ceil(nextTick - clock())));
      const woken = server.poll(replies.bytes, dispatcher.waiting > 0 ? Math.min(1, sleep) : sleep);
      replies.clear();
      now = clock();
      const started = now;
      server.visit(visit);
      dispatcher.retryWaiting(now);
      if (now >= nextTick) {
        const delay = tick(now);
        nextTick = now + Math.max(delay, delay > 0 ? TICK_EVERY_MS : 0);
      }
      now = clock();
      this.#worstBatchMs = Math.max(this.#worstBatchMs, now - started);
      if (woken) onWake();
      if (now - lastTurn >= TURN_EVERY_MS) {
        await eventLoopTurn();
        lastTurn = clock();
      }
    }
    server.poll(replies.bytes, 0);
  }
}
