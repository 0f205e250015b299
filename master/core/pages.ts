/** Where tables get the memory that they grow by. */
export interface PageSource {
  /** `bytes` of zeros, for as long as the process lives. */
  take(bytes: number): ArrayBuffer;
}

/** Memory of the engine's own. */
export const ordinaryPages: PageSource = { take: (bytes) => new ArrayBuffer(bytes) };
