import assert from "node:assert/strict";
import { RangeMap } from "./range_map.ts";
import { randomBelow, SeededRng } from "./rng.ts";

const LENGTH = 60;

/** The time of every byte, for comparison. */
function timesOf(map: RangeMap): number[] {
  const times: number[] = new Array(LENGTH).fill(0);
  for (const { start, end, untilMs } of map.all) times.fill(untilMs, Number(start), Number(end));
  return times;
}

Deno.test("where ranges overlap the later time counts, and each byte has one", () => {
  const rng = new SeededRng(3);
  for (let round = 0; round < 300; round++) {
    const map = new RangeMap();
    const bytes: number[] = new Array(LENGTH).fill(0);
    for (let i = 0; i < 12; i++) {
      const start = randomBelow(rng, LENGTH);
      const end = start + randomBelow(rng, LENGTH - start + 1);
      const untilMs = 1 + randomBelow(rng, 6);
      map.add(BigInt(start), BigInt(end), untilMs);
      for (let at = start; at < end; at++) bytes[at] = Math.max(bytes[at], untilMs);
      assert.deepEqual(timesOf(map), bytes);
      for (const [j, range] of map.all.entries()) {
        const before = map.all[j - 1];
        if (before === undefined) continue;
        assert(before.end < range.start || before.untilMs !== range.untilMs, "they are one");
        assert(before.end <= range.start, "they do not overlap");
      }
    }
    const part = new RangeMap();
    for (const range of map.within(10n, 30n)) part.add(range.start, range.end, range.untilMs);
    assert.deepEqual(timesOf(part), bytes.map((ms, at) => at >= 10 && at < 30 ? ms : 0));
    map.dropDue(3);
    assert.deepEqual(timesOf(map), bytes.map((ms) => ms > 3 ? ms : 0));
  }
});

Deno.test("ranges made one reach from the first byte to the last, with the latest time", () => {
  const map = new RangeMap();
  map.coalesce();
  assert.deepEqual(map.all, []);
  map.add(10n, 20n, 7);
  map.add(40n, 50n, 5);
  map.coalesce();
  assert.deepEqual(map.all, [{ start: 10n, end: 50n, untilMs: 7 }]);
});
