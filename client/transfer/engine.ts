/**
 * The transfer engine: moves bytes between local memory regions and the published memory of peers.
 *
 * An engine knows regions, peers, operations and completions. Keys, replicas and leases live above.
 * Two implementations fill this interface: the C shim (`native_engine.ts`) and a TypeScript TCP
 * engine (`ts_engine.ts`, also for Node); `tests/contract/` holds the suite both must pass.
 */

import type { Socket } from "node:net";
import type { HandshakeType } from "../../proto/handshake.ts";
import type { Crc32c } from "../../proto/crc32c.ts";
import type { JsonValue } from "../../proto/json_exact.ts";
import type {
  DevicePreference,
  SegmentBuffer,
  SegmentDevice,
} from "../../proto/metadata/segment_document.ts";
import type { LocalFile } from "./file_segments.ts";
import type { MemorySurvey } from "./memory_maps.ts";
import type { StopSignal } from "./stop.ts";

/** Direction of an operation, seen from the local side. Wire values. */
export const Opcode = { READ: 0, WRITE: 1 } as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** Result of one operation; the negative numbers are the reference engine's. */
export const TransferCode = {
  OK: 0,
  INVALID_ARGUMENT: -1,
  TOO_MANY_REQUESTS: -2,
  /** The peer refused the range: it does not lie inside one published region. */
  ADDRESS_NOT_REGISTERED: -3,
  /** The peer's host name could not be resolved. */
  DNS: -101,
  /** The connection ended before the operation did, or the peer was closed. */
  SOCKET: -102,
  MALFORMED_JSON: -103,
  REJECT_HANDSHAKE: -104,
  METADATA: -200,
  /** No connection to the peer could be made. */
  ENDPOINT: -201,
  MEMORY: -302,
  NOT_IMPLEMENTED: -303,
  /** Ours: the deadline passed before the operation completed. */
  TIMEOUT: -1720,
  /** Ours: the caller gave it up. */
  CANCELLED: -1723,
} as const;
export type TransferCode = (typeof TransferCode)[keyof typeof TransferCode];

/**
 * Memory of an accelerator, which this process cannot touch; bytes are copied by its driver.
 *
 * @example
 * ```ts ignore
 * using buffer = client.allocateBuffer(1 << 20, { location: "cuda:0" });
 * const memory: DeviceMemory = buffer.device!;
 * memory.write(0, new Uint8Array(1 << 20));
 * await client.put("layer/0", buffer);
 * ```
 */
export interface DeviceMemory {
  /** `cuda:0`, `npu:0`. */
  readonly location: string;
  /** The device's name, as its driver gives it. */
  readonly name: string;
  /** What the code for this kind of device has been run on, for people to read. */
  readonly standing: string;
  /** Of the first byte, as the driver's functions take it. */
  readonly address: bigint;
  /** Copies from `offset` on into `target`. `RangeError` beyond the memory, `Error` on failure. */
  read(offset: number, target: Uint8Array): void;
  /** Copies `source` to `offset`; errors as {@linkcode DeviceMemory.read}. */
  write(offset: number, source: Uint8Array): void;
  /** CRC-32C of `[start, end)`, which follow bytes of checksum `seed`; errors as `read`. */
  crc32c(start: number, end: number, seed: number): number;
}

/** Where on the host memory lies, in which pages, and whether it stays there. */
export interface MemoryPlacement {
  /** `off`, `interleave` or `split` over all NUMA nodes, or those to split over, as `0,1`. */
  numa: string;
  /** `auto`, `thp`, `off`, or the largest pages to take from a pool: `2mb`, `1gb`. */
  hugepages: string;
  /** Locked in memory. */
  lockMemory: boolean;
}

/** The placement that nobody asked for. */
export const DEFAULT_PLACEMENT: MemoryPlacement = {
  ...{ numa: "off", hugepages: "auto", lockMemory: false },
};

/** What is known of the place of memory of the host. */
export interface HostMemory {
  /** As segment documents name it: `cpu:0`, `segments:4096:0,1`; absent = as the process's. */
  readonly location?: string;
  /** What was asked for and could not be had, and why; one line each. */
  readonly notes: readonly string[];
  /** Where its pages lie now. Takes the longer the more ordinary pages there are. */
  survey(): Promise<MemorySurvey>;
}

/** Where and how memory is had. */
export interface AllocateOptions {
  /** Readable and writable by peers. */
  publish?: boolean;
  /** A device, as `cuda:0`; default memory of the host. */
  location?: string;
  /** Of memory of the host; default {@linkcode DEFAULT_PLACEMENT}. */
  placement?: MemoryPlacement;
  /** Memory of that device that the caller owns, and keeps until the region is disposed. */
  address?: bigint;
}

/**
 * Memory owned by the engine. `bytes` is detached (length 0) once the region is disposed; for
 * memory of a device it throws `TypeError`.
 */
export interface Region extends Disposable {
  readonly id: number;
  /** Bytes. */
  readonly length: number;
  readonly bytes: Uint8Array;
  /** Set for memory of a device. */
  readonly device?: DeviceMemory;
  /** Set for memory of the host whose place can be told. */
  readonly host?: HostMemory;
  /** Address at which peers reach the first byte, or `null` while it is not published. */
  readonly remoteBase: bigint | null;

  /**
   * Has the system provide every page now, so that the first transfers take no page faults. Where
   * memory cannot be provided ahead, resolves at once. Rejects when there is not enough memory.
   */
  populate(): Promise<void>;
}

/**
 * Memory of the caller: an array, which must not be detached while it is registered, or the address
 * of memory outside of JavaScript.
 */
export type LentMemory = Uint8Array | { readonly address: bigint; readonly length: number };

/** Identifies an open peer of one engine; reused ids carry a new generation. */
export type PeerId = number;

/** One contiguous move between local memory and a peer's published memory. */
export interface TransferOperation {
  opcode: Opcode;
  peer: PeerId;
  /** Address as the peer advertises it. */
  remoteAddress: bigint;
  /** Bytes, > 0. */
  length: number;
  /** A region of this engine, or ordinary memory, which must not be touched until completion. */
  local: Region | Uint8Array;
  /** Bytes from the start of `local`. */
  localOffset: number;
  /** Whether {@linkcode crc32c} is wanted. */
  sums?: boolean;
  /** CRC-32C of the bytes as they lie in `local`, set when an operation that `sums` succeeds. */
  crc32c?: number;
}

/** Takes the result of an operation. */
export type Done = (code: TransferCode) => void;
/** Takes the error of an operation that was refused before any byte moved. */
export type Failed = (error: unknown) => void;

export interface TransferOptions {
  /** Milliseconds for the whole batch; default 30000. */
  timeoutMs?: number;
  /**
   * Reads that are in flight when it is aborted end soon, with `CANCELLED` or, where they were done,
   * `OK`, and touch their memory no more. Writes go on, for the peer may be in the middle of them, and
   * so do reads over RDMA.
   */
  signal?: StopSignal | undefined;
}

export interface PeerAddress {
  host: string;
  port: number;
  /** 2 = acknowledged framing, 1 = the older framing without status. */
  protocolVersion: 1 | 2;
  /** The peer's {@linkcode TransferEngine.localName}; its memory is used directly on the same host. */
  localName?: string;
  /** Set: over RDMA, by an engine that has it; `port` may be 0 then. */
  rdma?: RdmaPeerAddress;
  /** Set: over the engine's {@linkcode TransferEngine.plugin}, which is of the same name. */
  plugin?: PluginPeerAddress;
  /**
   * Set: no peer but files of this host, by an engine with {@linkcode TransferEngine.files}. Addresses
   * begin at 0 and go through them.
   */
  files?: readonly LocalFile[];
}

/** Segments of an engine that are files. */
export interface FilesSide {
  /** One line on the last failure of a segment's files; empty = there was none. */
  failureOf(peer: PeerId): string;
}

/** How a peer is reached over a transport that is a library of its own, from its document. */
export interface PluginPeerAddress {
  /** Bytes of the transport, as hexadecimal digits. */
  address: string;
  buffers: readonly (Pick<SegmentBuffer, "addr" | "length"> & { key: string })[];
}

/** A transport of an engine that is a library of its own. */
export interface PluginSide {
  /** Of the network; engines with the same one can reach each other. */
  readonly name: string;
  /** What it has been run on, for people. */
  readonly standing: string;
  /** Where peers reach it now, as hexadecimal digits. */
  readonly address: string;
  /** What lets peers use a published region, as hexadecimal digits. */
  keyOf(region: Region): string;
}

/** How a peer with RDMA devices is reached, from its segment document. */
export interface RdmaPeerAddress {
  /** In front of the `@` of its device paths. */
  server: string;
  devices: readonly SegmentDevice[];
  buffers: readonly SegmentBuffer[];
  /** Its devices by location of its memory. */
  priorities: ReadonlyMap<string, DevicePreference>;
  /** Its links have as many queue pairs as who dials wants; the reference's have as many as it was told. */
  takesAnyQps: boolean;
  /** Sends it a handshake and resolves with its reply. */
  exchange: (type: HandshakeType, body: JsonValue) => Promise<JsonValue>;
}

/** The RDMA side of an engine. */
export interface RdmaSide {
  /** As they stand in a segment document. */
  readonly devices: readonly SegmentDevice[];
  /** These devices by location of memory. */
  readonly priorities: Map<string, DevicePreference>;
  /** Where memory lies that the engine allocates. */
  readonly location: string;
  /** In front of the `@` of our device paths; changed before memory is published, not after. */
  serverName: string;
  /** Keys of a region, one for each device. */
  keysOf(region: Region): { lkeys: number[]; rkeys: number[] };
  /** Answers a handshake of type CONNECTION. */
  accept(body: JsonValue): Promise<JsonValue>;
}

/** A connection that came to nothing because of TLS. */
export interface TlsReport {
  /** Whether the peer had connected; else we had. */
  readonly served: boolean;
  /** Its address and port. */
  readonly peer: string;
  /** Why, one line. */
  readonly text: string;
}

/** The TLS side of an engine. */
export interface TlsSide {
  /** Takes the oldest report of a connection that came to nothing, or `null`. */
  takeReport(): TlsReport | null;
  /** Takes other PEM files for new connections. `Error` with one line when they are no good. */
  renew(files: { certFile: string; keyFile: string; caFile: string }): void;
}

/** Takes a connection over that begins with a handshake; `first` was read from it already. */
export type TakeHandshake = (socket: Socket, first: Uint8Array | null) => void;

export interface ListenOptions {
  /** Address to bind; default `0.0.0.0`. */
  host?: string;
  /** 0 or absent = let the system choose. */
  port?: number;
  /** Absent: handshakes are taken for requests, and refused. */
  onHandshake?: TakeHandshake;
}

/**
 * What an engine has served to others since it was made.
 *
 * @example
 * ```ts ignore
 * const stats: TransferStats = client.transferStats();
 * console.log(stats.servedReadBytes);
 * ```
 */
export interface TransferStats {
  /** Reads of published memory by peers. */
  servedReads: number;
  /** Writes to published memory by peers. */
  servedWrites: number;
  /** Bytes of those reads. */
  servedReadBytes: number;
  /** Bytes of those writes. */
  servedWriteBytes: number;
  /** Requests refused for their address, size or opcode. */
  refused: number;
  /**
   * Reads among these whose address is not that of published memory, or not any more: a descriptor
   * from before the memory was taken back, or from before its window was fenced.
   */
  readsFenced: number;
  /** Connections of peers now. */
  connections: number;
}

export interface TransferEngine extends AsyncDisposable {
  /** Which implementation this is, for logs and results. */
  readonly name: "tcp-native" | "tcp-typescript" | "rdma-native" | "plugin-native";

  /** Set when the engine has RDMA devices. */
  readonly rdma?: RdmaSide;

  /** Set when the engine has a transport that is a library of its own; never beside RDMA. */
  readonly plugin?: PluginSide;

  /** Set when the engine reads and writes segments that are files. */
  readonly files?: FilesSide;

  /**
   * Allocates zeroed memory, or takes that of a device. `RangeError` for a length that is not a
   * positive integer, `Error` when the system or the device has not enough memory, or there is no
   * such device.
   */
  allocate(length: number, options?: AllocateOptions): Region;

  /**
   * Makes a region of memory that the caller keeps alive, and where it is, until the region is
   * disposed and no operation uses it; peers that were let in may be in the middle of it until then.
   * Errors as {@linkcode allocate}; `TypeError` for memory that this engine cannot take.
   */
  adopt(memory: LentMemory, options?: { publish?: boolean }): Region;

  /** Serves published regions to peers. Rejects with the system's error when the port is in use. */
  listen(options?: ListenOptions): Promise<{ host: string; port: number }>;

  /**
   * Name at which engines of this host reach the published memory without a connection; empty when
   * they cannot, and before the engine serves.
   */
  readonly localName: string;

  /** Names a peer; connections are made when the first operation needs one. */
  openPeer(address: PeerAddress): PeerId;

  /** Drops the peer's connections; operations in flight complete with `SOCKET`. */
  closePeer(peer: PeerId): void;

  /**
   * Runs a batch and resolves when every operation has completed, with one {@linkcode TransferCode}
   * per operation in order. A failed transfer is a code, never a rejection; malformed arguments
   * reject with `TypeError` or `RangeError` before any byte moves. Operations of one batch may
   * complete in any order, on any number of connections.
   */
  transfer(ops: readonly TransferOperation[], options?: TransferOptions): Promise<Int32Array>;

  /** {@linkcode transfer} of one operation, cheaper: resolves with its code. */
  transferOne(op: TransferOperation, options?: TransferOptions): Promise<TransferCode>;

  /**
   * {@linkcode transferOne} without a promise, in engines where that costs more than the bytes: calls
   * `done` with the code or `failed` with the error, maybe before it returns.
   */
  begin?(
    op: TransferOperation,
    timeoutMs: number,
    done: Done,
    failed: Failed,
    signal?: StopSignal,
  ): void;

  /**
   * Names the owner of the engine, 16 bytes, to engines of this host whose memory it maps; before the
   * first transfer.
   */
  setIdentity(identity: Uint8Array): void;

  /**
   * Refuses every request for a byte of `[address, address + length)`, in the address's window, for
   * `keepMs`. Resolves with `true` once no byte of an earlier request can arrive any more; with
   * `false` when that cannot be had: the memory is not published, RDMA devices reach it, or `writer`
   * (16 bytes, see {@linkcode setIdentity}) has it mapped.
   */
  fence(address: bigint, length: number, keepMs: number, writer: Uint8Array): Promise<boolean>;

  stats(): TransferStats;

  /** Set when connections are made with TLS only. */
  readonly tls?: TlsSide;

  /** CRC-32C with the processor's instruction, where the engine has it. */
  readonly crc32c?: Crc32c;
}
