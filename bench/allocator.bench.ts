/**
 * Space in one segment that is nearly full of extents of mixed sizes. The baseline looks for the
 * first free range that is long enough in a plain sorted list.
 */
import { ExtentPool, SegmentAllocator } from "../master/core/allocator.ts";
import { randomBelow, SeededRng } from "../master/core/rng.ts";

const LIVE = 20_000;
const MAX_UNITS = 1024;
const random = new SeededRng(9);

function mixed(): { allocator: SegmentAllocator; live: number[] } {
  const allocator = new SegmentAllocator(new ExtentPool(), 0, LIVE * MAX_UNITS * 0.6);
  const live: number[] = [];
  while (live.length < LIVE) {
    const extent = allocator.allocate(1 + randomBelow(random, MAX_UNITS));
    if (extent === 0) break;
    live.push(extent);
  }
  return { allocator, live };
}

const filled = mixed();

Deno.bench("free one, allocate one, mixed sizes", { group: "mixed" }, () => {
  const { allocator, live } = filled;
  const at = randomBelow(random, live.length);
  allocator.free(live[at]);
  let extent = 0;
  for (let units = 1 + randomBelow(random, MAX_UNITS); extent === 0; units >>>= 1) {
    extent = allocator.allocate(Math.max(1, units));
  }
  live[at] = extent;
});

const list = Array.from({ length: LIVE / 4 }, (_, i) => ({ offset: i * 4096, units: 1 + i % 900 }));

Deno.bench("first fit in a sorted list", { group: "mixed", baseline: true }, () => {
  const units = 1 + randomBelow(random, 900);
  const at = list.findIndex((range) => range.units >= units);
  const [range] = list.splice(at, 1);
  const back = list.findIndex(({ offset }) => offset > range.offset);
  list.splice(back < 0 ? list.length : back, 0, range);
});

const equal = new SegmentAllocator(new ExtentPool(), 0, LIVE * 1024);
const extents = Array.from({ length: LIVE }, () => equal.allocate(1024));

Deno.bench("free one, allocate one, equal sizes, full segment", () => {
  const at = randomBelow(random, LIVE);
  equal.free(extents[at]);
  extents[at] = equal.allocate(1024);
});
