import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { errorText } from "../../client/transfer/error_text.ts";
import { openFileView } from "../../client/transfer/file_memory.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import type { RegisteredMemory } from "../memory.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { Content } from "./content.ts";
import type { Piece } from "./manifest.ts";

/** A file of this host. */
export interface LocalFile {
  readonly path: string;
  /** Bytes. */
  readonly length: number;
  /** What it is called while it is not whole; absent = it is whole, and is read only. */
  readonly partPath?: string;
}

interface OpenFile extends LocalFile {
  readonly handle: FileHandle;
  /** Of the file when it was opened; for one that is read only. */
  readonly mtimeMs: number;
  /** Whether it was made now. */
  readonly isNew: boolean;
}

/** One file as peers reach it. */
interface Lent {
  readonly memory: RegisteredMemory;
  /** Its bytes where it is not mapped. */
  readonly copy: Uint8Array | null;
  unmap(): void;
}

/** Content in files. Peers read them through a mapping, or a copy where there cannot be one. */
export class FileContent implements Content {
  readonly #engine: TransferEngine;
  readonly #files: readonly OpenFile[];
  /** By index of the file; empty files are not lent. */
  readonly #lent = new Map<number, Lent>();

  private constructor(engine: TransferEngine, files: readonly OpenFile[]) {
    this.#engine = engine;
    this.#files = files;
  }

  /**
   * Opens and lends files; those that are not whole are made as long as they will be. `log` is told
   * when a file has to be held in memory. `EngineError` `INVALID_ARGUMENT` with one line.
   */
  static async open(
    engine: TransferEngine,
    files: readonly LocalFile[],
    log: (line: string) => void,
  ): Promise<FileContent> {
    const opened: OpenFile[] = [];
    const content = new FileContent(engine, opened);
    try {
      for (const file of files) opened.push(await openFile(file));
      for (const [i, file] of opened.entries()) {
        if (file.length > 0) content.#lent.set(i, await lend(engine, file, log));
      }
      return content;
    } catch (error) {
      await content.close();
      throw error;
    }
  }

  get addresses(): readonly bigint[] {
    return [...this.#lent.values()].map(({ memory }) => memory.address);
  }

  mayHave(file: number): boolean {
    return !this.#files[file].isNew;
  }

  async read({ file, offset, length }: Piece, target: Uint8Array): Promise<void> {
    const { handle, path } = this.#files[file];
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle.read(target, done, length - done, offset + done);
      if (bytesRead === 0) throw cannot("read", path, `it ends at ${offset + done}`);
      done += bytesRead;
    }
  }

  async write({ file, offset }: Piece, bytes: Uint8Array): Promise<void> {
    const { handle, partPath = "" } = this.#files[file];
    try {
      for (let done = 0; done < bytes.length;) {
        const left = bytes.length - done;
        done += (await handle.write(bytes, done, left, offset + done)).bytesWritten;
      }
    } catch (cause) {
      throw cannot("write", partPath, errorText(cause), cause);
    }
    this.#lent.get(file)?.copy?.set(bytes, offset);
  }

  async finish(): Promise<void> {
    for (const { handle, path, partPath } of this.#files) {
      if (partPath === undefined) continue;
      try {
        await handle.sync();
        await rename(partPath, path);
      } catch (cause) {
        throw cannot("finish", path, errorText(cause), cause);
      }
    }
  }

  async changed(): Promise<string | null> {
    for (const { path, partPath, length, mtimeMs } of this.#files) {
      if (partPath !== undefined) continue;
      const now = await stat(path).catch(() => null);
      if (now === null) return `${path} is not there any more`;
      if (now.size !== length || now.mtimeMs !== mtimeMs) return `${path} was changed`;
    }
    return null;
  }

  async close(): Promise<void> {
    const lent = [...this.#lent.values()];
    const memory = lent.map(({ memory }) => memory);
    await this.#engine.unregisterMemoryBatch(memory).catch(() => {});
    for (const one of lent) one.unmap();
    for (const { handle } of this.#files) await handle.close().catch(() => {});
  }
}

async function openFile(file: LocalFile): Promise<OpenFile> {
  const { path, partPath, length } = file;
  try {
    if (partPath === undefined) {
      const handle = await open(path, "r");
      return { ...file, handle, mtimeMs: (await handle.stat()).mtimeMs, isNew: false };
    }
    // What an earlier try has left is looked at, and kept where it is right.
    const old = await open(partPath, "r+").catch(() => null);
    const handle = old ?? await open(partPath, "w+");
    await handle.truncate(length);
    return { ...file, handle, mtimeMs: 0, isNew: old === null };
  } catch (cause) {
    throw cannot("open", partPath ?? path, errorText(cause), cause);
  }
}

/** Maps a file for peers; where that cannot be had, they get a copy of it in memory. */
async function lend(
  engine: TransferEngine,
  { path, partPath, length, handle }: OpenFile,
  log: (line: string) => void,
): Promise<Lent> {
  let why: string;
  try {
    const view = openFileView(partPath ?? path, length);
    try {
      const memory = await engine.registerMemory({ address: view.address, length });
      return { memory, copy: null, unmap: () => view[Symbol.dispose]() };
    } catch (error) {
      view[Symbol.dispose]();
      throw error;
    }
  } catch (error) {
    why = errorText(error);
  }
  log(`${path} is held in memory, ${length} bytes: ${why}`);
  const memory = await engine.registerMemory(length);
  for (let at = 0; at < length;) {
    const { bytesRead } = await handle.read(memory.bytes, at, Math.min(length - at, 1 << 24), at);
    if (bytesRead === 0) throw cannot("read", path, `it ends at ${at}`);
    at += bytesRead;
  }
  return { memory, copy: memory.bytes, unmap: () => {} };
}

function cannot(what: string, path: string, why: string, cause?: unknown): EngineError {
  const message = `Cannot ${what} ${path}: ${why}`;
  return new EngineError(EngineCode.INVALID_ARGUMENT, message, { cause });
}
