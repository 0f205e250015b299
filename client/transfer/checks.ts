import {
  type LentMemory,
  Opcode,
  type PeerAddress,
  type TransferEngine,
  type TransferOperation,
  type TransferOptions,
} from "./engine.ts";

const ADDRESS_LIMIT = 1n << 64n;
/** Below it no length that is a safe integer reaches the limit. */
const NEAR_LIMIT = ADDRESS_LIMIT - (1n << 53n);
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
  if (remoteAddress >= 0n && remoteAddress < NEAR_LIMIT) return;
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
  if (!(buffer instanceof ArrayBuffer) || (buffer as { resizable?: boolean }).resizable) {
    throw new TypeError("local must not be a view of a shared or resizable buffer");
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

/** Tunables that both engines have, with the values allowed. */
export interface EngineTunables {
  /** Connections to one peer, 1 to 16; 4. */
  lanesPerPeer?: number;
  /** Bytes queued on a connection before the next one is used; 256 KiB. */
  laneSpillBytes?: number;
  /** Milliseconds; 5000. */
  connectTimeoutMs?: number;
  /** Connections served at once; 16384. */
  maxConnections?: number;
  /** Milliseconds that a peer may be silent in the middle of a request; 30000. */
  stallTimeoutMs?: number;
}

const TUNABLE_LIMITS: Record<string, [number, number]> = {
  lanesPerPeer: [1, 16],
  laneSpillBytes: [1, 2 ** 31],
  connectTimeoutMs: [1, MAX_TIMEOUT_MS],
  maxConnections: [1, 2 ** 20],
  stallTimeoutMs: [1, MAX_TIMEOUT_MS],
  maxOps: [1, 2 ** 24],
  serverThreads: [1, 64],
  inlineWaitUs: [0, 1_000_000],
};

/** Refuses tunables that are unknown or out of range with `RangeError`. */
export function checkTunables(tunables: object): void {
  for (const [name, value] of Object.entries(tunables)) {
    if (value === undefined || name === "clock") continue;
    const limits = TUNABLE_LIMITS[name];
    if (limits === undefined) throw new RangeError(`There is no engine option ${name}`);
    if (!Number.isInteger(value) || value < limits[0] || value > limits[1]) {
      throw new RangeError(
        `Engine option ${name} is ${value}: it must be an integer from ${limits[0]} to ${
          limits[1]
        }`,
      );
    }
  }
}

/** Refuses the length of an allocation with `RangeError`. */
export function checkLength(length: number): void {
  if (!Number.isSafeInteger(length) || length <= 0) {
    throw new RangeError(`A region of ${length} bytes: the length must be a positive integer`);
  }
}

/** Refuses memory that cannot be registered where it is: `TypeError` or `RangeError`. */
export function checkLent(memory: LentMemory): void {
  if (memory instanceof Uint8Array) checkBorrowed(memory);
  else if (typeof memory.address !== "bigint") throw new TypeError("address must be a bigint");
  else if (memory.address <= 0n || memory.address + BigInt(memory.length) > ADDRESS_LIMIT) {
    throw new RangeError(`${memory.length} bytes at address ${memory.address} exceed 64 bits`);
  }
  checkLength(memory.length);
}

/** What of an engine says how it reaches peers. */
type Ways = Pick<TransferEngine, "rdma" | "plugin" | "files">;

/** Refuses an address that an engine has no way to: `TypeError`, or `RangeError` over TCP. */
export function checkPeerAddress(address: PeerAddress, { rdma, plugin, files }: Ways = {}): void {
  if (address.rdma !== undefined) {
    if (rdma === undefined) throw new TypeError("This engine has no RDMA");
  } else if (address.plugin !== undefined) {
    if (plugin === undefined) throw new TypeError("This engine has no such transport");
  } else if (address.files !== undefined) {
    if (files === undefined) throw new TypeError("This engine reads no files");
  } else checkSocketAddress(address);
}

function checkSocketAddress(address: PeerAddress): void {
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
