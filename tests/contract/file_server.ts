import type {
  AllocateOptions,
  PeerId,
  Region,
  TransferEngine,
  TransferStats,
} from "../../client/transfer/engine.ts";
import type { LocalFile } from "../../client/transfer/file_segments.ts";
import { type FileMemory, openFileMemory } from "../../client/transfer/file_memory.ts";

const PAGE = 4096;

/** A file that this process has mapped, to see and change what engines read and write there. */
class MappedFile implements Region {
  readonly id = 0;
  readonly remoteBase = 0n;
  readonly file: LocalFile;
  readonly #memory: FileMemory;
  #bytes: Uint8Array<ArrayBuffer>;

  constructor(path: string, readonly length: number) {
    this.file = { path, length };
    const mapped = Math.ceil(length / PAGE) * PAGE;
    Deno.writeFileSync(path, new Uint8Array(0));
    Deno.truncateSync(path, mapped);
    this.#memory = openFileMemory(path, mapped);
    const pointer = Deno.UnsafePointer.create(this.#memory.address)!;
    this.#bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
    Deno.truncateSync(path, length);
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  populate(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    if (this.#bytes.length === 0) return;
    this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(0));
    this.#memory[Symbol.dispose]();
  }
}

/** Stands where a suite has the engine that serves memory: nobody serves files. */
export class FileServer implements TransferEngine {
  readonly name = "tcp-native";
  readonly localName = "";
  readonly #folder: string;
  readonly #files: MappedFile[] = [];

  constructor(folder?: string) {
    this.#folder = Deno.makeTempDirSync(folder === undefined ? {} : { dir: folder });
  }

  allocate(length: number, options: AllocateOptions = {}): Region {
    if (!options.publish) throw new TypeError("files are there for others");
    const file = new MappedFile(`${this.#folder}/${this.#files.length}`, length);
    this.#files.push(file);
    return file;
  }

  adopt(): Region {
    throw new TypeError("memory is no file");
  }

  listen(): Promise<{ host: string; port: number }> {
    return Promise.resolve({ host: "127.0.0.1", port: 1 });
  }

  openPeer(): PeerId {
    throw new TypeError("nothing is moved from here");
  }

  closePeer(): void {}

  transfer(): Promise<Int32Array> {
    return Promise.reject(new TypeError("nothing is moved from here"));
  }

  transferOne(): Promise<never> {
    return Promise.reject(new TypeError("nothing is moved from here"));
  }

  setIdentity(): void {}

  fence(): Promise<boolean> {
    return Promise.resolve(false);
  }

  stats(): TransferStats {
    return {
      ...{ servedReads: 0, servedWrites: 0, servedReadBytes: 0, servedWriteBytes: 0 },
      ...{ refused: 0, readsFenced: 0, connections: 0 },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.splice(0)) {
      file[Symbol.dispose]();
      Deno.removeSync(file.file.path);
    }
    try {
      Deno.removeSync(this.#folder);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return Promise.resolve();
  }
}

/** The file behind a region of a {@linkcode FileServer}. */
export function fileOf(region: Region): LocalFile {
  return (region as MappedFile).file;
}
