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
  /** Listens to it until then. */
  cancel: (() => void) | undefined;
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
