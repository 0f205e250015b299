import { MAX_READ_HOLD_BYTES } from "./read_hold.ts";
import {
  readRequestHeader,
  readResponseHeader,
  REQUEST_HEADER_BYTES,
  RESPONSE_HEADER_BYTES,
} from "./header.ts";

/** Longer attachments of requests are stepped over, as if there were none. */
export const MAX_ATTACHMENT_BYTES = 64;

/** Largest body, attachment included, that is taken by default. */
export const DEFAULT_MAX_BODY_BYTES: number = 64 << 20;

const KEPT_BYTES = 64 << 10;
const EMPTY = new Uint8Array(0);

export interface SplitterOptions {
  /** Bytes of body and attachment beyond which a frame is stepped over; default 64 MiB. */
  maxBodyBytes?: number;
}

/**
 * Cuts a stream of bytes into frames. Feed a chunk, then call {@linkcode FrameSplitter.next} until
 * it returns false; after each true the fields describe one frame, until the following call.
 *
 * A frame that lies within one chunk is not copied, so `bytes` may be the chunk itself. A frame in
 * parts is gathered in a buffer that doubles as bytes arrive, never ahead of them. A frame above the
 * limit is reported once with `tooLarge` and an empty body, and its bytes are dropped as they come;
 * so are attachments of more than {@linkcode MAX_ATTACHMENT_BYTES}, in responses of more than
 * {@linkcode MAX_READ_HOLD_BYTES}. `ProtocolError` is thrown for a header that is not one; nothing can be read
 * from the stream after it.
 */
abstract class FrameSplitter {
  seq = 0;
  /** Bytes that the header announces. */
  bodyLength = 0;
  attachmentLength = 0;
  /** The frame was refused for its size; there is no body. */
  tooLarge = false;
  /** Holds the body at `[bodyStart, bodyEnd)`, the attachment at `[bodyEnd, attachmentEnd)`. */
  bytes: Uint8Array = EMPTY;
  bodyStart = 0;
  bodyEnd = 0;
  attachmentEnd = 0;

  readonly #headerBytes: number;
  readonly #maxAttachmentBytes: number;
  readonly #maxBodyBytes: number;
  #chunk: Uint8Array = EMPTY;
  #position = 0;
  #end = 0;
  #held: Uint8Array = EMPTY;
  #heldLength = 0;
  #unwanted = 0;

  constructor(headerBytes: number, maxAttachmentBytes: number, options: SplitterOptions) {
    this.#headerBytes = headerBytes;
    this.#maxAttachmentBytes = maxAttachmentBytes;
    this.#maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
  }

  protected abstract readHeader(bytes: Uint8Array, at: number): void;

  /** Whether the stream stands inside a frame. */
  get partial(): boolean {
    return this.#heldLength > 0 || this.#unwanted > 0;
  }

  /** Bytes gathered of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#heldLength;
  }

  /** Hands over `chunk[start, end)`, which must stay as it is until `next` has returned false. */
  feed(chunk: Uint8Array, start = 0, end: number = chunk.length): void {
    if (this.#position !== this.#end) {
      throw new Error("A chunk was fed before the one before it was used up");
    }
    this.#chunk = chunk;
    this.#position = start;
    this.#end = end;
  }

  /** Moves to the next whole frame; false when more bytes are needed. */
  next(): boolean {
    if (this.#unwanted > 0 && !this.#drop()) return false;
    return this.#heldLength > 0 ? this.#nextHeld() : this.#nextInChunk();
  }

  #nextInChunk(): boolean {
    const at = this.#position;
    const available = this.#end - at;
    if (available < this.#headerBytes) return this.#hold(available);
    this.readHeader(this.#chunk, at);
    if (this.#refused()) {
      this.#position = at + this.#headerBytes;
      return true;
    }
    const total = this.#headerBytes + this.bodyLength + this.#kept();
    if (available < total) return this.#hold(available);
    this.#position = at + total;
    this.#present(this.#chunk, at);
    return true;
  }

  #nextHeld(): boolean {
    const headerBytes = this.#headerBytes;
    if (this.#heldLength < headerBytes) {
      this.#hold(Math.min(headerBytes - this.#heldLength, this.#end - this.#position));
      if (this.#heldLength < headerBytes) return false;
    }
    this.readHeader(this.#held, 0);
    if (this.#refused()) {
      this.#heldLength = 0;
      return true;
    }
    const total = headerBytes + this.bodyLength + this.#kept();
    this.#hold(Math.min(total - this.#heldLength, this.#end - this.#position));
    if (this.#heldLength < total) return false;
    this.#present(this.#held, 0);
    this.#heldLength = 0;
    if (this.#held.length > KEPT_BYTES) this.#held = EMPTY;
    return true;
  }

  #present(bytes: Uint8Array, at: number): void {
    this.bytes = bytes;
    this.bodyStart = at + this.#headerBytes;
    this.bodyEnd = this.bodyStart + this.bodyLength;
    this.attachmentEnd = this.bodyEnd + this.#kept();
    this.tooLarge = false;
    this.#unwanted = this.attachmentLength - this.#kept();
  }

  /** Bytes of the attachment that are presented. */
  #kept(): number {
    return this.attachmentLength > this.#maxAttachmentBytes ? 0 : this.attachmentLength;
  }

  #refused(): boolean {
    const length = this.bodyLength + this.attachmentLength;
    if (length <= this.#maxBodyBytes) return false;
    this.bytes = EMPTY;
    this.bodyStart = 0;
    this.bodyEnd = 0;
    this.attachmentEnd = 0;
    this.tooLarge = true;
    this.#unwanted = length;
    return true;
  }

  /** True when nothing unwanted is left in front of the next frame. */
  #drop(): boolean {
    const count = Math.min(this.#unwanted, this.#end - this.#position);
    this.#position += count;
    this.#unwanted -= count;
    return this.#unwanted === 0;
  }

  #hold(count: number): false {
    if (count === 0) return false;
    const length = this.#heldLength + count;
    if (length > this.#held.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#heldLength, 256));
      grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(
      this.#chunk.subarray(this.#position, this.#position + count),
      this.#heldLength,
    );
    this.#heldLength = length;
    this.#position += count;
    return false;
  }
}

/** Cuts what a client sends. */
export class RequestSplitter extends FrameSplitter {
  functionId = 0;

  constructor(options: SplitterOptions = {}) {
    super(REQUEST_HEADER_BYTES, MAX_ATTACHMENT_BYTES, options);
  }

  protected override readHeader(bytes: Uint8Array, at: number): void {
    readRequestHeader(bytes, at, this);
  }
}

/** Cuts what a server answers. */
export class ResponseSplitter extends FrameSplitter {
  /** 0, or why there is no answer; see `readTransportError`. */
  errorCode = 0;

  constructor(options: SplitterOptions = {}) {
    super(RESPONSE_HEADER_BYTES, MAX_READ_HOLD_BYTES, options);
  }

  protected override readHeader(bytes: Uint8Array, at: number): void {
    readResponseHeader(bytes, at, this);
  }
}
