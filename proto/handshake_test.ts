import assert from "node:assert/strict";
import { chosenSeed, Random } from "../tests/support/random.ts";
import { ProtocolError } from "./error.ts";
import {
  EMPTY_CONNECTION,
  encodeHandshake,
  HandshakeDecoder,
  type HandshakeFrame,
  HandshakeType,
  notificationJson,
  NOTIFY_REPLY,
  parseNotification,
  PROBE_REPLY,
  TlsExpectedError,
} from "./handshake.ts";
import { stringifyJsonExact } from "./json_exact.ts";

/** Replies of the reference wheel to requests of each type. */
const GOLDEN: [string, HandshakeType, unknown][] = [
  [
    'o\0\0\0\0\0\0\0\x00{"local_gid":"","local_lid":0,"local_nic_path":"","payload":"",' +
    '"peer_nic_path":"","qp_num":[],"reply_msg":""}\n',
    HandshakeType.CONNECTION,
    EMPTY_CONNECTION,
  ],
  ["\x06\0\0\0\0\0\0\0\x01null\n", HandshakeType.METADATA, null],
  [
    '$\0\0\0\0\0\0\0\x02{"name":"","notify_msg":"success"}\n',
    HandshakeType.NOTIFY,
    NOTIFY_REPLY,
  ],
  ['\x16\0\0\0\0\0\0\0\x03{"status":"success"}\n', HandshakeType.PROBE, PROBE_REPLY],
];

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function feedAll(bytes: Uint8Array, step: number, decoder = new HandshakeDecoder()) {
  for (let at = 0; at < bytes.length; at += step) {
    const frame = decoder.feed(bytes.subarray(at, at + step));
    if (frame) return frame;
  }
  return null;
}

Deno.test("the reference's replies decode, whole and byte by byte", () => {
  for (const [text, type, body] of GOLDEN) {
    for (const step of [1, 3, 1000]) {
      const frame = feedAll(bytesOf(text), step);
      assert.ok(frame);
      assert.equal(frame.type, type);
      assert.equal(frame.untyped, false);
      assert.equal(stringifyJsonExact(frame.body), stringifyJsonExact(body as null));
      const again = bytesOf(text.slice(0, -1));
      again[0] -= 1;
      assert.deepEqual(encodeHandshake(frame), again);
    }
  }
});

Deno.test("a frame without a type byte is a connection and is answered in kind", () => {
  const sent = encodeHandshake({ type: HandshakeType.CONNECTION, untyped: true, body: { a: 1 } });
  assert.equal(sent[8], "{".charCodeAt(0));
  const frame = feedAll(sent, 5);
  assert.equal(frame?.type, HandshakeType.CONNECTION);
  assert.equal(frame.untyped, true);
});

Deno.test("the limit is exact in both directions", () => {
  const decoder = () => new HandshakeDecoder(64);
  const fits = encodeHandshake(
    { type: HandshakeType.PROBE, untyped: false, body: "x".repeat(61) },
    64,
  );
  assert.equal(fits.length, 72);
  assert.ok(feedAll(fits, 7, decoder()));
  fits[0] = 65;
  assert.throws(() => feedAll(fits, 7, decoder()), ProtocolError);
  fits[0] = 1;
  fits[4] = 1;
  assert.throws(() => feedAll(fits, 7, decoder()), ProtocolError);
  assert.throws(() => feedAll(new Uint8Array(8), 8, decoder()), ProtocolError);
  assert.throws(
    () => encodeHandshake({ type: HandshakeType.PROBE, untyped: false, body: "x".repeat(62) }, 64),
    RangeError,
  );
});

Deno.test("a notification that is no object is refused instead of trusted", () => {
  const message = { name: "n", message: "hello" };
  assert.deepEqual(parseNotification(notificationJson(message)), message);
  assert.deepEqual(parseNotification({}), { name: "", message: "" });
  for (const body of [null, [], "x", 7, { name: 1 }, { notify_msg: [] }]) {
    assert.throws(() => parseNotification(body), ProtocolError);
  }
});

Deno.test("an alert of TLS is told from every length", () => {
  const alert = Uint8Array.of(0x15, 3, 3, 0, 2, 2, 70);
  for (const size of [1, 3, 7]) assert.throws(() => feedAll(alert, size), TlsExpectedError);
  assert.equal(new HandshakeDecoder().feed(alert.subarray(0, 4)), null);
});

Deno.test("20000 damaged frames decode or give a ProtocolError", () => {
  const seed = chosenSeed();
  const random = new Random(seed);
  for (let i = 0; i < 20_000; i++) {
    const bytes = bytesOf(random.pick(GOLDEN)[0]);
    const from = random.oneIn(4) ? 0 : 8;
    for (let edits = 1 + random.below(3); edits > 0; edits--) {
      bytes[from + random.below(bytes.length - from)] ^= 1 << random.below(8);
    }
    const cut = random.oneIn(3) ? random.below(bytes.length) : bytes.length;
    let frame: HandshakeFrame | null = null;
    try {
      frame = feedAll(bytes.subarray(0, cut), 1 + random.below(40));
      if (frame?.type === HandshakeType.NOTIFY) parseNotification(frame.body);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `seed ${seed}, frame ${i}: ${error}`);
    }
  }
});
