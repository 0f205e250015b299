import type { StoreBuffer, StoreClient } from "../../mod.ts";
import { countWrong, fillBlock } from "./content.ts";
import type { Request } from "./request.ts";

/** Blocks that one call moves at most. */
const CHUNK_BLOCKS = 64;

/** What happened so far. Times are milliseconds, one per call of the store. */
export interface Tally {
  requests: number;
  blocks: number;
  hits: number;
  /** Blocks that were said to be there and could not be read; they count as misses. */
  lost: number;
  stored: number;
  /** Blocks that the store had no room for. */
  refused: number;
  wrongBytes: number;
  getMs: number[];
  putMs: number[];
}

export function newTally(): Tally {
  return {
    ...{ requests: 0, blocks: 0, hits: 0, lost: 0, stored: 0, refused: 0, wrongBytes: 0 },
    getMs: [],
    putMs: [],
  };
}

/**
 * Serves requests the way an engine with a prefix cache does: find the longest stored prefix, read
 * it and check every byte, compute the rest (here: from the block's id) and store it.
 */
export class Replay {
  readonly tally: Tally = newTally();
  readonly #store: StoreClient;
  readonly #blockBytes: number;
  readonly #words: Uint32Array;
  readonly #buffer: StoreBuffer;

  constructor(store: StoreClient, blockBytes: number) {
    this.#store = store;
    this.#blockBytes = blockBytes;
    this.#buffer = store.allocateBuffer(CHUNK_BLOCKS * blockBytes);
    const { buffer, byteOffset, length } = this.#buffer.bytes;
    this.#words = new Uint32Array(buffer, byteOffset, length / 4);
  }

  async run(request: Request): Promise<void> {
    const { tally } = this;
    const { blocks } = request;
    const prefix = await this.#storedPrefix(blocks);
    const read = await this.#read(blocks.slice(0, prefix));
    await this.#write(blocks.slice(read));
    tally.requests++;
    tally.blocks += blocks.length;
    tally.hits += read;
  }

  /** How many blocks from the first one on are stored. */
  async #storedPrefix(blocks: number[]): Promise<number> {
    // Last block first: the store then counts the beginning of a prefix as used most recently.
    const keys = blocks.map(keyOf).reverse();
    const found = await this.#store.batchIsExist(keys);
    let prefix = 0;
    while (prefix < blocks.length && found[blocks.length - 1 - prefix].value === true) prefix++;
    return prefix;
  }

  /** Reads and checks blocks; returns how many from the first one on were there. */
  async #read(blocks: number[]): Promise<number> {
    let whole = blocks.length;
    for (const { start, chunk } of chunksFromTheEnd(blocks)) {
      const items = chunk.map((block, i) => ({ key: keyOf(block), target: this.#slot(i) }));
      const before = performance.now();
      const results = await this.#store.batchGetInto(items.reverse());
      this.tally.getMs.push(performance.now() - before);
      results.reverse().forEach(({ code, value }, i) => {
        if (code !== 0 || value !== this.#blockBytes) {
          this.tally.lost++;
          whole = Math.min(whole, start + i);
        } else {
          this.tally.wrongBytes += 4 * countWrong(chunk[i], this.#slotWords(i));
        }
      });
    }
    return whole;
  }

  async #write(blocks: number[]): Promise<void> {
    for (const { chunk } of chunksFromTheEnd(blocks)) {
      chunk.forEach((block, i) => fillBlock(block, this.#slotWords(i)));
      const items = chunk.map((block, i) => ({ key: keyOf(block), value: this.#slot(i) }));
      const before = performance.now();
      const results = await this.#store.batchPut(items.reverse());
      this.tally.putMs.push(performance.now() - before);
      for (const { code } of results) code === 0 ? this.tally.stored++ : this.tally.refused++;
    }
  }

  #slot(i: number) {
    return this.#buffer.slice(i * this.#blockBytes, this.#blockBytes);
  }

  #slotWords(i: number): Uint32Array {
    const words = this.#blockBytes / 4;
    return this.#words.subarray(i * words, (i + 1) * words);
  }
}

function keyOf(block: number): string {
  return `demo/${block}`;
}

function* chunksFromTheEnd(blocks: number[]): Generator<{ start: number; chunk: number[] }> {
  for (let end = blocks.length; end > 0; end -= CHUNK_BLOCKS) {
    const start = Math.max(0, end - CHUNK_BLOCKS);
    yield { start, chunk: blocks.slice(start, end) };
  }
}
