/**
 * Requests as a prefix cache sees them: a list of block ids, where an equal id means an equal whole
 * prefix up to that block.
 */

/** Tokens that one block holds; the traces and the generator use the same. */
export const BLOCK_TOKENS = 512;

export interface Request {
  /** Ids of the prompt's blocks, first block first. */
  blocks: number[];
}

/**
 * Reads a JSONL request trace (`{"timestamp", "input_length", "output_length", "hash_ids"}` a line,
 * the format of the public Mooncake traces). `RangeError` with the line number for a line without ids.
 */
export function parseTrace(text: string): Request[] {
  const requests: Request[] = [];
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    const blocks = readBlocks(line);
    if (blocks === null) {
      throw new RangeError(
        `Cannot read line ${i + 1} of the trace: it has no "hash_ids" list of integers`,
      );
    }
    if (blocks.length > 0) requests.push({ blocks });
  });
  return requests;
}

function readBlocks(line: string): number[] | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("hash_ids" in value)) return null;
  const ids = value.hash_ids;
  return Array.isArray(ids) && ids.every(Number.isSafeInteger) ? ids : null;
}

/** Small deterministic generator of 32-bit numbers (xorshift). */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/**
 * Multi-turn conversations, interleaved: a shared system prompt, then each turn repeats the whole
 * conversation and adds to it. New conversations start as old ones end.
 */
export function generateRequests(count: number, seed = 42): Request[] {
  const next = random(seed);
  const systemPrompts = [blockRun(1, 4), blockRun(101, 6), blockRun(201, 2)];
  let nextBlock = 1000;
  const fresh = (blocks: number) => Array.from({ length: blocks }, () => nextBlock++);
  const start = () => ({
    history: [...systemPrompts[next() % systemPrompts.length], ...fresh(4 + next() % 28)],
    turns: 2 + next() % 7,
  });
  const open = Array.from({ length: 400 }, start);
  const requests: Request[] = [];
  while (requests.length < count) {
    const at = next() % open.length;
    const conversation = open[at];
    requests.push({ blocks: conversation.history });
    conversation.history = [...conversation.history, ...fresh(1 + next() % 4)];
    open.splice(at, 1);
    open.unshift(--conversation.turns > 0 ? conversation : start());
  }
  return requests;
}

function blockRun(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}
