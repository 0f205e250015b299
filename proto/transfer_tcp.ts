/**
 * Headers of the TCP transport: a 24-byte request in front of every transfer, and in version 2 an
 * 8-byte status in front of the data read or behind the data written. Little endian.
 *
 * Addresses are two 32-bit halves here, so that serving a request needs no `bigint`.
 */
import { ProtocolError } from "./error.ts";

export const TRANSFER_REQUEST_BYTES = 24;
export const TRANSFER_STATUS_BYTES = 8;

/** The answer to a request in version 2. Any code but 0 is followed by the end of the connection. */
export const TransferStatus = { OK: 0, ADDRESS_REFUSED: 1 } as const;
export type TransferStatus = (typeof TransferStatus)[keyof typeof TransferStatus];

const TWO_32 = 0x1_0000_0000;
const OPCODE_AT = 16;
const ACKNOWLEDGED = 0x80;
const STATUS_MAGIC = 0x4d43_5456;

/** Writes the 24 bytes of a request at `at`. `size` is in bytes. */
export function writeTransferRequest(
  view: DataView,
  at: number,
  request: { opcode: 0 | 1; version: 1 | 2; address: bigint; size: number },
): void {
  view.setUint32(at, request.size >>> 0, true);
  view.setUint32(at + 4, request.size / TWO_32, true);
  view.setBigUint64(at + 8, request.address, true);
  view.setUint32(at + OPCODE_AT, request.opcode | (request.version === 2 ? ACKNOWLEDGED : 0), true);
  view.setUint32(at + 20, 0, true);
}

/** A request as a server reads it; made once per connection and filled again for each. */
export class TransferRequest {
  /** 0 READ, 1 WRITE. */
  opcode: 0 | 1 = 0;
  version: 1 | 2 = 1;
  /** Bytes. Exact up to 2^53; larger ones are rounded but stay larger than any memory. */
  size = 0;
  addressHigh = 0;
  addressLow = 0;

  /** Fills the fields from the 24 bytes at `at`. `ProtocolError` for an unknown opcode. */
  read(view: DataView, at: number): void {
    const code = view.getUint8(at + OPCODE_AT);
    const opcode = code & ~ACKNOWLEDGED;
    if (opcode > 1) throw new ProtocolError(`A transfer has the unknown opcode ${opcode}`);
    this.opcode = opcode as 0 | 1;
    this.version = (code & ACKNOWLEDGED) === 0 ? 1 : 2;
    this.size = view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
    this.addressLow = view.getUint32(at + 8, true);
    this.addressHigh = view.getUint32(at + 12, true);
  }

  /**
   * Bytes from `base` to the start of the request. Exact within 2^53 bytes of it; farther away it is
   * rounded but stays beyond any memory.
   */
  distanceFrom(base: SplitAddress): number {
    return (this.addressHigh - base.high) * TWO_32 + (this.addressLow - base.low);
  }

  /**
   * Whether the whole request lies in the `length` bytes from `base` + `window` on. Never true for
   * size 0.
   */
  within(base: SplitAddress, length: number, window = 0): boolean {
    const start = this.distanceFrom(base) - window;
    return this.size > 0 && start >= 0 && start <= length && this.size <= length - start;
  }
}

/** A 64-bit address in halves. */
export interface SplitAddress {
  readonly high: number;
  readonly low: number;
}

/** Splits an address once, for comparing with many requests. */
export function splitAddress(address: bigint): SplitAddress {
  return { high: Number(address >> 32n), low: Number(address & 0xffff_ffffn) };
}

/** Writes the 8 bytes of a status at `at`. */
export function writeTransferStatus(view: DataView, at: number, status: TransferStatus): void {
  view.setUint32(at, status, true);
  view.setUint32(at + 4, STATUS_MAGIC, true);
}

/** Reads the code out of the 8 bytes at `at`. `ProtocolError` when they are not a status. */
export function readTransferStatus(view: DataView, at: number): number {
  if (view.getUint32(at + 4, true) !== STATUS_MAGIC) {
    throw new ProtocolError("The answer to a transfer does not begin with a status");
  }
  return view.getUint32(at, true);
}
