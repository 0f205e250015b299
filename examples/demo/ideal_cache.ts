import type { Request } from "./request.ts";

/** Block references of a workload and how many of them a cache would have served. */
export interface IdealResult {
  blocks: number;
  hits: number;
}

/**
 * Longest-prefix hits of one LRU cache of `capacity` blocks (`Infinity` = never full) that sees the
 * requests in order. The blocks of a request are touched last block first, so that a prefix never
 * outlives its beginning.
 */
export function idealHits(requests: readonly Request[], capacity: number): IdealResult {
  const cache = new Set<number>(); // insertion order is recency
  let blocks = 0;
  let hits = 0;
  for (const request of requests) {
    blocks += request.blocks.length;
    const miss = request.blocks.findIndex((block) => !cache.has(block));
    hits += miss < 0 ? request.blocks.length : miss;
    for (let i = request.blocks.length - 1; i >= 0; i--) {
      cache.delete(request.blocks[i]);
      cache.add(request.blocks[i]);
    }
    for (const oldest of cache) {
      if (cache.size <= capacity) break;
      cache.delete(oldest);
    }
  }
  return { blocks, hits };
}
