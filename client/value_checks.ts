import { type Crc32c, crc32c } from "../proto/crc32c.ts";
import { crcOf, objectChecksum } from "../proto/object_checksum.ts";
import type { BufferDescriptor, ReplicaList } from "../proto/types.ts";
import { showKey } from "./key.ts";
import type { Slice } from "./memory.ts";
import type { ReadPiece } from "./read.ts";

/** Nodes that are remembered as told of. */
const MAX_TOLD = 1024;
/** What is expected of bytes of which nothing is known. */
const UNKNOWN = -1;

export interface ValueCheckOptions {
  /** Whether values get checksums and are checked. */
  enabled: boolean;
  /** Computes checksums; default in TypeScript. */
  crc32c?: Crc32c | undefined;
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
  readonly #enabled: boolean;
  readonly #crc32c: Crc32c;
  readonly #log: (line: string) => void;
  readonly #told = new Set<string>();

  constructor(options: ValueCheckOptions) {
    this.#enabled = options.enabled;
    this.#crc32c = options.crc32c ?? crc32c;
    this.#log = options.log;
  }

  /** What the master is to keep with a value; `null` = nothing. */
  checksumOf(slices: readonly Slice[]): bigint | null {
    const crc = this.#enabled ? this.#crcOf(slices) : UNKNOWN;
    return crc < 0 ? null : objectChecksum(crc);
  }

  /** The CRC that {@linkcode ValueChecks.isRight} is to find in an object; negative = any. */
  expected({ objectChecksum }: ReplicaList): number {
    return this.#enabled ? crcOf(objectChecksum) : UNKNOWN;
  }

  /** Whether what was read of a replica can be what was written. Counts and tells when it cannot. */
  isRight(
    key: Uint8Array,
    { size, transportEndpoint }: BufferDescriptor,
    pieces: readonly ReadPiece[],
    expected: number,
  ): boolean {
    if (expected < 0 || !areWhole(pieces, size) || this.#crcOf(pieces) === expected) return true;
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

  /** The CRC of pieces one after the other; negative when one is gone. */
  #crcOf(slices: readonly Slice[]): number {
    let crc = 0;
    for (const { local, localOffset, length } of slices) {
      crc = this.#crc(local, localOffset, length, crc);
      if (crc < 0) return UNKNOWN;
    }
    return crc;
  }

  /** The CRC of memory that follows other memory of checksum `seed`; negative when it is gone. */
  #crc(local: Slice["local"], start: number, length: number, seed: number): number {
    const end = start + length;
    if (!(local instanceof Uint8Array) && local.device !== undefined) {
      return local.device.crc32c(start, end, seed);
    }
    const bytes = local instanceof Uint8Array ? local : local.bytes;
    return end > bytes.length ? UNKNOWN : this.#crc32c(bytes, start, end, seed);
  }
}

/** Whether pieces are an object from its first byte to its last, in order and side by side. */
function areWhole(pieces: readonly ReadPiece[], size: number): boolean {
  let end = 0;
  for (const [i, { offset, length, local, localOffset }] of pieces.entries()) {
    const before = i > 0 && pieces[i - 1].local === local ? pieces[i - 1] : null;
    const from = before === null ? 0 : before.localOffset + before.length;
    if (offset !== end || localOffset < from) return false;
    end += length;
  }
  return end === size;
}
