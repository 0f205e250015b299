import assert from "node:assert/strict";
import { crc32c } from "./crc32c.ts";
import { crcOf, objectChecksum } from "./object_checksum.ts";

Deno.test("CRC-32C meets the published sum and goes on from a part", () => {
  const bytes = new TextEncoder().encode("..123456789..");
  assert.equal(crc32c(bytes, 2, 11), 0xe3069283);
  assert.equal(crc32c(bytes, 6, 11, crc32c(bytes, 2, 6)), 0xe3069283);
  assert.equal(crc32c(bytes, 3, 3, 17), 17);
});

Deno.test("a checksum of ours gives its CRC back, those of others give none", () => {
  for (const crc of [0, 1, 0x8000_0000, 0xffff_ffff]) assert.equal(crcOf(objectChecksum(crc)), crc);
  assert.equal(objectChecksum(0xe306_9283), 0x5357_4331_e306_9283n);
  for (const other of [null, 0n, 0xe306_9283n, 2n ** 64n - 1n]) assert.equal(crcOf(other), -1);
});
