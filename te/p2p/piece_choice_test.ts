import assert from "node:assert/strict";
import { choosePiece, shuffled, type Source } from "./piece_choice.ts";
import { ShownPieces } from "./piece_set.ts";

const COUNT = 8;
const rules = { maxLoad: { whole: 2, partial: 4 }, takeTwice: false, random: () => 0 };

function source(have: number[], taking: number[] = [], load = 0): Source {
  const shown = new ShownPieces(COUNT);
  for (const index of have) shown.have.add(index);
  for (const index of taking) shown.taking.add(index);
  return { shown, isWhole: have.length === COUNT, load };
}

const whole = () => source([0, 1, 2, 3, 4, 5, 6, 7]);

Deno.test("the rarest piece is chosen, and leaves those that are missing", () => {
  const seeder = whole();
  const missing = [0, 1, 2, 3];
  assert.deepEqual(choosePiece(missing, [seeder, source([0, 1, 3])], rules), {
    ...{ index: 2, source: seeder },
  });
  assert.deepEqual(missing.toSorted(), [0, 1, 3]);
});

Deno.test("who has not all himself is asked before who has, then who has less to do", () => {
  const peers = [source([5], [], 1), source([5])];
  assert.equal(choosePiece([5], [whole(), ...peers], rules)!.source, peers[1]);
  const busy = source([5], [], 4);
  const seeder = whole();
  assert.equal(choosePiece([5], [seeder, busy], rules)!.source, seeder);
  assert.equal(choosePiece([5], [{ ...seeder, load: 2 }, busy], rules), null);
});

Deno.test("what another one is fetching is left to it, until it is taken twice", () => {
  const seeder = whole();
  const other = source([], [5]);
  assert.equal(choosePiece([5], [seeder, other], rules), null);
  assert.equal(choosePiece([5], [seeder, other], { ...rules, takeTwice: true })!.index, 5);
  assert.equal(choosePiece([5, 6], [seeder, other], rules)!.index, 6);
  assert.equal(choosePiece([], [seeder], rules), null);
});

Deno.test("shuffled numbers are all there", () => {
  assert.deepEqual(shuffled(100, Math.random).toSorted((a, b) => a - b), [...Array(100).keys()]);
});
