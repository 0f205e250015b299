import assert from "node:assert/strict";
import { Writer } from "../struct_pack/writer.ts";
import { appendWriteId, readWriteId, WRITE_ID_BYTES } from "./write_id.ts";

Deno.test("every number of a write is read as it was written, wherever it lies", () => {
  for (const writeId of [1, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 3, 2 ** 53 - 1]) {
    const writer = new Writer();
    writer.raw(Uint8Array.of(7, 7, 7));
    appendWriteId(writer, writeId);
    assert.equal(writer.length, 3 + WRITE_ID_BYTES);
    assert.equal(readWriteId(writer.bytes, 3, writer.length), writeId);
  }
});

Deno.test("other attachments are no numbers of writes", () => {
  const bytes = new Uint8Array(16);
  assert.equal(readWriteId(bytes, 0, 8), -1, "zero");
  bytes[0] = 1;
  assert.equal(readWriteId(bytes, 0, 8), 1);
  for (const end of [1, 4, 7, 9, 16]) assert.equal(readWriteId(bytes, 0, end), -1, `${end} bytes`);
  bytes[6] = 0x20;
  assert.equal(readWriteId(bytes, 0, 8), -1, "2^53 + 1");
});
