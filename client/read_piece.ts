import type { Slice } from "./memory.ts";

/** Part of an object and where it goes. */
export interface ReadPiece extends Slice {
  /** Bytes from the start of the object. */
  readonly offset: number;
}
