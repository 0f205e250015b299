import { LAYOUT } from "./layout.ts";

const TWO_32 = 0x1_0000_0000;
const OP_BYTES = LAYOUT["sizeof mc_op"];
const OP_WORDS = OP_BYTES / 4;
const OP_LONGS = OP_BYTES / 8;
const USER_DATA = LAYOUT["mc_op.user_data"] / 4;
const LOCAL_OFFSET = LAYOUT["mc_op.local_offset"] / 4;
const LOCAL_ADDRESS = LAYOUT["mc_op.local_offset"] / 8;
const REMOTE = LAYOUT["mc_op.remote"] / 8;
const LENGTH = LAYOUT["mc_op.length"] / 4;
const REGION = LAYOUT["mc_op.region"] / 4;
const PEER = LAYOUT["mc_op.peer"] / 4;
const OPCODE = LAYOUT["mc_op.opcode"] / 4;
const FLAGS = LAYOUT["mc_op.flags"] / 4;

/** `MC_OP_CRC32C`. */
const WITH_CRC32C = 1;

/** Region id of memory that the caller owns (`MC_REGION_BORROWED`). */
export const BORROWED = 0;

/**
 * Packed operations (`struct mc_op`) on their way to the shim, written in place and used again.
 * Numbers are bytes, ids or addresses; two 32-bit halves of `user_data` come back in the completion.
 */
export class OperationBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #longs: BigUint64Array;
  count = 0;

  constructor(readonly capacity: number) {
    const buffer = new ArrayBuffer(capacity * OP_BYTES);
    this.bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#longs = new BigUint64Array(buffer);
  }

  /**
   * Appends an operation on a region, or on borrowed memory at `localOffset` from its start; `sums`
   * asks for the CRC-32C of its bytes.
   */
  push(
    userLow: number,
    userHigh: number,
    opcode: number,
    peer: number,
    remote: bigint,
    length: number,
    region: number,
    localOffset: number,
    sums: boolean,
  ): void {
    const words = this.#words;
    const at = this.count * OP_WORDS;
    words[at + USER_DATA] = userLow;
    words[at + USER_DATA + 1] = userHigh;
    words[at + LOCAL_OFFSET] = localOffset;
    words[at + LOCAL_OFFSET + 1] = localOffset / TWO_32;
    this.#longs[this.count * OP_LONGS + REMOTE] = remote;
    words[at + LENGTH] = length;
    words[at + LENGTH + 1] = length / TWO_32;
    words[at + REGION] = region;
    words[at + PEER] = peer;
    words[at + OPCODE] = opcode;
    words[at + FLAGS] = sums ? WITH_CRC32C : 0;
    this.count++;
  }

  /** Turns the last operation's local offset into an address: it counts from `bytes`. */
  borrow(bytes: Uint8Array, offset: number): void {
    const address = Deno.UnsafePointer.value(
      Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>),
    );
    this.#longs[(this.count - 1) * OP_LONGS + LOCAL_ADDRESS] = BigInt(address) + BigInt(offset);
  }

  /** Low half of `user_data` of an operation. */
  userLow(index: number): number {
    return this.#words[index * OP_WORDS + USER_DATA];
  }

  /** High half of `user_data` of an operation. */
  userHigh(index: number): number {
    return this.#words[index * OP_WORDS + USER_DATA + 1];
  }

  /** Drops the first operations. */
  shift(count: number): void {
    this.#words.copyWithin(0, count * OP_WORDS, this.count * OP_WORDS);
    this.count -= count;
  }
}
