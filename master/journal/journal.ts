/** What a reply waits for. */
export const Durability = {
  /** The change is on the disk. */
  FSYNC: "fsync",
  /** The change is with the operating system, which has it on the disk a few milliseconds later. */
  BATCH: "batch",
  /** Nothing: metadata is gone with the process. */
  NONE: "none",
} as const;
export type Durability = (typeof Durability)[keyof typeof Durability];

/** A group could not be kept; nothing of it is in the journal. `message` says what the system said. */
export class JournalError extends Error {
  override readonly name = "JournalError";
}

/** Keeps groups of facts, in order. One thread uses it. */
export interface Journal {
  /** Number of the last group, 0 before the first. */
  readonly sequence: number;
  /** Number of the last group that survives a loss of power. */
  readonly syncedSequence: number;
  /** Bytes that a recovery has to read beyond the last checkpoint. */
  readonly tailBytes: number;
  /** Whether nothing can be appended before a checkpoint holds what has been. */
  readonly needsCheckpoint: boolean;
  /**
   * Keeps a group, whose first `GROUP_HEADER_BYTES` are room for the journal: a killed process does
   * not lose it after this call. Throws a {@linkcode JournalError} when it cannot be kept.
   */
  append(group: Uint8Array): void;
  /** Waits until every group survives a loss of power. Throws a {@linkcode JournalError}. */
  sync(): void;
  /** Begins what {@linkcode Journal.sync} waits for, unless it is going on. Never throws. */
  beginSync(): void;
  /** Ends the present file, so that everything up to the returned group can be folded together. */
  seal(): number;
  /** Notes that a checkpoint holds every group up to `sequence`. */
  noteCheckpoint(sequence: number, bytes: number): void;
  close(): void;
}
