import assert from "node:assert/strict";
import { TransportErrorCode } from "../../proto/coro_rpc/header.ts";
import { errorText, readAnswers } from "../../tests/support/dispatcher.ts";
import { type Call, Outcome } from "./call.ts";
import { Dispatcher } from "./dispatcher.ts";
import { Replies } from "./replies.ts";

Deno.test("only answers that tell of a change are taken back when it could not be kept", () => {
  const replies = new Replies();
  let changes = 0;
  const serve = (changed: boolean) => (call: Call) => {
    if (changed) changes++;
    call.replies.writer.u32(7);
    return Outcome.DONE;
  };
  const dispatcher = new Dispatcher({
    functions: [
      { functionId: 1, name: "Read", handler: serve(false), meter: null },
      { functionId: 2, name: "Write", handler: serve(true), meter: null },
    ],
    replies,
    putWaitMs: 0,
    changes: () => changes,
    onFault: () => assert.fail(),
  });
  const batch = () => {
    for (const [seq, functionId] of [[1, 1], [2, 2], [3, 1], [4, 2]]) {
      dispatcher.request(5 + seq, seq, functionId, new Uint8Array(0), 0, 0, 0, 0);
    }
  };
  batch();
  dispatcher.refuseChanges("the disk is full");
  const answers = readAnswers(replies.bytes);
  assert.deepEqual(answers.map(({ seq, connection }) => [seq, connection]), [
    ...[[1, 6], [2, 7], [3, 8], [4, 9]],
  ]);
  for (const { seq, errorCode, body } of answers) {
    if (seq % 2 === 0) {
      assert.equal(errorCode, TransportErrorCode.RPC_THROW_EXCEPTION);
      assert.equal(errorText(body, errorCode), "the disk is full");
    } else {
      assert.deepEqual([errorCode, ...body], [0, 7, 0, 0, 0]);
    }
  }
  replies.clear();
  batch();
  replies.clear();
  dispatcher.refuseChanges("nothing is left to take back");
  assert.equal(replies.length, 0);
});
