import { ReplicaKindIndex } from "../../proto/messages/values.ts";
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
  #checksum: bigint | null = null;

  constructor(segments: SegmentViews, writer: Writer) {
    this.#segments = segments;
    this.#writer = writer;
  }

  begin(count: number, leaseTtlMs: number, checksum: bigint | null): void {
    this.#writer.u8(1);
    this.#writer.size(count);
    this.#leaseTtlMs = leaseTtlMs;
    this.#checksum = checksum;
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

  /** Completes the answer of GetReplicaList after the replicas. */
  endList(): void {
    const writer = this.#writer;
    writer.u64Number(this.#leaseTtlMs);
    if (this.#checksum === null) {
      writer.u8(0);
    } else {
      writer.u8(1);
      writer.u64(this.#checksum);
    }
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
