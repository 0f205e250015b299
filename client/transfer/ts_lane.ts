import { connect, type Socket } from "node:net";
import {
  readTransferStatus,
  TRANSFER_REQUEST_BYTES,
  TRANSFER_STATUS_BYTES,
  TransferStatus,
  writeTransferRequest,
} from "../../proto/transfer_tcp.ts";
import { Opcode, type PeerAddress, TransferCode } from "./engine.ts";
import type { TsRegion } from "./ts_regions.ts";

/** An operation on its way through a lane. */
export interface TsRequest {
  readonly opcode: Opcode;
  readonly remoteAddress: bigint;
  readonly length: number;
  readonly localOffset: number;
  readonly local: TsRegion | Uint8Array;
  /** Milliseconds of the engine's clock; not above it = it is ended. */
  deadline: number;
  /** Called once. */
  readonly finish: (code: TransferCode) => void;
  /** The completion was handed out: what still arrives is thrown away. */
  abandoned: boolean;
}

interface Sent {
  request: TsRequest;
  /** The system has taken every byte of the request. */
  flushed: boolean;
}

export interface TsLaneOptions {
  address: PeerAddress;
  now: () => number;
  connectTimeoutMs: number;
  /** Takes requests that a refusal of another one left undone. */
  resubmit: (request: TsRequest) => void;
}

const PROOF_BYTES = 1;
const RESOLVER_ERRORS = new Set(["ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NONAME", "EAI_NODATA"]);

function bytesOf(local: TsRegion | Uint8Array): Uint8Array {
  return local instanceof Uint8Array ? local : local.bytes;
}

/**
 * A READ of the first byte of an unacknowledged WRITE, to be sent behind it: the peer closes when it
 * refuses a WRITE and says nothing when it does not, so only this answer tells.
 */
function proofOf(address: bigint): Uint8Array {
  const header = new Uint8Array(TRANSFER_REQUEST_BYTES);
  const proof = { opcode: Opcode.READ, version: 1, address, size: PROOF_BYTES } as const;
  writeTransferRequest(new DataView(header.buffer), 0, proof);
  return header;
}

function failedConnect(error: Error | null): TransferCode {
  const { code } = (error ?? {}) as { code?: unknown };
  return RESOLVER_ERRORS.has(String(code)) ? TransferCode.DNS : TransferCode.ENDPOINT;
}

/** One connection to a peer. Requests leave and are answered in the order of the queue. */
export class TsLane {
  readonly #options: TsLaneOptions;
  readonly #statusBytes: number;
  #socket: Socket | null = null;
  #connected = false;
  #connectDeadline = 0;
  #queue: Sent[] = [];
  /** Bytes of the first request's answer. */
  #received = 0;
  readonly #status = new Uint8Array(TRANSFER_STATUS_BYTES);
  readonly #statusView = new DataView(this.#status.buffer);
  queuedBytes = 0;

  constructor(options: TsLaneOptions) {
    this.#options = options;
    this.#statusBytes = options.address.protocolVersion === 2 ? TRANSFER_STATUS_BYTES : 0;
  }

  /** Between the two, what is pushed leaves together. */
  cork(): void {
    this.#socket?.cork();
  }

  uncork(): void {
    this.#socket?.uncork();
  }

  push(request: TsRequest): void {
    const socket = this.#socket ??= this.#open();
    const sent: Sent = { request, flushed: false };
    this.#queue.push(sent);
    this.queuedBytes += request.length + TRANSFER_REQUEST_BYTES;
    const header = new Uint8Array(TRANSFER_REQUEST_BYTES);
    writeTransferRequest(new DataView(header.buffer), 0, {
      opcode: request.opcode,
      version: this.#options.address.protocolVersion,
      address: request.remoteAddress,
      size: request.length,
    });
    if (request.opcode === Opcode.READ) {
      sent.flushed = true;
      socket.write(header);
      return;
    }
    const { local, localOffset, length } = request;
    const body = bytesOf(local).subarray(localOffset, localOffset + length);
    if (!(local instanceof Uint8Array)) local.retain();
    socket.cork();
    socket.write(header);
    socket.write(body, () => {
      if (!(local instanceof Uint8Array)) local.release();
      sent.flushed = true;
    });
    if (this.#statusBytes === 0) socket.write(proofOf(request.remoteAddress));
    socket.uncork();
  }

  /** Bytes of an answer in front of the body of a READ. */
  #leadBytes({ opcode }: TsRequest): number {
    return this.#statusBytes === 0 && opcode === Opcode.WRITE ? PROOF_BYTES : this.#statusBytes;
  }

  /** Closes the connection and fails what is queued. */
  fail(code: TransferCode): void {
    const queue = this.#detach();
    for (const { request } of queue) if (!request.abandoned) request.finish(code);
  }

  /** Ends what is overdue and returns the earliest deadline that remains. */
  expire(now: number): number {
    if (this.#socket === null) return Infinity;
    let next = Infinity;
    if (!this.#connected) {
      if (now >= this.#connectDeadline) {
        this.fail(TransferCode.ENDPOINT);
        return next;
      }
      next = this.#connectDeadline;
    }
    let wanted = 0;
    for (const { request, flushed } of this.#queue) {
      if (request.abandoned) continue;
      if (request.deadline > now) {
        wanted++;
        next = Math.min(next, request.deadline);
      } else if (flushed) {
        request.abandoned = true;
        request.finish(TransferCode.TIMEOUT);
      } else {
        this.#breakFor(now);
        return Infinity;
      }
    }
    if (wanted === 0 && this.#queue.length > 0) this.fail(TransferCode.SOCKET);
    return next;
  }

  /** The socket still reads memory of an overdue request: only closing it ends that. */
  #breakFor(now: number): void {
    for (const { request } of this.#detach()) {
      if (request.abandoned) continue;
      request.finish(request.deadline <= now ? TransferCode.TIMEOUT : TransferCode.SOCKET);
    }
  }

  #open(): Socket {
    const { address, now, connectTimeoutMs } = this.#options;
    const { host, port } = address;
    const socket = connect({ host, port, noDelay: true });
    let failure: Error | null = null;
    this.#connected = false;
    this.#connectDeadline = now() + connectTimeoutMs;
    socket.on("connect", () => {
      if (this.#socket === socket) this.#connected = true;
    });
    socket.on("data", (chunk: Uint8Array) => {
      if (this.#socket === socket) this.#receive(chunk);
    });
    socket.on("error", (error) => failure = error);
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.fail(this.#connected ? TransferCode.SOCKET : failedConnect(failure));
    });
    return socket;
  }

  #detach(): Sent[] {
    const queue = this.#queue;
    const socket = this.#socket;
    this.#queue = [];
    this.#socket = null;
    this.#received = 0;
    this.queuedBytes = 0;
    socket?.destroy();
    return queue;
  }

  #receive(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const first = this.#queue[0];
      if (first === undefined) return this.fail(TransferCode.SOCKET);
      const { request } = first;
      const lead = this.#leadBytes(request);
      if (this.#received < lead) {
        const part = chunk.subarray(at, at + lead - this.#received);
        this.#status.set(part, this.#received);
        this.#received += part.length;
        at += part.length;
        if (this.#received < lead) return;
        if (this.#statusBytes > 0 && !this.#accepted()) return;
      }
      if (request.opcode === Opcode.READ) {
        const done = this.#received - lead;
        const part = chunk.subarray(at, at + request.length - done);
        if (!request.abandoned) {
          const target = bytesOf(request.local);
          if (target.length > 0) target.set(part, request.localOffset + done);
        }
        this.#received += part.length;
        at += part.length;
        if (done + part.length < request.length) return;
      } else if (!first.flushed && !this.#allHandedOver()) {
        return this.fail(TransferCode.SOCKET);
      }
      this.#finishFirst();
    }
  }

  /** A peer may acknowledge before the system reports that it has taken the last byte. */
  #allHandedOver(): boolean {
    return this.#socket !== null && this.#socket.writableLength === 0;
  }

  /** Reads a complete status; false when it ended the connection. */
  #accepted(): boolean {
    let status: number;
    try {
      status = readTransferStatus(this.#statusView, 0);
    } catch {
      this.fail(TransferCode.SOCKET);
      return false;
    }
    if (status === TransferStatus.OK) return true;
    if (status !== TransferStatus.ADDRESS_REFUSED) this.fail(TransferCode.SOCKET);
    else this.#refuseFirst();
    return false;
  }

  /**
   * The peer answers nothing after a refusal and closes, so what was queued behind it has not been
   * carried out and starts afresh on a new connection.
   */
  #refuseFirst(): void {
    const [first, ...others] = this.#detach();
    if (!first.request.abandoned) first.request.finish(TransferCode.ADDRESS_NOT_REGISTERED);
    for (const { request } of others) if (!request.abandoned) this.#options.resubmit(request);
  }

  #finishFirst(): void {
    const { request } = this.#queue.shift()!;
    this.queuedBytes -= request.length + TRANSFER_REQUEST_BYTES;
    this.#received = 0;
    if (!request.abandoned) request.finish(TransferCode.OK);
  }
}
