/** Where snapshots lie: files under names, in a directory or in a bucket. */

/** A place cannot be used; `message` is one line that names the place and what it said. */
export class ObjectStoreError extends Error {
  override readonly name = "ObjectStoreError";
}

/** Something in a store. */
export interface StoredObject {
  /** Two parts with a slash between them. */
  readonly name: string;
  readonly bytes: number;
}

/** Told how many bytes of a transfer are over. */
export type TransferListener = (bytes: number) => void;

/**
 * Files under names of the form `snapshot/file`. Something is there whole or not at all, whenever its
 * writer stops. Every method rejects with an {@linkcode ObjectStoreError}.
 */
export interface ObjectStore {
  /** The place, as people write it: a path or `s3://bucket/prefix`. */
  readonly location: string;
  list(): Promise<StoredObject[]>;
  /** The first `limit` bytes under a name, `null` when there is nothing. */
  read(name: string, limit: number): Promise<Uint8Array | null>;
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Puts a file of this machine under a name. */
  upload(name: string, path: string, onProgress: TransferListener): Promise<void>;
  /** Writes what is under a name into a new file of this machine. */
  download(name: string, path: string, onProgress: TransferListener): Promise<void>;
  /** Names that are not there are passed over. */
  remove(names: readonly string[]): Promise<void>;
  /** Removes what writers that stopped in the middle have left before `untilMs` (Unix time). */
  removeUnfinished(untilMs: number): Promise<void>;
  close(): void;
}
