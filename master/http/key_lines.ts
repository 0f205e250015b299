/** All keys as lines, read page by page so that memory does not grow with their number. */
import type { AdminBackend, KeyPage } from "./backend.ts";

const PAGE_KEYS = 4096;
const PAGE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/**
 * The keys of a tenant (`null` = of all), each followed by a newline: one piece when they fit a page, else a stream. A failure
 * before the first page rejects; a later one breaks the stream off, so that no reader takes a part
 * for the whole.
 */
export async function keyLines(
  backend: AdminBackend,
  tenant: string | null,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  const following = (cursor: number) => backend.listKeys(cursor, PAGE_KEYS, PAGE_BYTES, tenant);
  let page = await following(0);
  if (page.next === null) return linesOf(page);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (page.ends.length === 0 && page.next !== null) page = await following(page.next);
      if (page.ends.length > 0) controller.enqueue(linesOf(page));
      if (page.next === null) controller.close();
      else page = await following(page.next);
    },
  }, { highWaterMark: 1 });
}

function linesOf({ bytes, ends }: KeyPage): Uint8Array<ArrayBuffer> {
  const lines = new Uint8Array(bytes.length + ends.length);
  let start = 0;
  for (let i = 0; i < ends.length; i++) {
    lines.set(bytes.subarray(start, ends[i]), start + i);
    start = ends[i];
    lines[start + i] = NEWLINE;
  }
  return lines;
}
