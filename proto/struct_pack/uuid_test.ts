import assert from "node:assert/strict";
import fc from "fast-check";
import { chosenSeed } from "../../tests/support/random.ts";
import { Reader } from "./reader.ts";
import { formatUuid, NIL_UUID, readUuid, writeUuid } from "./uuid.ts";
import { Writer } from "./writer.ts";

Deno.test("ids travel as two 64-bit halves and come back as the same text", () => {
  const half = fc.bigInt(0n, 0xffff_ffff_ffff_ffffn);
  fc.assert(
    fc.property(half, half, (first, second) => {
      const id = formatUuid(first, second);
      const writer = new Writer();
      writeUuid(writer, id);
      const reader = new Reader(writer.bytes);
      assert.equal(readUuid(reader), id);
      reader.reset(writer.bytes);
      assert.equal(reader.u64(), first);
      assert.equal(reader.u64(), second);
      reader.expectEnd();
    }),
    { seed: chosenSeed(), numRuns: 500 },
  );
});

Deno.test("the largest and the smallest id travel", () => {
  for (const id of [NIL_UUID, "18446744073709551615-18446744073709551615", "9007199254740992-1"]) {
    const writer = new Writer();
    writeUuid(writer, id);
    assert.equal(readUuid(new Reader(writer.bytes)), id);
  }
});

Deno.test("malformed ids are refused and leave nothing behind", () => {
  const writer = new Writer();
  const malformed = [
    "",
    "-",
    "1",
    "1-",
    "-1",
    "1-2-3",
    "01-2",
    "1-02",
    "1_2",
    "a-b",
    "1-2 ",
    "+1-2",
  ];
  for (const id of [...malformed, "18446744073709551616-0", "0-99999999999999999999999"]) {
    assert.throws(() => writeUuid(writer, id), RangeError, id);
    assert.equal(writer.length, 0);
  }
});
