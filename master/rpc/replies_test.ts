import assert from "node:assert/strict";
import { readAnswers } from "../../tests/support/dispatcher.ts";
import { Replies } from "./replies.ts";

Deno.test("a frame says who it is for, how long it is and how it ended", () => {
  const replies = new Replies();
  replies.begin(0xfffffffe, 0x80000001);
  replies.writer.raw(Uint8Array.of(1, 2, 3));
  replies.end();
  assert.deepEqual(
    Array.from(replies.bytes),
    [
      ...[0xfe, 0xff, 0xff, 0xff, 19, 0, 0, 0],
      ...[0x15, 0, 0, 0, 1, 0, 0, 0x80, 3, 0, 0, 0, 0, 0, 0, 0],
      ...[1, 2, 3],
    ],
  );
});

Deno.test("frames of several connections follow each other without gaps", () => {
  const replies = new Replies();
  for (let i = 0; i < 300; i++) {
    replies.begin(i % 7, i);
    replies.writer.raw(new Uint8Array(i).fill(i));
    replies.end(i % 3 === 0 ? 11 : 0);
  }
  const answers = readAnswers(replies.bytes);
  assert.equal(answers.length, 300);
  answers.forEach(({ connection, seq, errorCode, body }, i) => {
    assert.deepEqual([connection, seq, errorCode], [i % 7, i, i % 3 === 0 ? 11 : 0]);
    assert.deepEqual(body, new Uint8Array(i).fill(i));
  });
});

Deno.test("a body can be begun again, and a frame dropped, without a trace", () => {
  const replies = new Replies();
  replies.begin(1, 1);
  replies.writer.raw(Uint8Array.of(9));
  replies.end();
  const before = replies.bytes.slice();
  replies.begin(2, 2);
  replies.writer.raw(Uint8Array.of(4, 4, 4));
  replies.abandon();
  assert.deepEqual(replies.bytes, before);
  replies.begin(3, 3);
  replies.writer.raw(Uint8Array.of(5, 5, 5));
  assert.equal(replies.bodyStart, replies.length - 3);
  replies.restartBody();
  replies.writer.raw(Uint8Array.of(6));
  replies.end();
  const answers = readAnswers(replies.bytes);
  assert.deepEqual(answers.map(({ seq }) => seq), [1, 3]);
  assert.deepEqual(answers[1].body, Uint8Array.of(6));
});

Deno.test("after being cleared nothing is left, and a huge batch does not keep its memory", () => {
  const replies = new Replies();
  replies.begin(1, 1);
  replies.writer.raw(new Uint8Array(8 << 20));
  replies.end();
  replies.clear();
  assert.equal(replies.length, 0);
  assert.equal(replies.bytes.length, 0);
  assert(replies.bytes.buffer.byteLength <= 1 << 20);
});
