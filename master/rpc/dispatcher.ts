import { TransportErrorCode } from "../../proto/coro_rpc/header.ts";
import { ProtocolError } from "../../proto/error.ts";
import { Codec } from "../../proto/struct_pack/codec.ts";
import { text } from "../../proto/struct_pack/schema.ts";
import { Call, Outcome, type ServedFunction } from "./call.ts";
import type { Replies } from "./replies.ts";

/** A request that waits for space, with the part of its reply that is already written. */
interface Waiting {
  connection: number;
  seq: number;
  served: ServedFunction;
  body: Uint8Array;
  reply: Uint8Array;
  width: 1 | 2 | 4 | 8;
  resumeAt: number;
  items: number;
  failedItems: number;
  untilMs: number;
}

export interface DispatcherOptions {
  functions: Iterable<ServedFunction>;
  replies: Replies;
  /** Milliseconds that a put may wait for space; 0 = it is refused at once. */
  putWaitMs: number;
  /** Requests that may wait at the same time; the next one is refused at once. */
  maxWaiting?: number;
  /** Told about a handler that threw something else than a `ProtocolError`. */
  onFault: (name: string, error: unknown) => void;
}

const messageCodec = new Codec<string>(text);

/** Takes request frames, calls their handlers and packs the replies. */
export class Dispatcher {
  readonly #functions: ReadonlyMap<number, ServedFunction>;
  readonly #replies: Replies;
  readonly #call: Call;
  readonly #putWaitMs: number;
  readonly #maxWaiting: number;
  readonly #onFault: DispatcherOptions["onFault"];
  #waiting: Waiting[] = [];
  /** Requests that have waited for space since the start. */
  waits = 0;

  constructor(options: DispatcherOptions) {
    this.#functions = new Map(Array.from(options.functions, (one) => [one.functionId, one]));
    this.#replies = options.replies;
    this.#call = new Call(options.replies);
    this.#putWaitMs = options.putWaitMs;
    this.#maxWaiting = options.maxWaiting ?? 10_000;
    this.#onFault = options.onFault;
  }

  /** Requests that wait for space now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Serves one request; `bytes[start, end)` is its body and may be reused after the call. */
  request(
    connection: number,
    seq: number,
    functionId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    nowMs: number,
  ): void {
    const replies = this.#replies;
    replies.begin(connection, seq);
    const served = this.#functions.get(functionId);
    if (served === undefined) {
      return this.#fail(
        TransportErrorCode.FUNCTION_NOT_REGISTERED,
        "the rpc function not registered",
      );
    }
    const call = this.#call;
    call.connection = connection;
    call.seq = seq;
    call.nowMs = nowMs;
    call.waitUntilMs = this.#waiting.length < this.#maxWaiting ? nowMs + this.#putWaitMs : nowMs;
    call.resumeAt = 0;
    call.items = 0;
    call.failedItems = 0;
    call.reader.reset(bytes, start, end);
    if (this.#run(served) === Outcome.WAIT) {
      this.waits++;
      this.#park(served, bytes.slice(start, end), call.waitUntilMs);
    }
  }

  /** Answers a request whose frame was larger than the limit. */
  tooLarge(connection: number, seq: number, maxFrameBytes: number): void {
    this.#replies.begin(connection, seq);
    this.#fail(
      TransportErrorCode.MESSAGE_TOO_LARGE,
      `the request is larger than ${maxFrameBytes} bytes`,
    );
  }

  /** Tries the waiting requests again; the ones whose time is over are refused. */
  retryWaiting(nowMs: number): void {
    if (this.#waiting.length === 0) return;
    const tried = this.#waiting;
    this.#waiting = [];
    const { writer } = this.#replies;
    for (const request of tried) {
      const call = this.#call;
      this.#replies.begin(request.connection, request.seq);
      writer.raw(request.reply);
      writer.startSizes(request.width);
      call.connection = request.connection;
      call.seq = request.seq;
      call.nowMs = nowMs;
      call.waitUntilMs = Math.max(nowMs, request.untilMs);
      call.resumeAt = request.resumeAt;
      call.items = request.items;
      call.failedItems = request.failedItems;
      call.reader.reset(request.body);
      if (this.#run(request.served) === Outcome.WAIT) {
        this.#park(request.served, request.body, request.untilMs);
      }
    }
  }

  #run({ name, handler, meter }: ServedFunction): Outcome {
    const call = this.#call;
    try {
      const outcome = handler(call);
      if (outcome === Outcome.DONE) {
        this.#replies.end();
        meter?.served(call.items, call.failedItems);
      }
      return outcome;
    } catch (error) {
      if (error instanceof ProtocolError) {
        this.#fail(TransportErrorCode.INVALID_RPC_ARGUMENTS, "invalid rpc arg");
      } else {
        this.#onFault(name, error);
        this.#fail(TransportErrorCode.RPC_THROW_EXCEPTION, "internal error of the master");
      }
      return Outcome.DONE;
    }
  }

  #park(served: ServedFunction, body: Uint8Array, untilMs: number): void {
    const { connection, seq, resumeAt, items, failedItems } = this.#call;
    const { writer, bodyStart } = this.#replies;
    const reply = writer.bytes.slice(bodyStart);
    this.#waiting.push({
      ...{ connection, seq, served, body, reply, resumeAt, items, failedItems, untilMs },
      width: writer.width,
    });
    this.#replies.abandon();
  }

  #fail(code: TransportErrorCode, message: string): void {
    this.#replies.restartBody();
    messageCodec.encode(this.#replies.writer, message, { literal: true });
    this.#replies.end(code);
  }
}
