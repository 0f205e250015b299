import { Opcode, type TransferOperation, type TransferOptions } from "./engine.ts";

const ADDRESS_LIMIT = 1n << 64n;
const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** Refuses an operation that no engine could carry out: `TypeError` or `RangeError`. */
export function checkOperation(op: TransferOperation): void {
  const { opcode, length, localOffset, remoteAddress, local } = op;
  if (opcode !== Opcode.READ && opcode !== Opcode.WRITE) {
    throw new RangeError(`Unknown opcode ${opcode}: allowed are 0 (READ) and 1 (WRITE)`);
  }
  if (!Number.isSafeInteger(length) || length <= 0) {
    throw new RangeError(`An operation of ${length} bytes: the length must be a positive integer`);
  }
  if (!Number.isSafeInteger(localOffset) || localOffset < 0) {
    throw new RangeError(`Local offset ${localOffset}: it must be an integer of at least 0`);
  }
  if (localOffset + length > local.length) {
    throw new RangeError(
      `${length} bytes at local offset ${localOffset} do not fit into ${local.length} bytes`,
    );
  }
  if (typeof remoteAddress !== "bigint") throw new TypeError("remoteAddress must be a bigint");
  if (remoteAddress < 0n || remoteAddress + BigInt(length) > ADDRESS_LIMIT) {
    throw new RangeError(`${length} bytes at remote address ${remoteAddress} exceed 64 bits`);
  }
}

/** Refuses memory that cannot be lent to an engine; borrowed bytes must stay where they are. */
export function checkBorrowed(bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError("local must be a region of this engine or a Uint8Array");
  }
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && (buffer as { resizable?: boolean }).resizable) {
    throw new TypeError("local must not be a view of a resizable buffer");
  }
}

/** Milliseconds of a transfer's deadline. `RangeError` when it is not a positive 31-bit integer. */
export function timeoutOf(options: TransferOptions | undefined): number {
  const timeoutMs = options?.timeoutMs;
  if (timeoutMs === undefined) return DEFAULT_TIMEOUT_MS;
  if (!Number.isInteger(timeoutMs) || timeoutMs <= 0 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new RangeError(
      `timeoutMs ${timeoutMs}: it must be an integer from 1 to ${MAX_TIMEOUT_MS}`,
    );
  }
  return timeoutMs;
}

/** Refuses the length of an allocation with `RangeError`. */
export function checkLength(length: number): void {
  if (!Number.isSafeInteger(length) || length <= 0) {
    throw new RangeError(`A region of ${length} bytes: the length must be a positive integer`);
  }
}

/** Refuses the address of a peer with `RangeError`. */
export function checkPeerAddress(address: { port: number; protocolVersion: number }): void {
  const { port, protocolVersion } = address;
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new RangeError(`Peer port ${port}: it must be an integer from 1 to 65535`);
  }
  if (protocolVersion !== 1 && protocolVersion !== 2) {
    throw new RangeError(`Protocol version ${protocolVersion}: allowed are 1 and 2`);
  }
}

/** Refuses a listening port with `RangeError`. */
export function checkListenPort(port: number): void {
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(`Port ${port}: it must be an integer from 0 to 65535`);
  }
}
