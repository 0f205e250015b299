/**
 * The bytes of a block, computed from its id, so that every byte read back can be checked.
 */

/** Fills `target` with the content of block `id`. `target.length` is a multiple of 4. */
export function fillBlock(id: number, target: Uint32Array): void {
  let state = (Math.imul(id ^ 0x9e3779b9, 0x85ebca6b) ^ (id / 0x1_0000_0000)) | 1;
  for (let i = 0; i < target.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    target[i] = state;
  }
}

/** Number of 32-bit words of `actual` that are not the content of block `id`. */
export function countWrong(id: number, actual: Uint32Array): number {
  let state = (Math.imul(id ^ 0x9e3779b9, 0x85ebca6b) ^ (id / 0x1_0000_0000)) | 1;
  let wrong = 0;
  for (let i = 0; i < actual.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    if (actual[i] !== state >>> 0) wrong++;
  }
  return wrong;
}
