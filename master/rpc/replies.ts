import { Writer } from "../../proto/struct_pack/writer.ts";

/** Connection id and frame length, in front of each response frame. */
const RECORD_BYTES = 8;
const HEADER_BYTES = 16;

/** Frames that were taken out, which of them tell of a change, and which of objects. */
export interface PackedReplies {
  readonly bytes: Uint8Array;
  readonly changes: readonly number[];
  readonly reads: readonly number[];
}

/**
 * Response frames of one batch, packed the way `mc_rpc_poll` takes them: connection u32, length
 * u32, then a coro_rpc response frame (16-byte header, body and attachment).
 */
export class Replies {
  readonly writer = new Writer(64 * 1024);
  readonly #changes: number[] = [];
  readonly #reads: number[] = [];
  #start = 0;
  /** Bytes at the end of the frame being written that are its attachment. */
  attachmentLength = 0;

  /** Everything packed so far; valid until the next reply is begun. */
  get bytes(): Uint8Array {
    return this.writer.bytes;
  }

  get length(): number {
    return this.writer.length;
  }

  /** Starts a frame; its body is what is written to `writer` until {@linkcode Replies.end}. */
  begin(connection: number, seq: number): void {
    const writer = this.writer;
    this.#start = writer.length;
    this.attachmentLength = 0;
    writer.u32(connection);
    writer.u32(0);
    writer.u32(0x15);
    writer.u32(seq);
    writer.u32(0);
    writer.u32(0);
  }

  /** Where the body of the frame being written starts. */
  get bodyStart(): number {
    return this.#start + RECORD_BYTES + HEADER_BYTES;
  }

  /** Completes the frame. `errorCode` is the transport error, 0 = the body is a result. */
  end(errorCode = 0): void {
    const { writer } = this;
    const start = this.#start;
    const frame = writer.length - start - RECORD_BYTES;
    writer.patchU32(start + 4, frame);
    if (errorCode !== 0) writer.patchU32(start + 8, 0x15 | errorCode << 16);
    writer.patchU32(start + 16, frame - HEADER_BYTES - this.attachmentLength);
    if (this.attachmentLength > 0) writer.patchU32(start + 20, this.attachmentLength);
  }

  /** Drops the body written so far, keeping the frame open. */
  restartBody(): void {
    this.attachmentLength = 0;
    this.writer.truncate(this.bodyStart);
  }

  /** Drops the frame. */
  abandon(): void {
    this.writer.truncate(this.#start);
  }

  /** Notes that the frame completed last tells of a change that must be kept before it leaves. */
  markChange(): void {
    this.#changes.push(this.#start);
  }

  /** Notes that the frame completed last shows objects. */
  markRead(): void {
    this.#reads.push(this.#start);
  }

  /** Has the frames that show objects count as changes: they may show what was not kept. */
  doubtReads(): void {
    this.#changes.push(...this.#reads);
    this.#reads.length = 0;
  }

  /**
   * Writes the noted frames again: `write` fills the body of each, whose transport error is `code`.
   * The others stay as they are.
   */
  replaceChanges(code: number, write: (writer: Writer) => void): void {
    if (this.#changes.length === 0) return;
    const changes = new Set(this.#changes);
    const packed = this.writer.bytes.slice();
    const view = new DataView(packed.buffer);
    this.clear();
    for (let at = 0; at < packed.length;) {
      const end = at + RECORD_BYTES + view.getUint32(at + 4, true);
      if (changes.has(at)) {
        this.begin(view.getUint32(at, true), view.getUint32(at + 12, true));
        write(this.writer);
        this.end(code);
      } else {
        this.writer.raw(packed.subarray(at, end));
      }
      at = end;
    }
  }

  /** Takes every frame out, to be put back later. */
  take(): PackedReplies {
    const bytes = this.writer.bytes.slice();
    const packed = { bytes, changes: this.#changes.slice(), reads: this.#reads.slice() };
    this.clear();
    return packed;
  }

  /** Adds frames that were taken out. */
  put({ bytes, changes, reads }: PackedReplies): void {
    const start = this.writer.length;
    for (const at of changes) this.#changes.push(start + at);
    for (const at of reads) this.#reads.push(start + at);
    this.writer.raw(bytes);
  }

  clear(): void {
    this.#changes.length = 0;
    this.#reads.length = 0;
    this.writer.reset();
  }
}
