import assert from "node:assert/strict";
import { HugePages } from "./huge_pages.ts";
import { openLibrary } from "./library.ts";

const library = openLibrary();
const why = "unavailable" in library ? ` (skipped: ${library.unavailable})` : "";
const ignore = why !== "";

Deno.test({
  name: `buffers are zeros of their own, however many are taken${why}`,
  ignore,
  fn() {
    if ("unavailable" in library) return;
    const pages = new HugePages(library);
    const sizes = [1 << 20, 1 << 20, 100, 5000, ...Array.from({ length: 300 }, () => 1 << 20)];
    const buffers = sizes.map((bytes) => new Uint8Array(pages.take(bytes)));
    for (const [i, bytes] of buffers.entries()) {
      assert.equal(bytes.length, sizes[i]);
      assert(bytes[0] === 0 && bytes[bytes.length - 1] === 0, `buffer ${i} is not zeros`);
      bytes[0] = i & 255 | 1;
      bytes[bytes.length - 1] = i & 255 | 2;
    }
    for (const [i, bytes] of buffers.entries()) {
      assert.equal(bytes[0], i & 255 | 1);
      assert.equal(bytes[bytes.length - 1], i & 255 | 2);
    }
  },
});

Deno.test("without room there is ordinary memory", () => {
  const none = { symbols: { mc_memory_reserve: () => null } };
  const pages = new HugePages(none as never);
  assert.equal(pages.take(1 << 20).byteLength, 1 << 20);
  assert.equal(pages.take(1 << 20).byteLength, 1 << 20);
});
