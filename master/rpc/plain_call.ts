import type { Rpc } from "../../proto/messages.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import { type Call, type Handler, Outcome } from "./call.ts";

/** A call and the handler that serves it. */
export interface HandlerEntry {
  readonly name: string;
  readonly functionId: number;
  readonly handler: Handler;
}

/** Pairs a call with a handler that reads and writes by hand. */
export function handWritten<Q, R>({ name, functionId }: Rpc<Q, R>, handler: Handler): HandlerEntry {
  return { name, functionId, handler };
}

/**
 * Pairs a call with a function from its decoded request to its response, for calls that are not made
 * once per block. `attached` is the number that the caller attached to the frame, 0 = none. `outcome` says how many things the call was about and how many of them failed;
 * without it the call is about one thing that fails when its answer is an error.
 */
export function plainCall<Q, R>(
  rpc: Rpc<Q, R>,
  serve: (request: Q, nowMs: number, attached: number) => R,
  outcome: (response: R) => readonly [items: number, failed: number] = singleOutcome,
): HandlerEntry {
  const { request: codec, response } = rpc;
  return handWritten(rpc, (call: Call) => {
    let request = null as Q;
    if (codec === null) call.reader.expectEnd();
    else request = codec.decode(call.reader);
    const answer = serve(request, call.nowMs, call.writeId);
    response.encode(call.replies.writer, answer, { literal: false });
    [call.items, call.failedItems] = outcome(answer);
    return Outcome.DONE;
  });
}

function singleOutcome(response: unknown): readonly [number, number] {
  const failed = typeof response === "object" && response !== null && "code" in response &&
    response.code !== 0;
  return [1, failed ? 1 : 0];
}

/** Counts the items of a batch's answer. */
export function batchOutcome(response: readonly Expected<unknown>[]): readonly [number, number] {
  return [response.length, response.filter(({ code }) => code !== 0).length];
}

/** `expected<void>` from a code. */
export function done(code: number): Expected<null> {
  return { code, value: null };
}

/** A successful `expected<T>`. */
export function ok<T>(value: T): Expected<T> {
  return { code: 0, value };
}
