import type { FactSink } from "./api.ts";
import type { CoreState } from "./state.ts";

/** Added to the length of a name that an object without a key has in its place; see `reservations.ts`. */
export const RESERVED_NAME = 2 ** 31;

/** The fields of facts, little endian; see `FactWriter` for what they mean. */
export abstract class FactEncoder {
  readonly #sink: FactSink;
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  constructor(sink: FactSink, readonly state: CoreState) {
    this.#sink = sink;
  }

  protected begin(kind: number): void {
    this.#length = 0;
    this.u8(kind);
  }

  protected end(): void {
    this.#sink.append(this.#bytes, 0, this.#length);
  }

  /** Segment with window, extent and id of a memory replica. */
  protected extent(replica: number): void {
    const { replicas, extents } = this.state;
    this.f64(replicas.id(replica));
    this.u32(extents.home(replicas.place(replica)));
    this.u32(extents.offset(replicas.place(replica)));
    this.u32(extents.units(replicas.place(replica)));
  }

  protected object(slot: number): void {
    const { objects } = this.state;
    const length = objects.keyLength(slot);
    this.#room(8 + length);
    this.#view.setUint16(this.#length, objects.tenant(slot), true);
    const named = objects.isReserved(slot) ? length + RESERVED_NAME : length;
    this.#view.setUint32(this.#length + 2, named, true);
    this.#length += 6;
    this.#copy(objects.keyPage(slot), objects.keyOffset(slot), length);
  }

  /** Where the next field begins. */
  protected get position(): number {
    return this.#length;
  }

  /** Sets bits of a byte that has been written. */
  protected orAt(position: number, bits: number): void {
    this.#bytes[position] |= bits;
  }

  /** Counts a byte that has been written up by one. */
  protected countAt(position: number): void {
    this.#bytes[position]++;
  }

  protected u16(value: number): void {
    this.#room(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  protected u64(value: bigint): void {
    this.#room(8);
    this.#view.setBigUint64(this.#length, value, true);
    this.#length += 8;
  }

  protected u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  protected u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  protected f64(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** A time in the core's clock; 0 means "none" and stays 0. */
  protected time(timeMs: number): void {
    this.f64(timeMs === 0 ? 0 : timeMs + this.state.config.epochOffsetMs);
  }

  protected text(text: string): void {
    this.blob(new TextEncoder().encode(text));
  }

  protected blob(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    this.u32(end - start);
    this.#room(end - start);
    this.#copy(bytes, start, end - start);
  }

  #copy(from: Uint8Array, at: number, length: number): void {
    if (length > 128) {
      this.#bytes.set(from.subarray(at, at + length), this.#length);
    } else {
      for (let i = 0; i < length; i++) this.#bytes[this.#length + i] = from[at + i];
    }
    this.#length += length;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
