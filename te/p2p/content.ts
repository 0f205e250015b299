import type { Piece } from "./manifest.ts";

/** The bytes of a name as one process has them, maybe not all yet. */
export interface Content {
  /** Where peers reach the first byte of each file that has bytes, in their order. */
  readonly addresses: readonly bigint[];
  /** Whether there may be pieces of a file from before. */
  mayHave(file: number): boolean;
  /** Reads a piece into the start of `target`. */
  read(piece: Piece, target: Uint8Array): Promise<void>;
  /** Stores a piece that is right, so that peers can have it. `Error` when it cannot be stored. */
  write(piece: Piece, bytes: Uint8Array): Promise<void>;
  /** Makes files what they are to be in the end. */
  finish(): Promise<void>;
  /** Why what is there cannot be what it was any more, in one line; `null` = nothing is known. */
  changed(): Promise<string | null>;
  /** Takes the memory back from peers and gives what it took up. Never rejects. */
  close(): Promise<void>;
}
