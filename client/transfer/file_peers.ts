import type { NativeEngine } from "../../ffi/native_engine.ts";
import { type FilesLibrary, NativeFiles } from "../../ffi/native_files.ts";
import type { FilesSide, PeerAddress, PeerId, TransferCode } from "./engine.ts";
import { errorText } from "./error_text.ts";
import type { LocalFile } from "./file_segments.ts";
import type { EnginePeers } from "./native_peers.ts";

/** Peers of an engine: those that are files, and all others. */
export class FilePeers implements EnginePeers, FilesSide {
  readonly #engine: NativeEngine;
  readonly #files: NativeFiles;
  readonly #others: EnginePeers;
  readonly #segments = new Map<PeerId, number>();

  constructor(library: FilesLibrary, engine: NativeEngine, others: EnginePeers) {
    this.#engine = engine;
    this.#files = new NativeFiles(library, engine);
    this.#others = others;
  }

  open(address: PeerAddress, id: PeerId): void {
    const { files } = address;
    if (files === undefined) return this.#others.open(address, id);
    const segment = this.#engine.openFilesPeer();
    try {
      for (const file of files) this.#add(segment, file);
    } catch (error) {
      this.#engine.closePeer(segment);
      throw error;
    }
    this.#segments.set(id, segment);
  }

  close(id: PeerId): void {
    const segment = this.#segments.get(id);
    if (segment === undefined) return this.#others.close(id);
    this.#segments.delete(id);
    this.#engine.closePeer(segment);
  }

  clear(): void {
    this.#segments.clear();
    this.#others.clear();
  }

  has(id: PeerId): boolean {
    return this.#segments.has(id) || this.#others.has(id);
  }

  native(id: PeerId): number {
    return this.#segments.get(id) ?? this.#others.native(id);
  }

  resolve(id: PeerId): Promise<boolean> {
    return this.#segments.has(id) ? Promise.resolve(true) : this.#others.resolve(id);
  }

  unresolved(id: PeerId): TransferCode {
    return this.#others.unresolved(id);
  }

  failed(id: PeerId, code: TransferCode): void {
    if (!this.#segments.has(id)) this.#others.failed(id, code);
  }

  failureOf(id: PeerId): string {
    const segment = this.#segments.get(id);
    return segment === undefined ? "" : this.#files.failureOf(segment);
  }

  #add(segment: number, { path, length }: LocalFile): void {
    try {
      this.#files.add(segment, path, length);
    } catch (cause) {
      throw new Error(
        `${JSON.stringify(path)} cannot be used: ${errorText(cause)}; allowed: a block device or ` +
          `a file of at least ${length} bytes, which this process may read`,
        { cause },
      );
    }
  }
}
