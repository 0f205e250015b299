import assert from "node:assert/strict";
import { INLINE_BURST_MS, InlineBudget } from "./inline_budget.ts";

Deno.test("an inline budget is spent after a burst, and whole again after a turn", () => {
  const budget = new InlineBudget();
  assert.equal(budget.isSpent, false);
  budget.spend(INLINE_BURST_MS / 2);
  assert.equal(budget.isSpent, false);
  budget.spend(INLINE_BURST_MS / 2);
  assert.equal(budget.isSpent, true);
  budget.renew();
  assert.equal(budget.isSpent, false);
});
