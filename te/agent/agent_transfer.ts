import { errorText } from "../../client/transfer/error_text.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import type { RegisteredMemory } from "../memory.ts";

/**
 * Where a transfer is: made and not posted, under way, over with every byte in place and the
 * notification taken, or failed.
 */
export type AgentTransferState = "ready" | "running" | "done" | "failed";

/** One contiguous move. */
export interface TransferPiece {
  readonly local: RegisteredMemory;
  /** Bytes from the start of `local`. */
  readonly localOffset: number;
  readonly remoteAddress: bigint;
  /** Of the memory that this lies in. */
  readonly remoteBase: bigint;
  /** Bytes. */
  readonly length: number;
}

/** Moves the pieces of a transfer and then notifies. Rejects with `EngineError`. */
export type RunTransfer = (
  notification: Uint8Array | null,
  signal: AbortSignal,
) => Promise<void>;

/** Joins neighbours whose bytes lie side by side at both ends. */
export function mergePieces(pieces: readonly TransferPiece[]): TransferPiece[] {
  const merged: TransferPiece[] = [];
  for (const piece of pieces) {
    const last = merged.at(-1);
    const joins = last !== undefined && last.local === piece.local &&
      last.localOffset + last.length === piece.localOffset &&
      last.remoteBase === piece.remoteBase &&
      last.remoteAddress + BigInt(last.length) === piece.remoteAddress;
    if (joins) merged[merged.length - 1] = { ...last, length: last.length + piece.length };
    else merged.push(piece);
  }
  return merged;
}

/**
 * A transfer that can be posted any number of times, one after the other.
 *
 * @example
 * ```ts ignore
 * agent.post(transfer);
 * if (await transfer.wait() === "failed") console.error(transfer.error?.message);
 * ```
 */
export class AgentTransfer {
  readonly #run: RunTransfer;
  readonly #notification: Uint8Array | null;
  #state: AgentTransferState = "ready";
  #error: EngineError | null = null;
  #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #released = false;

  /** Made by `TransferAgent`. */
  constructor(
    /** Seen from here: `read` brings bytes, `write` takes them there. */
    readonly operation: "read" | "write",
    /** The other end. */
    readonly remoteAgent: string,
    /** Bytes of all descriptors. */
    readonly length: number,
    notification: Uint8Array | null,
    run: RunTransfer,
  ) {
    this.#notification = notification;
    this.#run = run;
  }

  /** How far it is; of the last posting. */
  get state(): AgentTransferState {
    return this.#state;
  }

  /** Why it failed; `null` while it has not. */
  get error(): EngineError | null {
    return this.#error;
  }

  /** Begins it, with another notification for this time where that is given. */
  post(notification?: Uint8Array): AgentTransferState {
    if (this.#released) throw refused(`${this.#text()} is released`);
    if (this.#state === "running") {
      throw refused(`${this.#text()} is running; it can be posted again when it is over`);
    }
    this.#state = "running";
    this.#error = null;
    this.#running = this.#finish(notification ?? this.#notification);
    return this.#state;
  }

  /** Resolves with the state when it is not `running` any more. Never rejects. */
  async wait(): Promise<AgentTransferState> {
    await this.#running;
    return this.#state;
  }

  /** Gives it up; resolves when its memory is not used any more. */
  async release(): Promise<void> {
    this.#released = true;
    this.#abort.abort();
    await this.#running;
  }

  async #finish(notification: Uint8Array | null): Promise<void> {
    try {
      await this.#run(notification, this.#abort.signal);
      this.#state = "done";
    } catch (cause) {
      this.#error = cause instanceof EngineError
        ? cause
        : new EngineError(EngineCode.INVALID_ARGUMENT, errorText(cause), { cause });
      this.#state = "failed";
    }
  }

  #text(): string {
    return `The ${this.operation} with agent ${JSON.stringify(this.remoteAgent)}`;
  }
}

function refused(message: string): EngineError {
  return new EngineError(EngineCode.INVALID_ARGUMENT, message);
}
