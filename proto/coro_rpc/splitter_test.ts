import assert from "node:assert/strict";
import { chosenSeed, Random } from "../../tests/support/random.ts";
import { ProtocolError } from "../error.ts";
import { Writer } from "../struct_pack/writer.ts";
import { beginRequest, beginResponse, endRequest, endResponse } from "./header.ts";
import { MAX_ATTACHMENT_BYTES, RequestSplitter, ResponseSplitter } from "./splitter.ts";

function requests(bodies: number[]): Uint8Array {
  const writer = new Writer();
  bodies.forEach((length, seq) => {
    const start = beginRequest(writer, seq, 1000 + seq);
    writer.raw(new Uint8Array(length).fill(seq + 1));
    endRequest(writer, start);
  });
  return writer.bytes;
}

/** Feeds `stream` in parts and returns `seq:function:body` of each frame; `tooLarge` as `!`. */
function split(splitter: RequestSplitter, stream: Uint8Array, cuts: () => number): string[] {
  const frames: string[] = [];
  for (let at = 0; at < stream.length;) {
    const end = Math.min(stream.length, at + cuts());
    const chunk = stream.slice(at, end);
    splitter.feed(chunk);
    while (splitter.next()) {
      const body = splitter.bytes.subarray(splitter.bodyStart, splitter.bodyEnd);
      const filled = body.every((byte) => byte === splitter.seq + 1);
      const mark = splitter.tooLarge ? "!" : filled ? body.length : "damaged";
      frames.push(`${splitter.seq}:${splitter.functionId}:${mark}`);
    }
    chunk.fill(0xee);
    at = end;
  }
  return frames;
}

Deno.test("frames come out whole however the stream is cut", () => {
  const seed = chosenSeed();
  const random = new Random(seed);
  for (let round = 0; round < 300; round++) {
    const bodies = Array.from(
      { length: 1 + random.below(12) },
      () => random.pick([0, 1, random.below(50), random.below(5000)]),
    );
    const largest = 1 + random.pick([1, 7, 30, 400, 20_000]);
    const limit = random.pick([64, 1000, 10_000]);
    const splitter = new RequestSplitter({ maxBodyBytes: limit });
    const frames = split(splitter, requests(bodies), () => 1 + random.below(largest));
    const wanted = bodies.map((length, seq) =>
      `${seq}:${1000 + seq}:${length > limit ? "!" : length}`
    );
    assert.deepEqual(frames, wanted, `seed ${seed} round ${round}`);
    assert.equal(splitter.partial, false);
  }
});

Deno.test("a frame within one chunk is not copied", () => {
  const stream = requests([10, 20]);
  const splitter = new RequestSplitter();
  splitter.feed(stream);
  assert.ok(splitter.next());
  assert.equal(splitter.bytes, stream);
  assert.ok(splitter.next());
  assert.equal(splitter.bytes, stream);
  assert.equal(splitter.bodyEnd, stream.length);
  assert.equal(splitter.next(), false);
});

Deno.test("a claimed length allocates nothing before its bytes arrive", () => {
  const writer = new Writer();
  beginRequest(writer, 1, 2);
  writer.patchU32(12, 60 << 20);
  writer.raw(new Uint8Array(100));
  const splitter = new RequestSplitter();
  const before = Deno.memoryUsage().external;
  splitter.feed(writer.bytes);
  assert.equal(splitter.next(), false);
  assert.ok(splitter.partial);
  assert.ok(Deno.memoryUsage().external - before < 1 << 20);
});

Deno.test("a frame above the limit is reported once and the stream goes on", () => {
  const splitter = new RequestSplitter({ maxBodyBytes: 100 });
  assert.deepEqual(split(splitter, requests([5, 101, 100]), () => 9), [
    "0:1000:5",
    "1:1001:!",
    "2:1002:100",
  ]);
  assert.equal(splitter.partial, false);
});

Deno.test("attachments are stepped over within the limit", () => {
  const writer = new Writer();
  for (const [seq, attachment] of [[0, 30], [1, 0], [2, 90], [3, 1]]) {
    const start = beginRequest(writer, seq, 1000 + seq);
    writer.raw(new Uint8Array(20).fill(seq + 1));
    endRequest(writer, start);
    writer.patchU32(start + 16, attachment);
    writer.raw(new Uint8Array(attachment).fill(0x15));
  }
  for (const step of [1, 3, 19, 40, 1000]) {
    const splitter = new RequestSplitter({ maxBodyBytes: 100 });
    assert.deepEqual(split(splitter, writer.bytes, () => step), [
      "0:1000:20",
      "1:1001:20",
      "2:1002:!",
      "3:1003:20",
    ]);
    assert.equal(splitter.partial, false);
  }
});

Deno.test("short attachments are presented behind their bodies, long ones left out", () => {
  const writer = new Writer();
  const lengths = [0, 8, 64, 65, 3];
  for (const [seq, length] of lengths.entries()) {
    const start = beginRequest(writer, seq, 1);
    writer.raw(new Uint8Array(20).fill(1));
    writer.raw(Uint8Array.from({ length }, (_, i) => seq + i));
    endRequest(writer, start, length);
  }
  for (const step of [1, 7, 1000]) {
    const splitter = new RequestSplitter();
    const seen: Uint8Array[] = [];
    for (let at = 0; at < writer.length; at += step) {
      splitter.feed(writer.bytes, at, Math.min(writer.length, at + step));
      while (splitter.next()) {
        const { bytes, bodyStart, bodyEnd, attachmentEnd } = splitter;
        assert.deepEqual(bytes.slice(bodyStart, bodyEnd), new Uint8Array(20).fill(1));
        seen.push(bytes.slice(bodyEnd, attachmentEnd));
      }
    }
    const expected = lengths.map((length, seq) =>
      Uint8Array.from({ length: length > MAX_ATTACHMENT_BYTES ? 0 : length }, (_, i) => seq + i)
    );
    assert.deepEqual(seen, expected);
  }
});

Deno.test("a stream that is not this protocol is refused, in one piece or byte by byte", () => {
  const http = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const whole = new RequestSplitter();
  whole.feed(http);
  assert.throws(() => whole.next(), ProtocolError);
  assert.throws(() => split(new RequestSplitter(), http, () => 1), ProtocolError);
});

Deno.test("responses carry their error code", () => {
  const writer = new Writer();
  const start = beginResponse(writer, 9, 4);
  writer.raw(Uint8Array.of(1, 2, 3));
  endResponse(writer, start);
  const splitter = new ResponseSplitter();
  splitter.feed(writer.bytes, 0, 10);
  assert.equal(splitter.next(), false);
  splitter.feed(writer.bytes, 10);
  assert.ok(splitter.next());
  assert.equal(splitter.seq, 9);
  assert.equal(splitter.errorCode, 4);
  assert.deepEqual(
    splitter.bytes.slice(splitter.bodyStart, splitter.bodyEnd),
    Uint8Array.of(1, 2, 3),
  );
});

Deno.test("a chunk may not be fed before the last one is used up", () => {
  const splitter = new RequestSplitter();
  splitter.feed(requests([1]));
  assert.throws(() => splitter.feed(requests([1])), /used up/);
});
