import assert from "node:assert/strict";
import { bytesOf } from "../../tests/support/core_driver.ts";
import { effectiveQuotas, QuotaTable } from "./quotas.ts";

const shares = (quotas: Record<string, bigint>, capacity: number) =>
  effectiveQuotas(
    Object.entries(quotas).map(([name, requested]) => ({ name: bytesOf(name), requested })),
    capacity,
  );

Deno.test("quotas that the pool has room for are what was asked for", () => {
  assert.deepEqual(shares({ a: 10n, b: 20n }, 30), [10, 20]);
  assert.deepEqual(shares({ a: 10n, b: 20n }, 1000), [10, 20]);
  assert.deepEqual(shares({}, 1000), []);
});

Deno.test("quotas beyond the pool are scaled as the reference was seen to scale them", () => {
  const quotas = { "a b:c/d": 5n, alpha: 1048576n, beta: 16777216n, default: 200000000n, "ä": 5n };
  assert.deepEqual(shares(quotas, 134217728), [3, 646101, 10337618, 123234003, 3]);
  const { beta: _gone, ...others } = quotas;
  assert.deepEqual(shares(others, 134217728), [4, 700017, 133517704, 3]);
  assert.deepEqual(shares(quotas, 0), [0, 0, 0, 0, 0]);
});

Deno.test("scaled quotas of any size add up to the pool", () => {
  const most = 2n ** 63n - 1n;
  for (const capacity of [1, 7, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER]) {
    const given = shares({ a: most, b: most, c: 3n, d: most / 7n }, capacity);
    assert.equal(given.reduce((sum, bytes) => sum + bytes, 0), capacity);
  }
});

Deno.test("a table works quotas out again when the pool or a quota changes", () => {
  const table = new QuotaTable();
  const nameOf = (tenant: number) => bytesOf(`t${tenant}`);
  table.set(0, 100n);
  table.set(3, 300n);
  assert.equal(table.effective(3, 1000, nameOf), 300);
  assert.equal(table.effective(3, 200, nameOf), 150);
  table.set(3, null);
  assert.equal(table.effective(3, 200, nameOf), 0);
  assert.equal(table.effective(0, 200, nameOf), 100);
  assert.equal(table.effective(9, 200, nameOf), 0);
  assert.equal(table.isRegistered(3), false);
});
