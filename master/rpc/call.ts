import { Reader } from "../../proto/struct_pack/reader.ts";
import type { Work } from "../core/pattern/matcher.ts";
import type { Replies } from "./replies.ts";

/**
 * One request being served: its arguments in `reader`, its answer in `replies`.
 *
 * The same object serves every request; handlers keep nothing of it.
 */
export class Call {
  readonly reader = new Reader();
  /** Milliseconds on the master's monotonic clock. */
  nowMs = 0;
  /** Until when this request may wait for space; `nowMs` = not at all. */
  waitUntilMs = 0;
  /** The number that came with the request, 0 = none; see `write_id.ts`. */
  writeId = 0;
  /** Whether this request may still wait for readers that hold what it is about. */
  mayAwaitReaders = false;
  /** Whether the request has been let in before and has waited for space since. */
  hasWaited = false;
  /** Index of the first item that is still to be served; above 0 only after a wait. */
  resumeAt = 0;
  /** Keys (or other items) served so far, and how many of them were answered with an error. */
  items = 0;
  failedItems = 0;

  /** Whether a scan may begin; otherwise it is to be refused with TASK_PENDING_LIMIT_EXCEEDED. */
  mayScan = false;
  /** What {@linkcode Outcome.SCAN} goes on with. */
  scan: Handler | null = null;
  /** What a slice of a scan may still do. */
  readonly work: Work = { left: 0 };

  constructor(readonly replies: Replies) {}
}

/** Thrown by a handler whose answer exceeds a limit. */
export class AnswerTooLarge extends Error {
  override readonly name = "AnswerTooLarge";

  constructor(maxBytes: number) {
    super(`the answer is larger than ${maxBytes} bytes`);
  }
}

/** What became of a request. */
export const Outcome = {
  /** The reply is complete. */
  DONE: 0,
  /**
   * There is no room yet. What was written so far is kept, and the handler is called again with
   * `resumeAt` set to the item it stopped at.
   */
  WAIT: 1,
  /** As WAIT, for readers that hold the object of the item: that is over soon by itself. */
  HELD: 3,
  /**
   * The rest is done in slices between other requests: what was written is dropped, and `scan` is
   * called again and again, with `work` to do, until it answers DONE.
   */
  SCAN: 2,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/**
 * Serves one function of the master. Throws `ProtocolError` when the arguments are malformed, and
 * {@linkcode AnswerTooLarge}.
 */
export type Handler = (call: Call) => Outcome;

/** Counts what one function has served. */
export interface Meter {
  /** `items` is 1 for a call about a single thing. */
  served(items: number, failedItems: number): void;
}

/** A function of the master: its id, how it is served, who counts it. */
export interface ServedFunction {
  functionId: number;
  name: string;
  handler: Handler;
  meter: Meter | null;
}
