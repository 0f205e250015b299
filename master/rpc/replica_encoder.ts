import { ReplicaKindIndex } from "../../proto/messages/values.ts";
import { CHECKSUM_TAG } from "../../proto/object_checksum.ts";
import { writeUuid } from "../../proto/struct_pack/uuid.ts";
import type { Writer } from "../../proto/struct_pack/writer.ts";
import type { Uuid } from "../../proto/types.ts";
import type { MatchSink, ReplicaSink, SegmentView } from "../core/api.ts";
import { AnswerTooLarge } from "./call.ts";

/** Where an encoder finds the segment that a replica lies on. */
export interface SegmentViews {
  view(index: number): SegmentView;
}

/**
 * Writes `expected<...>` values straight from what the core reports about an object: either the list
 * of replicas alone (PutStart and UpsertStart) or the whole answer of GetReplicaList.
 */
export class ReplicaEncoder implements ReplicaSink {
  readonly #segments: SegmentViews;
  readonly #writer: Writer;
  #leaseTtlMs = 0;
  #summed = false;
  #sumLow = 0;
  #sumHigh = 0;
  /**
   * Whether who asks knows checksums of clients of ours; others would take them for checksums of their
   * own kind.
   */
  showsOurs = true;

  constructor(segments: SegmentViews, writer: Writer) {
    this.#segments = segments;
    this.#writer = writer;
  }

  begin(count: number, leaseTtlMs: number): void {
    this.#writer.u8(1);
    this.#writer.size(count);
    this.#leaseTtlMs = leaseTtlMs;
    this.#summed = false;
  }

  checksum(low: number, high: number): void {
    this.#summed = this.showsOurs || high >>> 0 !== CHECKSUM_TAG;
    this.#sumLow = low;
    this.#sumHigh = high;
  }

  memory(id: number, status: number, size: number, segment: number, offset: number): void {
    const writer = this.#writer;
    const { segment: { base }, protocolBytes, endpointBytes } = this.#segments.view(segment);
    writer.u64Number(id);
    writer.u8(ReplicaKindIndex.MEMORY);
    writer.u64Number(size);
    writer.u64(base + BigInt(offset));
    writer.blob(protocolBytes);
    writer.blob(endpointBytes);
    writer.i32(status);
  }

  disk(id: number, status: number, size: number, filePath: string): void {
    const writer = this.#writer;
    writer.u64Number(id);
    writer.u8(ReplicaKindIndex.DISK);
    writer.text(filePath);
    writer.u64Number(size);
    writer.i32(status);
  }

  localDisk(id: number, status: number, size: number, client: Uuid, endpoint: string): void {
    const writer = this.#writer;
    writer.u64Number(id);
    writer.u8(ReplicaKindIndex.LOCAL_DISK);
    writeUuid(writer, client);
    writer.u64Number(size);
    writer.text(endpoint);
    writer.i32(status);
  }

  /** Completes the answer of EndAndReserve after the replicas. */
  endReserved(useWithinMs: number): void {
    this.#writer.u64Number(useWithinMs);
  }

  /** Completes the answer of GetReplicaList after the replicas. */
  endList(): void {
    const writer = this.#writer;
    writer.u64Number(this.#leaseTtlMs);
    if (!this.#summed) return writer.u8(0);
    writer.u8(1);
    writer.u32(this.#sumLow);
    writer.u32(this.#sumHigh);
  }
}

/**
 * Writes the pairs of GetReplicaListByRegex: a key and the replicas of its object. Throws
 * `AnswerTooLarge` when there are too many.
 */
export class MatchEncoder implements MatchSink {
  readonly #replicas: ReplicaEncoder;
  readonly #writer: Writer;
  readonly #maxBytes: number;

  constructor(replicas: ReplicaEncoder, writer: Writer, maxBytes: number) {
    this.#replicas = replicas;
    this.#writer = writer;
    this.#maxBytes = maxBytes;
  }

  key(bytes: Uint8Array, start: number, end: number): void {
    if (this.#writer.length > this.#maxBytes) throw new AnswerTooLarge(this.#maxBytes);
    this.#writer.blob(bytes, start, end);
  }

  begin(count: number): void {
    this.#writer.size(count);
  }

  /** A listing has no place for them. */
  checksum(): void {}

  memory(id: number, status: number, size: number, segment: number, offset: number): void {
    this.#replicas.memory(id, status, size, segment, offset);
  }

  disk(id: number, status: number, size: number, filePath: string): void {
    this.#replicas.disk(id, status, size, filePath);
  }

  localDisk(id: number, status: number, size: number, client: Uuid, endpoint: string): void {
    this.#replicas.localDisk(id, status, size, client, endpoint);
  }
}
