// Goal: rounds of held clients test something on a fast machine and on an interpreted one.
import assert from "node:assert/strict";
import { longestWriteMs, longStopMs, paceOf } from "./pace.ts";
import { STAMP_BYTES } from "./stamps.ts";

Deno.test("a quick machine gets the times for which the rounds were made", () => {
  const pace = paceOf({ callMs: 0.5, bytesMs: 0.1 });
  const { leaseMs, discardS, releaseS, clientTtlS, readers, writers, restMs, keys } = pace;
  assert.deepEqual(
    { leaseMs, discardS, releaseS, clientTtlS, readers, writers, restMs, keys },
    {
      ...{ leaseMs: 40, discardS: 1, releaseS: 4, clientTtlS: 2 },
      ...{ readers: 32, writers: 160, restMs: 0, keys: 400 },
    },
  );
  assert.deepEqual([pace.smallest, pace.largest, pace.poolBytes], [4096, 131072, 49971200]);
  assert.deepEqual([longestWriteMs(pace, true), longestWriteMs(pace, false)], [5000, 2500]);
});

Deno.test("leases, time-outs and those that stand still grow with what a call takes", () => {
  let last = paceOf({ callMs: 0.5, bytesMs: 0.1 });
  for (const callMs of [2, 5, 13, 40, 200]) {
    const pace = paceOf({ callMs, bytesMs: callMs / 4 });
    assert(pace.leaseMs >= 50 * callMs && pace.leaseMs > last.leaseMs, `a lease at ${callMs} ms`);
    assert(pace.discardS * 1000 >= 3 * pace.leaseMs, "a write that is not held ends in time");
    assert(pace.releaseS > pace.discardS && pace.clientTtlS * 1000 > 5 * pace.leaseMs);
    assert(longStopMs(pace.clientTtlS) < pace.releaseS * 1000, "who is stopped is back in time");
    assert(longestWriteMs(pace, true) > pace.releaseS * 1000);
    assert(longestWriteMs(pace, false) < pace.releaseS * 1000);
    assert(pace.readers >= 8 && pace.writers >= 16 && pace.patienceMs !== null);
    last = pace;
  }
});

Deno.test("where bytes cost more than calls, values are small, and whole stamps", () => {
  for (const bytesMs of [0.1, 3, 10, 77, 1000]) {
    const { smallest, largest, poolBytes, keys } = paceOf({ callMs: 13, bytesMs });
    assert.equal(largest % STAMP_BYTES, 0);
    assert(largest > smallest && largest <= 128 << 10);
    assert(bytesMs * largest / (128 << 10) <= 13 / 2 || largest === 4 * smallest, `${bytesMs} ms`);
    assert(
      poolBytes > keys * (smallest + largest) / 2,
      "what is stored fits into half of the pool",
    );
  }
});
