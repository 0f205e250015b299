import { crcOf, objectChecksum } from "../proto/object_checksum.ts";
import type { BufferDescriptor, ReplicaList } from "../proto/types.ts";
import { showKey } from "./key.ts";
import type { ReadPiece } from "./read_piece.ts";
import type { TransferOperation } from "./transfer/engine.ts";
import { sumOf } from "./transfer/sums.ts";

/** Nodes that are remembered as told of. */
const MAX_TOLD = 1024;
/** What is expected of bytes of which nothing is known. */
const UNKNOWN = -1;

export interface ValueCheckOptions {
  /** Whether values get checksums and are checked. */
  enabled: boolean;
  log: (line: string) => void;
}

/**
 * Checksums of values: given to objects that are written, and compared with what is read of whole
 * objects, in one piece or in several. Parts of an object cannot be checked, nor objects whose writer
 * gave no checksum of our kind.
 */
export class ValueChecks {
  /** Replicas so far that had other bytes than were written. */
  mismatches = 0;
  /** Whether the operations of values sum what they move. */
  readonly enabled: boolean;
  readonly #log: (line: string) => void;
  readonly #told = new Set<string>();

  constructor(options: ValueCheckOptions) {
    this.enabled = options.enabled;
    this.#log = options.log;
  }

  /**
   * What the master is to keep with a value that the operations `[start, end)` have written; `null` =
   * nothing. Those of one replica have summed.
   */
  checksumOf(ops: readonly TransferOperation[], start = 0, end = ops.length): bigint | null {
    const crc = this.enabled ? sumOf(ops, start, end) : UNKNOWN;
    return crc < 0 ? null : objectChecksum(crc);
  }

  /** The CRC that {@linkcode ValueChecks.isRight} is to find in an object; negative = any. */
  expected({ objectChecksum }: ReplicaList): number {
    return this.expectedOf(crcOf(objectChecksum));
  }

  /** {@linkcode ValueChecks.expected} of a CRC that is known of an object; negative = none is. */
  expectedOf(crc: number): number {
    return this.enabled ? crc : UNKNOWN;
  }

  /** Whether the operations that read pieces of an object have to sum, so that it can be checked. */
  covers(pieces: readonly ReadPiece[], size: number, expected: number): boolean {
    return expected >= 0 && areWhole(pieces, size);
  }

  /**
   * Whether what the operations `[start, end)` have summed of a replica can be what was written.
   * Counts and tells when it cannot.
   */
  isRight(
    key: Uint8Array,
    { transportEndpoint }: BufferDescriptor,
    expected: number,
    ops: readonly TransferOperation[],
    start = 0,
    end = ops.length,
  ): boolean {
    if (sumOf(ops, start, end) === expected) return true;
    this.mismatches++;
    if (!this.#told.has(transportEndpoint)) this.#tell(key, transportEndpoint);
    return false;
  }

  #tell(key: Uint8Array, endpoint: string): void {
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(endpoint);
    this.#log(
      `${endpoint} has other bytes of ${showKey(key)} than were written; ` +
        "they are not used, and more of this node is counted and not told",
    );
  }
}

/** Whether pieces are an object from its first byte to its last, in order and side by side. */
function areWhole(pieces: readonly ReadPiece[], size: number): boolean {
  let end = 0;
  for (let i = 0; i < pieces.length; i++) {
    const { offset, length, local, localOffset } = pieces[i];
    const before = i > 0 && pieces[i - 1].local === local ? pieces[i - 1] : null;
    const from = before === null ? 0 : before.localOffset + before.length;
    if (offset !== end || localOffset < from) return false;
    end += length;
  }
  return end === size;
}
