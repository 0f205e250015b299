import assert from "node:assert/strict";
import { nativeCrc32c } from "./crc32c.ts";
import { openLibrary } from "./library.ts";

const library = openLibrary();
const why = "unavailable" in library ? ` (skipped: ${library.unavailable})` : "";

Deno.test({
  name: `the shim's CRC-32C meets the published sum and goes on from a part${why}`,
  ignore: why !== "",
  fn() {
    if ("unavailable" in library) return;
    const crc32c = nativeCrc32c(library);
    const bytes = new TextEncoder().encode("..123456789..");
    assert.equal(crc32c(bytes, 2, 11), 0xe3069283);
    assert.equal(crc32c(bytes, 6, 11, crc32c(bytes, 2, 6)), 0xe3069283);
    assert.equal(crc32c(bytes, 3, 3, 17), 17);
  },
});
