import { checkBorrowed, checkOperation } from "../client/transfer/checks.ts";
import { type EndpointOperation, UNKNOWN_PEER } from "../client/transfer/endpoint.ts";
import { Opcode } from "../client/transfer/engine.ts";
import { errorText } from "../client/transfer/error_text.ts";
import { EngineCode, EngineError } from "./engine_code.ts";
import type { MemoryTable, RegisteredMemory } from "./memory.ts";
import type { Segment } from "./segment.ts";

/** One contiguous move between memory here and memory of a peer. */
export interface TransferRequest {
  /** Seen from here: `read` brings bytes, `write` takes them there. */
  opcode: "read" | "write";
  /** Whose memory. */
  segment: Segment;
  /** Address in the segment, inside one of its buffers. */
  remoteAddress: bigint;
  /** Registered memory, or any array, which must not be touched or detached until completion. */
  local: RegisteredMemory | Uint8Array;
  /** Bytes from the start of `local`; default 0. */
  localOffset?: number;
  /** Bytes; default all of `local` from the offset on. */
  length?: number;
}

/** How far one request of a batch is. */
export interface TransferStatus {
  /** `waiting` is not over yet. */
  readonly state: "waiting" | "completed" | "failed" | "timeout" | "cancelled";
  /** `OK` while it waits. */
  readonly code: EngineCode;
  /** The request's length once it is completed, else 0. */
  readonly transferredBytes: number;
}

/** Checks requests. `INVALID_ARGUMENT` or `ADDRESS_NOT_REGISTERED` for the first that is wrong. */
export function operationsOf(
  requests: readonly TransferRequest[],
  memory: MemoryTable,
  open: ReadonlySet<Segment>,
): EndpointOperation[] {
  const operations: EndpointOperation[] = [];
  for (let i = 0; i < requests.length; i++) {
    const { opcode, segment, remoteAddress, local, localOffset = 0, length } = requests[i];
    if (opcode !== "read" && opcode !== "write") {
      invalid(`Request ${i}: opcode ${JSON.stringify(opcode)}; allowed: read, write`);
    }
    if (!open.has(segment)) invalid(`Request ${i}: its segment is not open in this engine`);
    const operation: EndpointOperation = {
      endpoint: segment.name,
      peer: UNKNOWN_PEER,
      opcode: opcode === "read" ? Opcode.READ : Opcode.WRITE,
      remoteAddress,
      local: local instanceof Uint8Array ? local : memory.regionOf(local),
      localOffset,
      length: length ?? local.length - localOffset,
    };
    try {
      if (local instanceof Uint8Array) checkBorrowed(local);
      checkOperation(operation);
    } catch (error) {
      invalid(`Request ${i}: ${errorText(error)}`);
    }
    operations.push(operation);
  }
  return operations;
}

function invalid(message: string): never {
  throw new EngineError(EngineCode.INVALID_ARGUMENT, message);
}

const ENDS: ReadonlyMap<EngineCode, TransferStatus["state"]> = new Map([
  [EngineCode.TIMEOUT, "timeout"],
  [EngineCode.CANCELLED, "cancelled"],
]);
const WAITING: TransferStatus = { state: "waiting", code: EngineCode.OK, transferredBytes: 0 };

/** Requests that were submitted together. Each is over at its own time. */
export class TransferBatch {
  readonly #statuses: TransferStatus[];
  readonly #codes: EngineCode[];
  readonly #done: Promise<EngineCode[]>;
  #pending: number;

  /** `run` moves the bytes of one operation and calls `done` with its code, once. */
  constructor(
    operations: readonly EndpointOperation[],
    run: (operation: EndpointOperation, done: (code: EngineCode) => void) => void,
  ) {
    this.#statuses = operations.map(() => WAITING);
    this.#codes = operations.map(() => EngineCode.OK);
    this.#pending = operations.length;
    this.#done = new Promise((resolve) => {
      if (operations.length === 0) resolve(this.#codes);
      operations.forEach((operation, i) =>
        run(operation, (code) => {
          this.#statuses[i] = statusOf(code, operation.length);
          this.#codes[i] = code;
          if (--this.#pending === 0) resolve(this.#codes);
        })
      );
    });
  }

  /** Requests that are not over yet. */
  get pending(): number {
    return this.#pending;
  }

  /** How far each request is, in order; waits for nothing. */
  poll(): readonly TransferStatus[] {
    return [...this.#statuses];
  }

  /** Resolves with the code of each request, in order, when all are over. Never rejects. */
  wait(): Promise<EngineCode[]> {
    return this.#done;
  }
}

function statusOf(code: EngineCode, length: number): TransferStatus {
  if (code === EngineCode.OK) return { state: "completed", code, transferredBytes: length };
  const state = ENDS.get(code) ?? "failed";
  return { state, code, transferredBytes: 0 };
}
