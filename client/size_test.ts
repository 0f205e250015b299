import assert from "node:assert/strict";
import { formatSize, parseSize } from "./size.ts";

Deno.test("a size is bytes, or a number with a unit in any case", () => {
  const sizes: [string | number, number][] = [
    [0, 0],
    [3355443200, 3355443200],
    ["0", 0],
    ["12", 12],
    ["12b", 12],
    ["1k", 1024],
    ["1KB", 1024],
    ["1kib", 1024],
    ["4 MB", 4 << 20],
    ["4mib", 4 << 20],
    ["16gb", 16 * 1024 ** 3],
    ["16 GiB", 16 * 1024 ** 3],
    ["1.5g", 1.5 * 1024 ** 3],
    [".5m", 1 << 19],
    ["1tb", 1024 ** 4],
    [" 2TiB ", 2 * 1024 ** 4],
    ["1.0001k", 1024],
  ];
  for (const [text, bytes] of sizes) assert.equal(parseSize("x", text), bytes, String(text));
});

Deno.test("what is not a size is refused with the name, the value and what is allowed", () => {
  const wrong = ["", " ", "-1", "-1gb", "12xb", "gb", "1.2.3k", "1e9", "0x10", "constructor"];
  for (const text of [...wrong, "99999999999tb", -1, 1.5, NaN, Infinity, true, null, []]) {
    assert.throws(() => parseSize("MOONCAKE_GLOBAL_SEGMENT_SIZE", text), (error) => {
      assert(error instanceof RangeError);
      assert.match(
        error.message,
        /^MOONCAKE_GLOBAL_SEGMENT_SIZE=.* is not a size; allowed: .*16gb/,
      );
      assert(error.message.includes(JSON.stringify(text)));
      return true;
    });
  }
});

Deno.test("a size is printed in the largest unit that it fills", () => {
  assert.equal(formatSize(0), "0 bytes");
  assert.equal(formatSize(1023), "1023 bytes");
  assert.equal(formatSize(1 << 20), "1.00 MiB");
  assert.equal(formatSize(3355443200), "3.13 GiB");
  assert.equal(formatSize(5000 * 1024 ** 4), "5000.00 TiB");
});
