import assert from "node:assert/strict";
import fc from "fast-check";
import { crc32c, crc32cCombine } from "./crc32c.ts";

Deno.test("the published sum is met", () => {
  assert.equal(crc32c(new TextEncoder().encode("123456789"), 0, 9), 0xe3069283);
});

Deno.test("sums of two parts come to that of both", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, at) => {
      const cut = Math.min(at, bytes.length);
      const first = crc32c(bytes, 0, cut);
      const second = crc32c(bytes, cut, bytes.length);
      const whole = crc32c(bytes, 0, bytes.length);
      assert.equal(crc32cCombine(first, second, bytes.length - cut), whole);
    }),
  );
});

Deno.test("a second part may be longer than 4 GiB", () => {
  // x^(2^31 - 1) is 1: the polynomial has a factor x + 1 and a primitive one of degree 31.
  const period = 2 ** 31 - 1;
  for (const length of [1, 4096, 2 ** 31]) {
    assert.equal(
      crc32cCombine(0x1234_5678, 0, length + 3 * period),
      crc32cCombine(0x1234_5678, 0, length),
    );
  }
});
