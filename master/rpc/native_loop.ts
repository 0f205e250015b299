import { setImmediate } from "node:timers";
import type { NativeRpcServer } from "../../ffi/rpc_server.ts";
import { RpcKind } from "../../ffi/rpc_symbols.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Replies } from "./replies.ts";
import type { ReplyGate } from "./reply_gate.ts";

/** Longest sleep of an idle loop: how late the thread's own event loop may get its turn. */
const IDLE_POLL_MS = 250;
/** Under load the thread's own event loop gets a turn this often. */
const TURN_EVERY_MS = 100;
/** The same while something waits for that. */
const WANTED_TURN_EVERY_MS = 4;
/** Longest sleep while changes are on their way to the disk. */
const SYNC_POLL_MS = 5;
const TICK_EVERY_MS = 20;
/** Unfinished periodic work pauses for so many times its own duration while requests come. */
const TICK_PAUSE = 2;
/** Pause after periodic work that threw. */
const FAULT_PAUSE_MS = 1000;
/** Periodic work that is so late comes after a stall; then so many batches are served first at most. */
const STALL_MS = 300;
const MOST_ROUNDS_PUT_OFF = 64;
/** A turn of the scans is followed by a pause of so many times its own duration while requests come. */
const SCAN_PAUSE = 2;
/** How often waiting requests are tried when nothing else happens. */
const WAITING_POLL_MS = 1;
/** Replies of one batch are sent in parts of about this size. */
const MAX_REPLY_BYTES = 4 << 20;

/** The part of a native server that the loop uses. */
export type RpcPoller = Pick<NativeRpcServer, "poll" | "send" | "visit" | "isOpen">;

export interface NativeLoopOptions {
  server: RpcPoller;
  dispatcher: Dispatcher;
  replies: Replies;
  maxFrameBytes: number;
  /** Milliseconds, monotonic. */
  clock: () => number;
  /** The core's periodic work; returns how many milliseconds until it is wanted again. */
  tick: (nowMs: number) => number;
  gate: ReplyGate;
  /** Told about periodic work that threw. */
  onFault: (what: string, error: unknown) => void;
  /**
   * Called when somebody has written to the server's wake descriptor. Returns whether it has left
   * something to do; then it is called again soon.
   */
  onWake: () => boolean;
}

function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * The thread that owns the core: polls sockets through the shim, serves what has arrived, lets the
 * core do its periodic work. Replies leave before anything that is not an answer to a request.
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

  #tick(nowMs: number): number {
    this.#faulted = false;
    try {
      return this.#options.tick(nowMs);
    } catch (error) {
      this.#options.onFault("Periodic work", error);
      this.#faulted = true;
      return FAULT_PAUSE_MS;
    }
  }
  #faulted = false;

  /**
   * Whether periodic work is put off: when it comes very late the process was stopped, and what has
   * arrived meanwhile, pings among it, is served first.
   */
  #isCatchingUp(lateMs: number, served: number): boolean {
    const first = this.#roundsPutOff === 0;
    const behind = lateMs > STALL_MS && (first || served > 0) &&
      this.#roundsPutOff < MOST_ROUNDS_PUT_OFF;
    this.#roundsPutOff = behind ? this.#roundsPutOff + 1 : 0;
    return behind;
  }
  #roundsPutOff = 0;

  /** Serves until {@linkcode stop}; the last replies are sent before it returns. */
  async run(): Promise<void> {
    const { server, dispatcher, replies, maxFrameBytes, clock, gate, onWake } = this.#options;
    let now = clock();
    let lastTick = now;
    let nextTick = now;
    let lastTurn = now;
    let nextScan = now;
    let leftByWake = false;
    let sleep = 0;
    const sendReplies = () => {
      gate.settle();
      if (replies.length === 0) return;
      server.send(replies.bytes);
      replies.clear();
    };
    const isOpen = (connection: number) => server.isOpen(connection);
    const visit = (
      connection: number,
      kind: number,
      seq: number,
      functionId: number,
      bytes: Uint8Array,
      start: number,
      end: number,
      frameEnd: number,
    ) => {
      if (kind === RpcKind.TOO_LARGE) dispatcher.tooLarge(connection, seq, maxFrameBytes);
      else dispatcher.request(connection, seq, functionId, bytes, start, end, frameEnd, now);
      if (replies.length > MAX_REPLY_BYTES) sendReplies();
    };
    while (!this.#stopping) {
      gate.settle();
      const woken = server.poll(replies.bytes, sleep);
      replies.clear();
      now = clock();
      const started = now;
      const progress = dispatcher.retryWaiting(now, isOpen);
      const served = server.visit(visit);
      if (served > 0 && !this.#faulted) {
        nextTick = Math.min(nextTick, Math.max(now, lastTick + TICK_EVERY_MS));
      }
      const ticks = now >= nextTick && !this.#isCatchingUp(now - nextTick, served);
      const turnEveryMs = gate.needsTurns ? WANTED_TURN_EVERY_MS : TURN_EVERY_MS;
      const turn = now - lastTurn >= turnEveryMs;
      const scans = dispatcher.scanning > 0 && (served === 0 || now >= nextScan);
      const wakes = woken || leftByWake;
      if (ticks || wakes || turn || scans) sendReplies();
      if (scans) {
        const scanStarted = clock();
        dispatcher.runScans(now, isOpen);
        const scanned = clock();
        nextScan = scanned + SCAN_PAUSE * (scanned - scanStarted);
        now = scanned;
      }
      if (ticks) {
        const delay = this.#tick(now);
        lastTick = now;
        if (delay > 0) nextTick = now + Math.max(delay, TICK_EVERY_MS);
        else nextTick = served > 0 ? clock() + TICK_PAUSE * (clock() - now) : now;
      }
      now = clock();
      this.#worstBatchMs = Math.max(this.#worstBatchMs, now - started);
      if (wakes) leftByWake = onWake();
      if (turn) {
        await eventLoopTurn();
        now = lastTurn = clock();
      }
      sleep = Math.min(IDLE_POLL_MS, Math.max(0, Math.ceil(nextTick - now)));
      if (gate.isSyncing) sleep = Math.min(sleep, SYNC_POLL_MS);
      if (gate.needsTurns) sleep = Math.min(sleep, WANTED_TURN_EVERY_MS);
      if (dispatcher.waiting > 0) sleep = progress ? 0 : Math.min(sleep, WAITING_POLL_MS);
      if (dispatcher.scanning > 0 || leftByWake) sleep = 0;
    }
    gate.settle();
    server.poll(replies.bytes, 0);
  }
}
