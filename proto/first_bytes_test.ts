import assert from "node:assert/strict";
import { WINDOW_SHIFT, WINDOWS } from "./address_window.ts";
import { firstBytes } from "./first_bytes.ts";
import { encodeHandshake, HandshakeType } from "./handshake.ts";
import type { JsonValue } from "./json_exact.ts";
import { TRANSFER_REQUEST_BYTES, writeTransferRequest } from "./transfer_tcp.ts";

const bodies: JsonValue[] = [
  {},
  { a: 1 },
  ["not", "an object"],
  { status: "success" },
  { name: "äöü", notify_msg: "" },
];

Deno.test("every handshake is told from its first bytes, and never taken for a request", () => {
  for (const type of Object.values(HandshakeType)) {
    for (const untyped of [false, true]) {
      for (const body of untyped ? [{}, { a: [1, 2, 3, 4] }] : bodies) {
        const frame = encodeHandshake({ type, untyped, body });
        assert.equal(firstBytes(frame, frame.length), "handshake", JSON.stringify(body));
        for (let length = 0; length < frame.length; length++) {
          assert.notEqual(firstBytes(frame, length), "request", `${length} of ${frame.length}`);
        }
      }
    }
  }
});

Deno.test("every request for memory of ours is told by its 16th byte, whatever its size", () => {
  const addresses = [2n ** 46n, 2n ** 49n - 1n, BigInt(WINDOWS) * 2n ** BigInt(WINDOW_SHIFT) - 1n];
  for (let low = 0; low < 256; low++) addresses.push(2n ** 47n + BigInt(low) + 0x7d7b00n);
  for (const address of addresses) {
    for (const size of [1, 2, 3, 4, 7, 8, 9, 100, 4096, 1 << 20, 2 ** 40]) {
      const header = new Uint8Array(TRANSFER_REQUEST_BYTES);
      const request = { opcode: 0 as const, version: 2 as const, address, size };
      writeTransferRequest(new DataView(header.buffer), 0, request);
      for (let length = 16; length <= header.length; length++) {
        assert.equal(firstBytes(header, length), "request", `${size} bytes at ${address}`);
      }
    }
  }
});

Deno.test("a short frame that is no object begins a request", () => {
  for (const text of ["\x00", "\x031", "\x02[]", "{a", "\x03{\x00}", "\x03{}."]) {
    const bytes = Uint8Array.from("\0".repeat(8) + text, (char) => char.charCodeAt(0));
    bytes[0] = text.length;
    assert.equal(firstBytes(bytes, bytes.length), "request", JSON.stringify(text));
  }
});

Deno.test("lengths that no handshake has begin a request", () => {
  for (const length of [0n, (64n << 20n) + 1n, 2n ** 63n]) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    assert.equal(firstBytes(bytes, 8), "request");
  }
});
