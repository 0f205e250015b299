/** A dispatcher that tests feed with requests, and its replies as a client would read them. */
import assert from "node:assert/strict";
import { ProtocolError } from "../../proto/error.ts";
import { readTransportError } from "../../proto/coro_rpc/header.ts";
import type { Rpc } from "../../proto/messages.ts";
import { beginBody, type Codec } from "../../proto/struct_pack/codec.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { type SizeWidth, Writer } from "../../proto/struct_pack/writer.ts";
import type { ServedFunction } from "../../master/rpc/call.ts";
import { Dispatcher } from "../../master/rpc/dispatcher.ts";
import { Replies } from "../../master/rpc/replies.ts";

/** One response frame. */
export interface Answer {
  connection: number;
  seq: number;
  /** The transport's error, 0 = the body is a result. */
  errorCode: number;
  body: Uint8Array;
  attachment?: Uint8Array;
}

/** Reads the packed response frames and checks what must be true of each. */
export function readAnswers(packed: Uint8Array): Answer[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const answers: Answer[] = [];
  for (let at = 0; at < packed.length;) {
    const length = view.getUint32(at + 4, true);
    const frame = at + 8;
    const header = view.getUint32(frame, true);
    assert.equal(header & 0xff00ffff, 0x15, "the magic byte, and nothing but the error code");
    const bodyEnd = frame + 16 + view.getUint32(frame + 8, true);
    const end = bodyEnd + view.getUint32(frame + 12, true);
    assert.equal(end, frame + length, "the lengths of the body and of the attachment");
    answers.push({
      connection: view.getUint32(at, true),
      seq: view.getUint32(frame + 4, true),
      errorCode: header >>> 16,
      body: packed.slice(frame + 16, bodyEnd),
      ...(end > bodyEnd && { attachment: packed.slice(bodyEnd, end) }),
    });
    at = frame + length;
  }
  return answers;
}

/** A body with sizes of a given width, which the codec itself would make as narrow as it can. */
export function encodeBody<T>(
  codec: Codec<T>,
  value: T,
  { width, literal }: { width: SizeWidth; literal: boolean },
): Uint8Array {
  const writer = new Writer();
  beginBody(writer, codec, width, literal);
  codec.schema.write(writer, value);
  assert(writer.neededWidth <= width, `the value needs sizes of ${writer.neededWidth} bytes`);
  return writer.bytes.slice();
}

export interface DispatcherDriverOptions {
  functions: Iterable<ServedFunction>;
  replies?: Replies;
  putWaitMs?: number;
  maxWaiting?: number;
  sliceWork?: number;
  changes?: () => number;
}

/** Owns a dispatcher and a clock that tests move by hand. */
export class DispatcherDriver {
  readonly replies: Replies;
  readonly dispatcher: Dispatcher;
  /** Handlers that threw, by name. */
  readonly faults: { name: string; error: unknown }[] = [];
  /** Connections whose clients have hung up. */
  readonly gone = new Set<number>();
  nowMs = 1_000_000;
  #seq = 0;

  constructor(options: DispatcherDriverOptions) {
    this.replies = options.replies ?? new Replies();
    this.dispatcher = new Dispatcher({
      functions: options.functions,
      replies: this.replies,
      putWaitMs: options.putWaitMs ?? 0,
      ...(options.maxWaiting !== undefined && { maxWaiting: options.maxWaiting }),
      ...(options.sliceWork !== undefined && { sliceWork: options.sliceWork }),
      ...(options.changes !== undefined && { changes: options.changes }),
      onFault: (name, error) => this.faults.push({ name, error }),
    });
  }

  /** Hands one request in, in the middle of a buffer that is overwritten afterwards. */
  send(
    functionId: number,
    body: Uint8Array,
    connection = 1,
    attachment: Uint8Array = new Uint8Array(0),
  ): number {
    const seq = ++this.#seq;
    const buffer = new Uint8Array(body.length + attachment.length + 64).fill(0xaa);
    buffer.set(body, 32);
    const end = 32 + body.length;
    const frameEnd = end + attachment.length;
    buffer.set(attachment, end);
    this.dispatcher.request(connection, seq, functionId, buffer, 32, end, frameEnd, this.nowMs);
    buffer.fill(0xbb);
    return seq;
  }

  /** Tries what waits, `ms` later. */
  retry(ms = 0): boolean {
    this.nowMs += ms;
    return this.dispatcher.retryWaiting(this.nowMs, (connection) => !this.gone.has(connection));
  }

  /** Gives the scans a turn, `ms` later. */
  scan(ms = 0): void {
    this.nowMs += ms;
    this.dispatcher.runScans(this.nowMs, (connection) => !this.gone.has(connection));
  }

  /** The answers since the last time. */
  take(): Answer[] {
    const answers = readAnswers(this.replies.bytes);
    this.replies.clear();
    return answers;
  }

  /** The one answer since the last time. */
  takeOne(): Answer {
    const answers = this.take();
    assert.equal(answers.length, 1, "exactly one answer");
    return answers[0];
  }

  /** A whole call whose answer comes at once, or when the scans have had their turns. */
  ask<Q, R>(
    rpc: Rpc<Q, R>,
    request: Q,
    { width = 1, literal = true }: { width?: SizeWidth; literal?: boolean } = {},
  ): R {
    const body = rpc.request === null
      ? new Uint8Array(0)
      : encodeBody(rpc.request, request, { width, literal });
    const seq = this.send(rpc.functionId, body);
    while (this.dispatcher.scanning > 0) this.scan();
    const answer = this.takeOne();
    assert.equal(answer.seq, seq);
    return decodeAnswer(rpc, answer);
  }
}

/** The value of an answer; fails when it is an error of the transport. */
export function decodeAnswer<Q, R>(rpc: Rpc<Q, R>, { errorCode, body }: Answer): R {
  assert.equal(errorCode, 0, `${rpc.name} was refused: ${errorText(body, errorCode)}`);
  return rpc.response.decode(new Reader(body));
}

/** The text of an error of the transport. */
export function errorText(body: Uint8Array, errorCode: number): string {
  try {
    return readTransportError(new Reader(body), errorCode).message;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return `an unreadable error: ${error.message}`;
  }
}
