import assert from "node:assert/strict";
import { LogAssembler } from "./log_assembler.ts";

const whole = (sequence: number) => ({ sequence, part: 0, parts: 1 });
const bytes = (...values: number[]) => Uint8Array.from(values);
const taken = (assembler: LogAssembler) =>
  assembler.take().map(({ sequence, bytes }) => [sequence, ...bytes]);

Deno.test("groups come out in order, and only those without a gap before them", () => {
  const assembler = new LogAssembler(4);
  assembler.put(whole(6), bytes(6));
  assembler.put(whole(3), bytes(3));
  assert.deepEqual(taken(assembler), []);
  assembler.put(whole(5), bytes(5));
  assert.deepEqual(taken(assembler), [[5, 5], [6, 6]]);
  assert.equal(assembler.last, 6);
});

Deno.test("a group of several parts waits for all of them, in any order", () => {
  const assembler = new LogAssembler(0);
  assembler.put({ sequence: 1, part: 2, parts: 3 }, bytes(5));
  assembler.put({ sequence: 1, part: 0, parts: 3 }, bytes(1, 2));
  assert.deepEqual(taken(assembler), []);
  assembler.put({ sequence: 1, part: 1, parts: 3 }, bytes(3, 4));
  assert.deepEqual(taken(assembler), [[1, 1, 2, 3, 4, 5]]);
});

Deno.test("what a new leader has dropped behind a gap is replaced by its own", () => {
  const assembler = new LogAssembler(0);
  assembler.put(whole(2), bytes(9));
  assembler.drop(whole(2));
  assembler.put(whole(1), bytes(1));
  assert.deepEqual(taken(assembler), [[1, 1]]);
  assembler.put({ sequence: 2, part: 0, parts: 2 }, bytes(7));
  assembler.put(whole(2), bytes(2));
  assert.deepEqual(taken(assembler), [[2, 2]]);
});
