import { errorText } from "../client/transfer/error_text.ts";
import type { MetadataStore } from "../client/transfer/metadata_store.ts";
import { EngineCode, EngineError } from "./engine_code.ts";

/** Memory of a peer, or a file of a segment that is files. */
export interface SegmentMemory {
  /** Address of the first byte, as requests name it. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

/**
 * The memory that one peer has published, under the name of that peer; or files, in which addresses
 * begin at 0 and go on from one to the next.
 */
export class Segment {
  readonly #metadata: MetadataStore;
  #buffers: readonly SegmentMemory[] = [];
  #isFiles = false;

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

  /** Whether it is files. */
  get isFiles(): boolean {
    return this.#isFiles;
  }

  /**
   * Looks again what the peer has published. Rejects with `EngineError` `METADATA` when it is not
   * known, or nobody can be asked.
   */
  async refresh(): Promise<void> {
    try {
      const { document } = await this.#metadata.lookup(this.name);
      this.#isFiles = document.files !== undefined;
      this.#buffers = document.files !== undefined
        ? inTurn(document.files.all)
        : document.buffers.map(({ addr, length }) => ({ address: addr, length }));
    } catch (cause) {
      const message = `Cannot open segment ${JSON.stringify(this.name)}: ${errorText(cause)}`;
      throw new EngineError(EngineCode.METADATA, message, { cause });
    }
  }
}

function inTurn(files: readonly { readonly length: number }[]): SegmentMemory[] {
  let end = 0;
  return files.map(({ length }) => ({ address: BigInt((end += length) - length), length }));
}
