import { errorText } from "../client/transfer/error_text.ts";
import type { MetadataStore } from "../client/transfer/metadata_store.ts";
import { EngineCode, EngineError } from "./engine_code.ts";

/** Memory of a peer. */
export interface SegmentMemory {
  /** Address of the first byte, as requests name it. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

/** The memory that one peer has published, under the name of that peer. */
export class Segment {
  readonly #metadata: MetadataStore;
  #buffers: readonly SegmentMemory[] = [];

  private constructor(
    /** As it was opened. */
    readonly name: string,
    metadata: MetadataStore,
  ) {
    this.#metadata = metadata;
  }

  /** Looks a segment up. Rejects as {@linkcode refresh}. */
  static async open(name: string, metadata: MetadataStore): Promise<Segment> {
    const segment = new Segment(name, metadata);
    await segment.refresh();
    return segment;
  }

  /** What the peer had published when that was last looked at, in the order of its registrations. */
  get buffers(): readonly SegmentMemory[] {
    return this.#buffers;
  }

  /**
   * Looks again what the peer has published. Rejects with `EngineError` `METADATA` when it is not
   * known, or nobody can be asked.
   */
  async refresh(): Promise<void> {
    try {
      const { document } = await this.#metadata.lookup(this.name);
      this.#buffers = document.buffers.map(({ addr, length }) => ({ address: addr, length }));
    } catch (cause) {
      const message = `Cannot open segment ${JSON.stringify(this.name)}: ${errorText(cause)}`;
      throw new EngineError(EngineCode.METADATA, message, { cause });
    }
  }
}
