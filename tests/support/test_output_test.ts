import assert from "node:assert/strict";
import { FailureWatch, readSummary } from "./test_output.ts";

const OUTPUT = `running 3 tests from ./tests/a_test.ts
one thing holds ... ok (3ms)
another does not ... FAILED (12ms)
------- output -------
it says FAILED (here)
----- output end -----
with steps ...
  first ... ok (1ms)
  second ... FAILED (2m3s)
with steps ... FAILED (due to 1 failed step) (2m4s)
running 1 test from ./tests/b_test.ts
last ... FAILED (1ms)

FAILED | 1 passed (1 step) | 3 failed (1 step) | 2 ignored (2m)
`;

Deno.test("failures are told when their line is whole, wherever the output is cut", () => {
  const expected = [
    "./tests/a_test.ts: another does not ... FAILED (12ms)",
    "./tests/a_test.ts: second ... FAILED (2m3s)",
    "./tests/a_test.ts: with steps ... FAILED (due to 1 failed step) (2m4s)",
    "./tests/b_test.ts: last ... FAILED (1ms)",
  ];
  for (let at = 0; at <= OUTPUT.length; at++) {
    const watch = new FailureWatch();
    const early = watch.see(OUTPUT.slice(0, at));
    assert.deepEqual([...early, ...watch.see(OUTPUT.slice(at))], expected, `cut at ${at}`);
    assert.equal(
      early.length,
      OUTPUT.slice(0, at).split("\n").filter((line, i, all) =>
        i < all.length - 1 && line.includes("... FAILED (")
      ).length,
    );
  }
});

Deno.test("the counts are those of the last summary", () => {
  assert.deepEqual(readSummary(OUTPUT), { passed: 1, failed: 3, skipped: 2 });
  assert.deepEqual(readSummary("ok | 7 passed | 0 failed (1s)\n"), {
    passed: 7,
    failed: 0,
    skipped: 0,
  });
  assert.equal(readSummary("error: it ended early\n"), null);
});
