import type { TransferCode, TransferOperation } from "./engine.ts";
import type { StopSignal } from "./stop.ts";

/** A transfer until its last operation has completed; keeps borrowed memory reachable. */
export interface Transfer {
  /** The operation, or all of them: what they borrow stays alive through this. */
  ops: TransferOperation | readonly TransferOperation[];
  /** `null` for a single operation. */
  results: Int32Array | null;
  code: TransferCode;
  left: number;
  /** Reads end when it is aborted; so `CANCELLED` is their code, not `TIMEOUT`. */
  signal: StopSignal | undefined;
  resolve: (result: never) => void;
}

/** An operation that found the shim's queue full. */
export interface Waiting {
  op: TransferOperation;
  slot: number;
  index: number;
  /** Milliseconds of `performance.now()`. */
  deadline: number;
}

/** Runs `cancel` when the signal of a transfer is aborted before the transfer has ended. */
export function endWhenAborted(
  signal: StopSignal,
  transfer: Transfer,
  cancel: () => void,
): void {
  const { resolve } = transfer;
  transfer.resolve = (result) => {
    signal.removeEventListener("abort", cancel);
    resolve(result);
  };
  signal.addEventListener("abort", cancel);
}
