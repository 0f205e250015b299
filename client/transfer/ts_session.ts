import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { firstBytes } from "../../proto/first_bytes.ts";
import {
  TRANSFER_REQUEST_BYTES,
  TRANSFER_STATUS_BYTES,
  TransferRequest,
  TransferStatus,
  writeTransferStatus,
} from "../../proto/transfer_tcp.ts";
import { Opcode } from "./engine.ts";
import type { Place, TsRegions } from "./ts_regions.ts";

/** Bytes handed to the socket at a time; the region is checked again before each part. */
const PART_BYTES = 256 << 10;

/** What sessions count together. */
export interface SessionCounters {
  servedReads: number;
  servedWrites: number;
  servedReadBytes: number;
  servedWriteBytes: number;
  refused: number;
  readsFenced: number;
}

function statusFrame(status: TransferStatus): Uint8Array {
  const bytes = new Uint8Array(TRANSFER_STATUS_BYTES);
  writeTransferStatus(new DataView(bytes.buffer), 0, status);
  return bytes;
}

const OK_FRAME = statusFrame(TransferStatus.OK);
const REFUSED_FRAME = statusFrame(TransferStatus.ADDRESS_REFUSED);

/** A range of a region that is being sent or received. */
interface Cursor extends Place {
  acknowledged: boolean;
}

/** An accepted connection: serves requests strictly in order. */
export class TsSession {
  readonly #socket: Socket;
  readonly #regions: TsRegions;
  readonly #counters: SessionCounters;
  readonly #now: () => number;

  readonly #chunks: Uint8Array[] = [];
  readonly #header = new Uint8Array(TRANSFER_REQUEST_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #request = new TransferRequest();
  #headerFilled = 0;
  #body: Cursor | null = null;
  #answer: Cursor | null = null;
  #blocked = false;
  #ended = false;
  /** Absent once it is known that the connection carries requests, or where that is certain. */
  #onHandshake: ((first: Uint8Array) => void) | null = null;
  #first: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  readonly #listeners: Record<string, (chunk: Uint8Array) => void> = {
    data: (chunk) => this.#onData(chunk),
    drain: () => this.#onDrain(),
    end: () => this.#onEnd(),
    error: () => this.#socket.destroy(),
  };
  /** Whether a byte has ever come. */
  heard = false;
  /** A refusal was sent; what still comes is thrown away. */
  lingering = false;
  /** When bytes last moved, milliseconds of `now`. */
  active: number;

  constructor(
    socket: Socket,
    regions: TsRegions,
    counters: SessionCounters,
    now: () => number,
  ) {
    this.#socket = socket;
    this.#regions = regions;
    this.#counters = counters;
    this.#now = now;
    this.active = now();
    for (const [event, listener] of Object.entries(this.#listeners)) socket.on(event, listener);
  }

  /** Gets the connection, with what came on it, when that is a handshake. */
  set onHandshake(take: (first: Uint8Array) => void) {
    this.#onHandshake = take;
  }

  /** Whether the peer is in the middle of something, so that its silence is a stall. */
  get owes(): boolean {
    return this.#headerFilled > 0 || this.#first.length > 0 || this.#body !== null ||
      this.#answer !== null ||
      this.#blocked || this.lingering;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Uint8Array): void {
    if (this.lingering) return;
    this.heard = true;
    this.active = this.#now();
    const known = this.#onHandshake === null ? chunk : this.#judge(this.#onHandshake, chunk);
    if (known === null) return;
    this.#chunks.push(known);
    this.#serve();
  }

  /** What has come, once it is known to begin a request; `null` before, and for a handshake. */
  #judge(take: (first: Uint8Array) => void, chunk: Uint8Array): Uint8Array | null {
    const bytes = this.#first.length === 0 ? chunk : Buffer.concat([this.#first, chunk]);
    const what = firstBytes(bytes, bytes.length);
    this.#first = what === "unknown" ? bytes : new Uint8Array(0);
    if (what === "unknown") return null;
    this.#onHandshake = null;
    if (what === "request") return bytes;
    for (const [event, listener] of Object.entries(this.#listeners)) {
      this.#socket.off(event, listener);
    }
    take(bytes);
    return null;
  }

  #onDrain(): void {
    this.active = this.#now();
    this.#blocked = false;
    this.#serve();
  }

  #onEnd(): void {
    this.#ended = true;
    if (this.lingering) this.#socket.destroy();
    else this.#serve();
  }

  #serve(): void {
    const socket = this.#socket;
    socket.cork();
    while (!this.#blocked && !this.lingering && !socket.destroyed) {
      if (this.#answer !== null) this.#send(this.#answer);
      else if (this.#chunks.length > 0) this.#consume();
      else break;
    }
    socket.uncork();
    if (socket.destroyed) return;
    const waiting = this.#answer !== null || this.#chunks.length > 0;
    if (waiting) socket.pause();
    else if (socket.isPaused()) socket.resume();
    if (this.#ended && !waiting && !this.#blocked) socket.end(() => socket.destroy());
  }

  /** Uses up the first chunk, or the part of it that comes before an answer. */
  #consume(): void {
    const chunk = this.#chunks[0];
    const used = this.#body === null ? this.#fillHeader(chunk) : this.#store(this.#body, chunk);
    if (used === chunk.length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(used);
  }

  #fillHeader(chunk: Uint8Array): number {
    const part = chunk.subarray(0, TRANSFER_REQUEST_BYTES - this.#headerFilled);
    this.#header.set(part, this.#headerFilled);
    this.#headerFilled += part.length;
    if (this.#headerFilled === TRANSFER_REQUEST_BYTES) {
      this.#headerFilled = 0;
      this.#begin();
    }
    return part.length;
  }

  #begin(): void {
    const request = this.#request;
    try {
      request.read(this.#headerView, 0);
    } catch {
      return this.#refuse((this.#header[16] & 0x80) !== 0);
    }
    const place = this.#regions.find(request);
    const acknowledged = request.version === 2;
    if (place === null) {
      if (request.opcode === Opcode.READ) this.#counters.readsFenced++;
      return this.#refuse(acknowledged);
    }
    const cursor = { ...place, acknowledged };
    if (request.opcode === Opcode.WRITE) {
      this.#body = cursor;
      return;
    }
    this.#counters.servedReads++;
    if (acknowledged) this.#socket.write(OK_FRAME);
    this.#answer = cursor;
  }

  #store(body: Cursor, chunk: Uint8Array): number {
    if (!this.#regions.allows(body)) {
      this.#refuse(body.acknowledged);
      return chunk.length;
    }
    const part = chunk.length > body.left ? chunk.subarray(0, body.left) : chunk;
    body.region.bytes.set(part, body.offset);
    body.offset += part.length;
    body.left -= part.length;
    this.#counters.servedWriteBytes += part.length;
    if (body.left === 0) {
      this.#body = null;
      this.#counters.servedWrites++;
      if (body.acknowledged) this.#blocked = !this.#socket.write(OK_FRAME);
    }
    return part.length;
  }

  #send(answer: Cursor): void {
    const { region } = answer;
    // A status has promised bytes that are gone: only closing tells the peer.
    if (!this.#regions.allows(answer)) return this.destroy();
    const length = Math.min(answer.left, PART_BYTES);
    const part = region.bytes.subarray(answer.offset, answer.offset + length);
    answer.offset += length;
    answer.left -= length;
    if (answer.left === 0) this.#answer = null;
    this.#counters.servedReadBytes += length;
    region.retain();
    this.#blocked = !this.#socket.write(part, () => region.release());
  }

  /** Version 1 has no word for a refusal: the connection just ends. */
  #refuse(acknowledged: boolean): void {
    this.#counters.refused++;
    this.#chunks.length = 0;
    this.#body = null;
    if (!acknowledged) {
      this.#socket.end(() => this.#socket.destroy());
      this.lingering = true;
      return;
    }
    this.lingering = true;
    this.#socket.end(REFUSED_FRAME);
    this.#socket.resume();
  }
}
