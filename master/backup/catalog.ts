/** The snapshots of one place: publishing, listing, fetching and forgetting them. */
import {
  decodeManifest,
  encodeManifest,
  fileSum,
  type Manifest,
  MANIFEST_LIMIT,
  MANIFEST_NAME,
  snapshotId,
  snapshotTime,
} from "./manifest.ts";
import { type ObjectStore, ObjectStoreError, type TransferListener } from "./object_store.ts";

/** What a stopped writer has left is nobody's after this time. */
const UNFINISHED_MS = 3_600_000;

/** What is to become a snapshot. */
export interface SnapshotDraft extends Omit<Manifest, "id" | "createdAt" | "files"> {
  /** The files of this machine that it consists of, by the names they get. */
  readonly files: Readonly<Record<string, string>>;
}

/** A snapshot as the place has it: its manifest, or what is wrong with it. */
export type Listed = { id: string; manifest: Manifest } | { id: string; trouble: string };

/** Told about the progress of one snapshot: bytes so far, and in all. */
export type ProgressListener = (bytes: number, total: number) => void;

/** Owns a store. */
export class SnapshotCatalog implements Disposable {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  get location(): string {
    return this.#store.location;
  }

  /** Everything that has a manifest, newest first. */
  async list(): Promise<Listed[]> {
    const ids = [];
    for (const { name } of await this.#store.list()) {
      const [id, file] = name.split("/");
      if (file === MANIFEST_NAME && snapshotTime(id) !== null) ids.push(id);
    }
    const listed: Listed[] = [];
    for (const id of ids.sort().reverse()) listed.push(await this.#describe(id));
    return listed;
  }

  /**
   * Brings a draft to the place; it counts from the moment its manifest is there. `nowMs` is Unix
   * time; a snapshot is always newer than those before it, whatever the clock says.
   */
  async publish(
    draft: SnapshotDraft,
    nowMs: number,
    onProgress: ProgressListener,
  ): Promise<Manifest> {
    const newest = (await this.#store.list()).reduce(
      (latest, { name }) => Math.max(latest, snapshotTime(name.split("/")[0]) ?? 0),
      0,
    );
    const timeMs = Math.max(nowMs, newest + 1);
    const id = snapshotId(timeMs);
    const { files: paths, ...rest } = draft;
    const files = [];
    for (const [name, path] of Object.entries(paths)) {
      files.push({ name, ...await fileSum(path) });
    }
    const manifest = { id, ...rest, createdAt: new Date(timeMs).toISOString(), files };
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    let before = 0;
    try {
      for (const { name, bytes } of files) {
        const onBytes = (done: number) => onProgress(before + done, total);
        await this.#store.upload(`${id}/${name}`, paths[name], onBytes);
        before += bytes;
      }
      await this.#store.write(`${id}/${MANIFEST_NAME}`, encodeManifest(manifest));
    } catch (error) {
      const names = [MANIFEST_NAME, ...files.map(({ name }) => name)].map((name) =>
        `${id}/${name}`
      );
      await this.#store.remove(names).catch(() => {}); // the place may be out of reach
      throw error;
    }
    return manifest;
  }

  /** Removes all but the newest `keep` snapshots, and what writers that stopped long ago left. */
  async prune(keep: number, nowMs: number): Promise<void> {
    const names = new Map<string, string[]>();
    for (const { name } of await this.#store.list()) {
      const [id] = name.split("/");
      if (snapshotTime(id) === null) continue;
      names.set(id, [...names.get(id) ?? [], name]);
    }
    const manifestOf = (id: string) => `${id}/${MANIFEST_NAME}`;
    const whole = Array.from(names.keys()).filter((id) => names.get(id)!.includes(manifestOf(id)));
    const kept = new Set(whole.sort().reverse().slice(0, keep));
    for (const [id, files] of names) {
      const started = files.includes(manifestOf(id)) || snapshotTime(id)! < nowMs - UNFINISHED_MS;
      if (kept.has(id) || !started) continue;
      const rest = files.filter((name) => name !== manifestOf(id));
      await this.#store.remove([manifestOf(id)]);
      await this.#store.remove(rest);
    }
    await this.#store.removeUnfinished(nowMs - UNFINISHED_MS);
  }

  /**
   * Writes a file of a snapshot to `path` and checks it. Throws an {@linkcode ObjectStoreError}, also
   * when the bytes are not those that were written; nothing is left at `path` then.
   */
  async fetch(
    manifest: Manifest,
    name: string,
    path: string,
    onProgress: TransferListener = () => {},
  ): Promise<void> {
    const file = manifest.files.find((file) => file.name === name)!;
    try {
      await this.#store.download(`${manifest.id}/${name}`, path, onProgress);
      const { bytes, crc32c } = await fileSum(path);
      if (bytes !== file.bytes || crc32c !== file.crc32c) {
        throw new ObjectStoreError(`${this.location}: ${manifest.id}/${name} is damaged`);
      }
    } catch (error) {
      await Deno.remove(path).catch(() => {}); // it may never have been there
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#store.close();
  }

  async #describe(id: string): Promise<Listed> {
    let bytes: Uint8Array | null;
    try {
      bytes = await this.#store.read(`${id}/${MANIFEST_NAME}`, MANIFEST_LIMIT);
    } catch (error) {
      if (!(error instanceof ObjectStoreError)) throw error;
      return { id, trouble: error.message };
    }
    if (bytes === null) return { id, trouble: "it was removed" };
    const manifest = decodeManifest(bytes, id);
    return typeof manifest === "string" ? { id, trouble: manifest } : { id, manifest };
  }
}
