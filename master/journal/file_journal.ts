import { type BackgroundSync, RuntimeSync, type SyncedFile } from "./background_sync.ts";
import { syncDirectory, tailPath } from "./files.ts";
import { FILE_HEADER_BYTES, fileHeader, FileKind, sealGroup } from "./group_format.ts";
import { type Journal, JournalError } from "./journal.ts";

/** Bytes after which a new tail segment is begun. */
const SEGMENT_BYTES = 64 << 20;
/** Bytes that may wait for the disk before {@linkcode FileJournal.append} waits, too. */
const UNSYNCED_LIMIT = 64 << 20;
/** Retired segments that a sync in the background takes on at once; a syncer has a limit, too. */
const MOST_RETIRED_A_ROUND = 8;
/** What the tail may grow to beyond the size of the last checkpoint. */
const TAIL_LIMIT = 4 * 2 ** 30;

/** A file of the tail that is still open. */
interface Segment {
  readonly file: Deno.FsFile;
  /** The same file for {@linkcode Journal.beginSync}: an operation keeps a handle busy. */
  readonly synced: SyncedFile;
  readonly firstSequence: number;
  bytes: number;
}

/** A sealed segment that no checkpoint holds yet. */
interface SealedSegment {
  readonly lastSequence: number;
  readonly bytes: number;
}

/** What a sync in the background brings to the disk. */
interface Round {
  readonly sequence: number;
  readonly bytes: number;
  /** Retired segments among its files. */
  readonly retired: number;
}

export interface FileJournalOptions {
  /** An existing directory that nobody else uses. */
  directory: string;
  /** Number of the first group that will be appended. */
  nextSequence: number;
  /** Bytes of older tail segments that no checkpoint holds yet. */
  olderBytes?: number;
  /** Bytes of the newest checkpoint. */
  checkpointBytes?: number;
  segmentBytes?: number;
  unsyncedLimit?: number;
  tailLimit?: number;
  /** Default: the runtime's own. It outlives the journal. */
  sync?: BackgroundSync;
}

/** The journal as files: append-only segments, each begun by the sequence number of its first group. */
export class FileJournal implements Journal {
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #unsyncedLimit: number;
  readonly #tailLimit: number;
  readonly #sync: BackgroundSync;
  readonly #sealed: SealedSegment[] = [];
  /** Sealed segments that may not be on the disk yet. */
  readonly #retired: Segment[] = [];
  #current: Segment;
  #sealedBytes = 0;
  #checkpointBytes: number;
  #sequence: number;
  #synced: number;
  /** Bytes appended after the beginning of the last sync that succeeded. */
  #unsynced = 0;
  #round: Round | null = null;
  /** The file ends with a part of a group that could not be written. */
  #torn = false;
  /** Why what has been appended may not survive, until a checkpoint holds it. */
  #lost: string | null = null;
  #closed = false;

  /** Begins a new segment. Throws a `JournalError` when it cannot. */
  constructor(options: FileJournalOptions) {
    this.#directory = options.directory;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#unsyncedLimit = options.unsyncedLimit ?? UNSYNCED_LIMIT;
    this.#tailLimit = options.tailLimit ?? TAIL_LIMIT;
    this.#sync = options.sync ?? new RuntimeSync();
    this.#checkpointBytes = options.checkpointBytes ?? 0;
    this.#sequence = this.#synced = options.nextSequence - 1;
    try {
      this.#current = this.#open(options.nextSequence);
    } catch (error) {
      throw journalError("cannot begin a file", error);
    }
    const olderBytes = options.olderBytes ?? 0;
    if (olderBytes > 0) this.#sealed.push({ lastSequence: this.#sequence, bytes: olderBytes });
    this.#sealedBytes = olderBytes;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get syncedSequence(): number {
    this.#endRound();
    return this.#synced;
  }

  get tailBytes(): number {
    return this.#sealedBytes + this.#current.bytes;
  }

  get needsCheckpoint(): boolean {
    return this.#lost !== null;
  }

  append(group: Uint8Array): void {
    this.#endRound();
    if (this.#lost !== null) throw new JournalError(this.#lost);
    if (this.tailBytes + group.length > this.#tailLimit + this.#checkpointBytes) {
      throw new JournalError(
        `the journal has grown to ${this.tailBytes} bytes without a checkpoint`,
      );
    }
    this.#repair();
    if (this.#current.bytes >= this.#segmentBytes) this.seal();
    const current = this.#current;
    const sequence = this.#sequence + 1;
    try {
      if (current.synced.append !== undefined) current.synced.append(group, sequence);
      else this.#write(group, sequence);
    } catch (error) {
      throw journalError("cannot write", error);
    }
    current.bytes += group.length;
    this.#unsynced += group.length;
    this.#sequence = sequence;
    if (this.#unsynced > this.#unsyncedLimit) this.sync();
  }

  sync(): void {
    this.#endRound();
    if (this.#lost !== null) throw new JournalError(this.#lost);
    try {
      for (const { file } of this.#retired) file.syncDataSync();
      this.#current.file.syncDataSync();
    } catch (error) {
      throw this.#lose(error);
    }
    this.#noteSynced(this.#sequence, this.#unsynced);
    if (this.#round === null) this.#release(this.#retired.length);
  }

  beginSync(): void {
    this.#endRound();
    if (this.#round !== null || this.#unsynced === 0 || this.#lost !== null || this.#closed) return;
    const retired = Math.min(this.#retired.length, MOST_RETIRED_A_ROUND);
    const files = this.#retired.slice(0, retired);
    const whole = retired === this.#retired.length;
    if (whole) files.push(this.#current);
    try {
      this.#sync.begin(files.map(({ synced }) => synced));
    } catch (error) {
      this.#lose(error);
      return;
    }
    const sequence = whole ? this.#sequence : this.#retired[retired].firstSequence - 1;
    this.#round = { sequence, bytes: whole ? this.#unsynced : 0, retired };
  }

  seal(): number {
    if (this.#current.firstSequence > this.#sequence) return this.#sequence;
    const retired = this.#current;
    try {
      this.#current = this.#open(this.#sequence + 1);
    } catch (error) {
      throw journalError("cannot begin a file", error);
    }
    this.#retired.push(retired);
    this.#sealed.push({ lastSequence: this.#sequence, bytes: retired.bytes });
    this.#sealedBytes += retired.bytes;
    return this.#sequence;
  }

  noteCheckpoint(sequence: number, bytes: number): void {
    while (this.#sealed.length > 0 && this.#sealed[0].lastSequence <= sequence) {
      this.#sealedBytes -= this.#sealed.shift()!.bytes;
    }
    this.#checkpointBytes = bytes;
    if (this.#lost === null || sequence < this.#sequence) return;
    this.#lost = null;
    this.#noteSynced(sequence, this.#unsynced);
    if (this.#round === null) this.#release(this.#retired.length);
  }

  /** Everything appended survives when this returns, unless the disk fails. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#lost === null) this.sync();
    } finally {
      this.#sync.wait();
      this.#retired.push(this.#current);
      this.#release(this.#retired.length);
    }
  }

  /** Takes note of a sync in the background that is over. */
  #endRound(): void {
    if (this.#round === null) return;
    const outcome = this.#sync.outcome();
    if (outcome === undefined) return;
    const { sequence, bytes, retired } = this.#round;
    this.#round = null;
    if (this.#closed) return;
    if (outcome !== null) {
      this.#lose(outcome);
      return;
    }
    this.#noteSynced(sequence, bytes);
    this.#release(retired);
  }

  #noteSynced(sequence: number, bytes: number): void {
    if (sequence <= this.#synced) return;
    this.#synced = sequence;
    this.#unsynced = Math.max(0, this.#unsynced - bytes);
  }

  /** Closes the first retired segments, which are on the disk. */
  #release(count: number): void {
    for (const { file, synced } of this.#retired.splice(0, count)) {
      file.close();
      synced.close();
    }
  }

  /** After a failed sync nobody knows what is on the disk; a checkpoint puts an end to that. */
  #lose(error: unknown): JournalError {
    const lost = journalError("cannot bring the journal to the disk", error);
    this.#lost = lost.message;
    return lost;
  }

  #write(group: Uint8Array, sequence: number): void {
    sealGroup(group, sequence);
    this.#torn = true;
    const { file } = this.#current;
    for (let at = 0; at < group.length;) at += file.writeSync(group.subarray(at));
    this.#torn = false;
  }

  #repair(): void {
    if (!this.#torn) return;
    const { file, bytes } = this.#current;
    try {
      file.truncateSync(bytes);
      file.seekSync(bytes, Deno.SeekMode.Start);
    } catch (error) {
      throw journalError("cannot take back half a group", error);
    }
    this.#torn = false;
  }

  #open(firstSequence: number): Segment {
    const path = tailPath(this.#directory, firstSequence);
    const file = Deno.openSync(path, { write: true, create: true, truncate: true });
    try {
      const header = fileHeader(FileKind.TAIL, firstSequence);
      for (let at = 0; at < header.length;) at += file.writeSync(header.subarray(at));
      syncDirectory(this.#directory);
      const synced = this.#sync.open(path, this.#segmentBytes);
      return { file, synced, firstSequence, bytes: FILE_HEADER_BYTES };
    } catch (error) {
      file.close();
      throw error;
    }
  }
}

function journalError(what: string, error: unknown): JournalError {
  const reason = error instanceof Error ? error.message : String(error);
  return new JournalError(`${what}: ${reason}`, { cause: error });
}
