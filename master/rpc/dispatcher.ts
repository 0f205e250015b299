import { TransportErrorCode } from "../../proto/coro_rpc/header.ts";
import { ProtocolError } from "../../proto/error.ts";
import { readWriteId } from "../../proto/coro_rpc/write_id.ts";
import { Codec } from "../../proto/struct_pack/codec.ts";
import { text } from "../../proto/struct_pack/schema.ts";
import {
  BatchExistKey,
  BatchGetReplicaList,
  ExistKey,
  GetReplicaList,
  GetReplicaListByRegex,
} from "../../proto/messages/objects.ts";
import { MAX_READ_HOLD_MS } from "../core/holds.ts";
import { AnswerTooLarge, Call, Outcome, type ServedFunction } from "./call.ts";
import type { Replies } from "./replies.ts";
import { ScanLine, type WaitingScan } from "./scan_line.ts";
import { WaitingLine, type WaitingRequest } from "./waiting_line.ts";

export interface DispatcherOptions {
  functions: Iterable<ServedFunction>;
  replies: Replies;
  /** Milliseconds that a put may wait for space; 0 = it is refused at once. */
  putWaitMs: number;
  /** Requests that may wait at the same time; the next one is refused at once. */
  maxWaiting?: number;
  /** Work of one turn of the scans; default {@linkcode SLICE_WORK}. */
  sliceWork?: number;
  /** Counts durable changes: a request that raises it is answered only once they are kept. */
  changes?: () => number;
  /** Told about a handler that threw something else than a `ProtocolError`. */
  onFault: (name: string, error: unknown) => void;
}

/**
 * How long a request may wait for readers: twice what a hold lasts, so that none is refused because one
 * of them was met late.
 */
const READERS_WAIT_MS = 2 * MAX_READ_HOLD_MS;

/** A request with a larger body does not wait for space, nor one beyond the sum of such bodies. */
const MAX_WAITING_BODY_BYTES = 1 << 20;
const MAX_WAITING_BYTES = 64 << 20;

const BAD_WRITE_ID = "the attachment is not the number of a write";

/** Some hundreds of microseconds, or about 2000 keys. */
const SLICE_WORK = 200_000;

const messageCodec = new Codec<string>(text);

/** Calls whose answers show objects. */
const SHOWING: ReadonlySet<string> = new Set(
  [ExistKey, BatchExistKey, GetReplicaList, BatchGetReplicaList, GetReplicaListByRegex]
    .map(({ name }) => name),
);

/** Takes request frames, calls their handlers and packs the replies. */
export class Dispatcher {
  readonly #functions: ReadonlyMap<number, ServedFunction>;
  readonly #replies: Replies;
  readonly #call: Call;
  readonly #onFault: DispatcherOptions["onFault"];
  readonly #changes: () => number;
  readonly #waiting: WaitingLine;
  /** Requests that wait for readers; however long the other line is, these must not be refused. */
  readonly #held: WaitingLine;
  readonly #scans = new ScanLine();
  readonly #sliceWork: number;
  /** How long a write waits for space, milliseconds. */
  putWaitMs: number;
  /** Requests that have waited for space since the start. */
  waits = 0;
  /** Requests that have waited for readers since the start. */
  heldWaits = 0;

  constructor(options: DispatcherOptions) {
    this.#functions = new Map(Array.from(options.functions, (one) => [one.functionId, one]));
    this.#replies = options.replies;
    this.#call = new Call(options.replies);
    this.putWaitMs = options.putWaitMs;
    this.#waiting = new WaitingLine({
      requests: options.maxWaiting ?? 10_000,
      bodyBytes: MAX_WAITING_BODY_BYTES,
      totalBytes: MAX_WAITING_BYTES,
    });
    this.#held = new WaitingLine({
      requests: options.maxWaiting ?? 100_000,
      bodyBytes: MAX_WAITING_BYTES,
      totalBytes: MAX_WAITING_BYTES,
    });
    this.#sliceWork = options.sliceWork ?? SLICE_WORK;
    this.#onFault = options.onFault;
    this.#changes = options.changes ?? (() => 0);
  }

  /** Requests that wait now, for space or for readers. */
  get waiting(): number {
    return this.#waiting.length + this.#held.length;
  }

  /** Scans that go on now. */
  get scanning(): number {
    return this.#scans.length;
  }

  /**
   * Serves one request. Its body is `bytes[start, end)`, its attachment `bytes[end, frameEnd)`; they
   * may be reused after the call.
   */
  request(
    connection: number,
    seq: number,
    functionId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    frameEnd: number,
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
    call.nowMs = nowMs;
    call.waitUntilMs = this.#waiting.admits(end - start) ? nowMs + this.putWaitMs : nowMs;
    call.mayAwaitReaders = this.#held.admits(end - start);
    call.hasWaited = false;
    call.resumeAt = 0;
    call.items = 0;
    call.failedItems = 0;
    call.mayScan = this.#scans.hasRoom;
    call.reader.reset(bytes, start, end);
    call.writeId = frameEnd === end ? 0 : readWriteId(bytes, end, frameEnd);
    if (call.writeId < 0) return this.#fail(TransportErrorCode.INVALID_RPC_ARGUMENTS, BAD_WRITE_ID);
    const outcome = this.#run(served);
    if (outcome === Outcome.SCAN) {
      replies.abandon();
      this.#scans.add({ connection, seq, served: { ...served, handler: call.scan! } });
      call.scan = null;
    } else if (outcome === Outcome.WAIT || outcome === Outcome.HELD) {
      const held = outcome === Outcome.HELD;
      if (held) this.heldWaits++;
      else this.waits++;
      const { waitUntilMs, writeId, resumeAt, items, failedItems } = call;
      const untilMs = held ? nowMs + READERS_WAIT_MS : waitUntilMs;
      const body = bytes.slice(start, end);
      const reply = this.#takeReply();
      (held ? this.#held : this.#waiting).add({
        ...{ connection, seq, served, body, writeId, untilMs },
        ...{ reply, width: replies.writer.width, resumeAt, items, failedItems },
      });
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

  /**
   * Answers the requests of this batch that have changed something with an error instead, because the
   * changes could not be kept: they may or may not come to be. So are reads for which
   * {@linkcode Replies.doubtReads} was called.
   */
  refuseChanges(why: string): void {
    this.#replies.replaceChanges(
      TransportErrorCode.RPC_THROW_EXCEPTION,
      (writer) => messageCodec.encode(writer, why, { literal: true }),
    );
  }

  /**
   * Tries waiting requests again, a bounded number at a time; the ones whose time is over are
   * refused, and those whose connection is not open any more dropped. Returns whether one of them
   * got what it waited for.
   */
  retryWaiting(nowMs: number, isOpen: (connection: number) => boolean): boolean {
    if (this.waiting === 0) return false;
    const attempt = (request: WaitingRequest) =>
      !isOpen(request.connection) || this.#retry(request, nowMs);
    const freed = this.#held.round(nowMs, attempt);
    return this.#waiting.round(nowMs, attempt) || freed;
  }

  /**
   * Gives the scans a turn, in all for a bounded time; those whose connection is not open any more are
   * dropped. What they have changed must be kept before the replies leave, as for a request.
   */
  runScans(nowMs: number, isOpen: (connection: number) => boolean): void {
    const { work } = this.#call;
    work.left = this.#sliceWork;
    this.#scans.turn(work, (scan) => !isOpen(scan.connection) || this.#slice(scan, nowMs));
  }

  #slice({ connection, seq, served }: WaitingScan, nowMs: number): boolean {
    const call = this.#call;
    this.#replies.begin(connection, seq);
    call.nowMs = nowMs;
    call.resumeAt = 0;
    if (this.#run(served) === Outcome.DONE) return true;
    this.#replies.abandon();
    return false;
  }

  #retry(request: WaitingRequest, nowMs: number): boolean {
    const replies = this.#replies;
    const call = this.#call;
    replies.begin(request.connection, request.seq);
    replies.writer.raw(request.reply);
    replies.writer.startSizes(request.width);
    call.nowMs = nowMs;
    call.waitUntilMs = Math.max(nowMs, request.untilMs);
    call.mayAwaitReaders = nowMs < request.untilMs;
    call.hasWaited = true;
    call.resumeAt = request.resumeAt;
    call.items = request.items;
    call.failedItems = request.failedItems;
    call.reader.reset(request.body);
    call.writeId = request.writeId;
    if (this.#run(request.served) === Outcome.DONE) return true;
    if (call.resumeAt === request.resumeAt) {
      replies.abandon();
      return false;
    }
    request.width = replies.writer.width;
    request.reply = this.#takeReply();
    request.resumeAt = call.resumeAt;
    request.items = call.items;
    request.failedItems = call.failedItems;
    return false;
  }

  #run({ name, handler, meter }: ServedFunction): Outcome {
    const call = this.#call;
    const resumed = call.resumeAt > 0;
    const changes = this.#changes();
    try {
      const outcome = handler(call);
      if (outcome === Outcome.DONE) {
        this.#replies.end();
        if (resumed || this.#changes() !== changes) this.#replies.markChange();
        else if (SHOWING.has(name)) this.#replies.markRead();
        meter?.served(call.items, call.failedItems);
      }
      return outcome;
    } catch (error) {
      if (error instanceof ProtocolError) {
        this.#fail(TransportErrorCode.INVALID_RPC_ARGUMENTS, "invalid rpc arg");
      } else if (error instanceof AnswerTooLarge) {
        this.#fail(TransportErrorCode.MESSAGE_TOO_LARGE, error.message);
      } else {
        this.#onFault(name, error);
        this.#fail(TransportErrorCode.RPC_THROW_EXCEPTION, "internal error of the master");
      }
      return Outcome.DONE;
    }
  }

  /** Takes the body written so far out of the replies. */
  #takeReply(): Uint8Array {
    const { writer, bodyStart } = this.#replies;
    const reply = writer.bytes.slice(bodyStart);
    this.#replies.abandon();
    return reply;
  }

  #fail(code: TransportErrorCode, message: string): void {
    this.#replies.restartBody();
    messageCodec.encode(this.#replies.writer, message, { literal: true });
    this.#replies.end(code);
  }
}
