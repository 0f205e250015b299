/** A file that rounds of a {@linkcode BackgroundSync} bring to the disk. */
export interface SyncedFile {
  /**
   * Seals a group and puts it behind what the file holds, for less than the runtime's own calls cost:
   * whole, or not at all when it throws. Until it is closed, zeros may follow.
   */
  append?(group: Uint8Array, sequence: number): void;
  close(): void;
}

/** Brings files to the disk while the thread goes on, one round at a time. */
export interface BackgroundSync<File extends SyncedFile = SyncedFile> {
  /** Whether a round only ends while the event loop has turns. */
  readonly needsTurns: boolean;
  /** Opens an existing file that is to hold about so many bytes. Throws when it cannot. */
  open(path: string, expectedBytes: number): File;
  /** Begins a round: what was written to the files before is on the disk when it is over. */
  begin(files: readonly File[]): void;
  /** How the last round ended: `null` = all is on the disk, `undefined` = it goes on. */
  outcome(): Error | null | undefined;
  /** Waits until no round uses a file any more. */
  wait(): void;
}

/** Rounds by the runtime's own asynchronous calls. */
export class RuntimeSync implements BackgroundSync<Deno.FsFile>, Disposable {
  readonly needsTurns = true;
  #outcome: Error | null | undefined = null;

  open(path: string): Deno.FsFile {
    return Deno.openSync(path, { write: true });
  }

  begin(files: readonly Deno.FsFile[]): void {
    this.#outcome = undefined;
    void this.#round(files);
  }

  outcome(): Error | null | undefined {
    return this.#outcome;
  }

  /** The runtime keeps a file open for the call that uses it. */
  wait(): void {}

  [Symbol.dispose](): void {}

  async #round(files: readonly Deno.FsFile[]): Promise<void> {
    try {
      for (const file of files) await file.syncData();
      this.#outcome = null;
    } catch (error) {
      this.#outcome = error instanceof Error ? error : new Error(String(error));
    }
  }
}
