import type { FactSink } from "../core/api.ts";
import { FACT_HEADER_BYTES, GROUP_HEADER_BYTES } from "./group_format.ts";

/** Facts that fill a group; a batch with more is written as several. */
const FULL_BYTES = 1 << 20;

/** Collects the facts of a batch as one group, with room for its header in front. */
export class FactBuffer implements FactSink {
  readonly #onFull: () => void;
  readonly #fullBytes: number;
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = GROUP_HEADER_BYTES;
  /** Facts since the buffer was made. */
  told = 0;

  /** `onFull` is called between two facts when there are `fullBytes`; it may take them. */
  constructor(onFull: () => void = () => {}, fullBytes = FULL_BYTES) {
    this.#onFull = onFull;
    this.#fullBytes = fullBytes;
  }

  get isEmpty(): boolean {
    return this.#length === GROUP_HEADER_BYTES;
  }

  /** The group; valid until the next fact. */
  get group(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#room(FACT_HEADER_BYTES + length);
    this.#view.setUint32(this.#length, length, true);
    let at = this.#length + FACT_HEADER_BYTES;
    this.#length = at + length;
    if (length > 256) this.#bytes.set(bytes.subarray(start, end), at);
    else for (let i = start; i < end; i++) this.#bytes[at++] = bytes[i];
    this.told++;
    if (this.#length > this.#fullBytes) this.#onFull();
  }

  /** Forgets the facts collected so far. */
  clear(): void {
    this.#length = GROUP_HEADER_BYTES;
    if (this.#bytes.length > 4 * FULL_BYTES) {
      this.#bytes = new Uint8Array(FULL_BYTES);
      this.#view = new DataView(this.#bytes.buffer);
    }
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
