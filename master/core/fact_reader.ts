import { ProtocolError } from "../../proto/error.ts";
import { RESERVED_NAME } from "./fact_encoder.ts";
import { RESERVATION_NAME_BYTES } from "./reservations.ts";

const decoder = new TextDecoder();

/** Reads the fields that a `FactWriter` wrote. Every read that goes past the end throws. */
export class FactReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #end: number;
  readonly #epochOffsetMs: number;
  #position: number;
  /** Whether the last {@linkcode FactReader.key} is the name of a reservation, and no key. */
  isReserved = false;

  /** `epochOffsetMs` is that of the core that reads. */
  constructor(bytes: Uint8Array, start: number, end: number, epochOffsetMs: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#position = start;
    this.#end = end;
    this.#epochOffsetMs = epochOffsetMs;
  }

  /** Goes on with other facts in the same bytes. */
  moveTo(start: number, end: number): void {
    this.#position = start;
    this.#end = end;
  }

  get more(): boolean {
    return this.#position < this.#end;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** A time in the reading core's clock; 0 = none, so the very beginning of that clock is not 0. */
  time(): number {
    const epochMs = this.f64();
    return epochMs === 0 ? 0 : epochMs - this.#epochOffsetMs || Number.MIN_VALUE;
  }

  /** Bytes with their length; a view that lasts as long as the input. */
  blob(): Uint8Array {
    const length = this.u32();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** The key of an object, or the name of one that has none. */
  key(): Uint8Array {
    let length = this.u32();
    this.isReserved = length >= RESERVED_NAME;
    if (this.isReserved) length -= RESERVED_NAME;
    const start = this.#take(length);
    if (this.isReserved && length !== RESERVATION_NAME_BYTES) {
      throw this.malformed(`a reservation has a name of ${length} bytes`);
    }
    return this.#bytes.subarray(start, start + length);
  }

  text(): string {
    return decoder.decode(this.blob());
  }

  /** An error that says where in the facts something is wrong. */
  malformed(what: string): ProtocolError {
    return new ProtocolError(`Malformed fact before byte ${this.#position}: ${what}`);
  }

  #take(bytes: number): number {
    const start = this.#position;
    if (start + bytes > this.#end) throw this.malformed(`${bytes} bytes are missing`);
    this.#position = start + bytes;
    return start;
  }
}
