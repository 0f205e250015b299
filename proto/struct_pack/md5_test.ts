import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { md5, md5Head } from "./md5.ts";

Deno.test("md5 agrees with the system's for every length around the block size", () => {
  for (let length = 0; length < 200; length++) {
    const message = Uint8Array.from({ length }, (_, i) => i * 7 + length);
    const expected = createHash("md5").update(message).digest();
    assert.deepEqual(md5(message), new Uint8Array(expected), `length ${length}`);
    assert.equal(md5Head(message), expected.readUInt32BE(0));
  }
});
