import { syncDirectory } from "../journal/files.ts";
import {
  type ObjectStore,
  ObjectStoreError,
  type StoredObject,
  type TransferListener,
} from "./object_store.ts";

const CHUNK_BYTES = 4 << 20;
const PARTIAL = ".partial";

/** A directory with a folder for each snapshot. Files get their names when they are on the disk. */
export class DirectoryStore implements ObjectStore {
  constructor(readonly location: string) {}

  async list(): Promise<StoredObject[]> {
    const objects: StoredObject[] = [];
    await this.#walk((name, info) => {
      if (!name.endsWith(PARTIAL)) objects.push({ name, bytes: info.size });
    });
    return objects.sort((a, b) => a.name < b.name ? -1 : 1);
  }

  async read(name: string, limit: number): Promise<Uint8Array | null> {
    try {
      using file = await Deno.open(this.#path(name), { read: true });
      const bytes = new Uint8Array(Math.min(limit, (await file.stat()).size));
      let length = 0;
      while (length < bytes.length) {
        const count = await file.read(bytes.subarray(length));
        if (count === null) break;
        length += count;
      }
      return bytes.subarray(0, length);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw this.#failed(`cannot read ${name}`, error);
    }
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#create(name, async (file) => {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    });
  }

  async upload(name: string, path: string, onProgress: TransferListener): Promise<void> {
    await this.#create(name, async (file) => {
      using source = await Deno.open(path, { read: true });
      await copy(source, file, onProgress);
    });
  }

  async download(name: string, path: string, onProgress: TransferListener): Promise<void> {
    try {
      using source = await Deno.open(this.#path(name), { read: true });
      using file = await Deno.open(path, { write: true, createNew: true });
      await copy(source, file, onProgress);
    } catch (error) {
      throw this.#failed(`cannot read ${name}`, error);
    }
  }

  async remove(names: readonly string[]): Promise<void> {
    const folders = new Set(names.map((name) => name.slice(0, name.lastIndexOf("/"))));
    try {
      for (const name of names) await unlessMissing(Deno.remove(this.#path(name)));
    } catch (error) {
      throw this.#failed("cannot remove a snapshot", error);
    }
    for (const folder of folders) {
      await Deno.remove(`${this.location}/${folder}`).catch(() => {}); // others may have files there
    }
  }

  async removeUnfinished(untilMs: number): Promise<void> {
    const names: string[] = [];
    await this.#walk((name, info) => {
      const unfinished = name.endsWith(PARTIAL);
      if (unfinished && (info.mtime?.getTime() ?? 0) < untilMs) names.push(name);
    });
    await this.remove(names);
  }

  close(): void {}

  async #walk(each: (name: string, info: Deno.FileInfo) => void): Promise<void> {
    try {
      for await (const folder of Deno.readDir(this.location)) {
        if (!folder.isDirectory) continue;
        for await (const entry of Deno.readDir(`${this.location}/${folder.name}`)) {
          if (!entry.isFile) continue;
          const name = `${folder.name}/${entry.name}`;
          each(name, await Deno.stat(this.#path(name)));
        }
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw this.#failed("cannot be read", error);
    }
  }

  async #create(name: string, fill: (file: Deno.FsFile) => Promise<void>): Promise<void> {
    const path = this.#path(name);
    const folder = path.slice(0, path.lastIndexOf("/"));
    const partial = `${path}${PARTIAL}`;
    try {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      {
        const options = { write: true, create: true, truncate: true, mode: 0o600 };
        using file = await Deno.open(partial, options);
        await fill(file);
        await file.sync();
      }
      await Deno.rename(partial, path);
      syncDirectory(folder);
      syncDirectory(this.location);
    } catch (error) {
      await Deno.remove(partial).catch(() => {}); // the disk may be full or gone
      throw this.#failed(`cannot write ${name}`, error);
    }
  }

  #path(name: string): string {
    return `${this.location}/${name}`;
  }

  #failed(what: string, error: unknown): ObjectStoreError {
    const reason = error instanceof Error ? error.message : String(error);
    return new ObjectStoreError(`${this.location}: ${what}: ${reason}`, { cause: error });
  }
}

async function unlessMissing(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function copy(
  from: Deno.FsFile,
  to: Deno.FsFile,
  onProgress: TransferListener,
): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let done = 0;;) {
    const count = await from.read(chunk);
    if (count === null) return;
    for (let at = 0; at < count;) at += await to.write(chunk.subarray(at, count));
    done += count;
    onProgress(done);
  }
}
