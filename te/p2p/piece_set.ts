import type { RegisteredMemory } from "../memory.ts";
import type { TransferEngine } from "../transfer_engine.ts";

/** Pieces, one bit for each; bit 0 of a byte comes first. */
export class PieceBits {
  readonly bytes: Uint8Array;
  readonly #start: number;

  /** Over the bytes from `start` on. */
  constructor(bytes: Uint8Array, start = 0) {
    this.bytes = bytes;
    this.#start = start;
  }

  has(index: number): boolean {
    return (this.bytes[this.#start + (index >> 3)] & 1 << (index & 7)) !== 0;
  }

  add(index: number): void {
    this.bytes[this.#start + (index >> 3)] |= 1 << (index & 7);
  }

  delete(index: number): void {
    this.bytes[this.#start + (index >> 3)] &= ~(1 << (index & 7));
  }
}

/** Bytes of the bits of so many pieces. */
function bitBytes(count: number): number {
  return Math.ceil(count / 8);
}

/** Bytes that a holder shows of so many pieces: those it has, then those it is fetching. */
export function shownBytes(count: number): number {
  return Math.max(1, 2 * bitBytes(count));
}

/** What a holder shows, as others read it. */
export class ShownPieces {
  readonly bytes: Uint8Array;
  /** Pieces that it serves. */
  readonly have: PieceBits;
  /** Pieces that it is fetching. */
  readonly taking: PieceBits;

  constructor(readonly count: number, bytes: Uint8Array = new Uint8Array(shownBytes(count))) {
    this.bytes = bytes;
    this.have = new PieceBits(bytes);
    this.taking = new PieceBits(bytes, bitBytes(count));
  }

  /** How many pieces it has. */
  countHave(): number {
    let sum = 0;
    for (let index = 0; index < this.count; index++) if (this.have.has(index)) sum++;
    return sum;
  }
}

/** The same of this process, in memory that peers read. */
export class OwnPieces extends ShownPieces implements AsyncDisposable {
  readonly #engine: TransferEngine;
  readonly #memory: RegisteredMemory;

  private constructor(engine: TransferEngine, count: number, memory: RegisteredMemory) {
    super(count, memory.bytes);
    this.#engine = engine;
    this.#memory = memory;
  }

  /** None of `count`. Errors as `TransferEngine.registerMemory`. */
  static async open(engine: TransferEngine, count: number): Promise<OwnPieces> {
    return new OwnPieces(engine, count, await engine.registerMemory(shownBytes(count)));
  }

  /** Where peers read it. */
  get address(): bigint {
    return this.#memory.address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine.unregisterMemory(this.#memory).catch(() => {});
  }
}
